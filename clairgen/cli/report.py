"""`clairgen report`: how much the answers of the pairs differ, beside the paper's figures; or what training did with them."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from clairgen.cli.import_pairs import left_out_lines, named_columns
from clairgen.cli.signals import run_coroutine, run_drainable
from clairgen.errors import ConfigError
from clairgen.reporting.sanitize import plain_line, safe_line

if TYPE_CHECKING:
    from clairgen.pipeline.import_pairs import ImportSummary
    from clairgen.reporting.report import RecipeReport


def report_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Run directories, folders of shards, or files, folders or hub:owner/name with pairs; with --training, output "
            "folders.",
            show_default=False,
        ),
    ],
    training: Annotated[
        bool,
        typer.Option("--training", help="Report on training runs: trajectories of held-out pairs, and what is wrong."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON list, one object a run and recipe (or training run), for scripts.")
    ] = False,
    tokenizer: Annotated[
        str | None, typer.Option(help="treebank, whitespace or word; by default that of each run's configuration.")
    ] = None,
    tokeniser: Annotated[str | None, typer.Option(hidden=True)] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Also report imported pairs by the values of a column of theirs."),
    ] = None,
    matched: Annotated[
        bool,
        typer.Option(
            "--matched", help="Count only the tasks of which every recipe of the run has a pair that is kept."
        ),
    ] = False,
    length_tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Count lengths in tokens of this tokenizer (a folder, a tokenizer.json, or owner/name on the hub), not in "
            "characters.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write it as a page, one file with charts and pairs to look through.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=NAME", help="Of a source: which column has which role, as for clairgen import."),
    ] = None,
    subset: Annotated[str | None, typer.Option(help="Of a source: the subset of a folder or a hub data set.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Of a source: the split; by default train, or the only one.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Keep the pairs of a source in this run; else nothing is kept.", show_default=False),
    ] = None,
) -> None:
    """Report n, drops by reason, contrast with standard errors, and how well surface features alone predict the choice.

    Pairs from elsewhere (a file, a folder, hub:owner/name) are imported for the time of the report; see clairgen import.

    With --training: log-likelihoods, rewards and margins of held-out pairs over the steps, and diagnostics.

    Example: clairgen report runs/first runs/second --html report.html

    Example: clairgen report pairs.jsonl --by source

    Example: clairgen report --training out/apo-zero out/dpo
    """
    from clairgen import api
    from clairgen.config.renamed import note
    from clairgen.metrics.contrast import TOKENIZERS
    from clairgen.pipeline.import_pairs import ImportOptions
    from clairgen.pipeline.source_runs import is_source
    from clairgen.reporting.terminal import print_reports

    if tokeniser is not None:
        if tokenizer is not None:
            raise ConfigError("--tokeniser is the old name of --tokenizer, which is given too; keep only --tokenizer")
        typer.echo(note("option", "--tokeniser", "--tokenizer"), err=True)
        tokenizer = tokeniser
    if training:
        if by is not None:
            raise ConfigError("--by is for imported pairs; leave it out with --training")
        if length_tokenizer is not None:
            raise ConfigError("--length-tokenizer is for runs of pairs; leave it out with --training")
        if matched or column or any(one is not None for one in (subset, split, run)):
            raise ConfigError(
                "--matched, --column, --subset, --split and --run are for pairs; leave them out with --training"
            )
        _report_training(list(map(Path, runs)), as_json=as_json, tokenizer=tokenizer, html=html)
        return
    if tokenizer is not None and tokenizer not in TOKENIZERS:
        raise ConfigError(f"there is no tokenizer {tokenizer!r}; choose one of {', '.join(TOKENIZERS)}")
    source = ImportOptions(subset=subset, split=split, columns=named_columns(column or ()))

    async def work(stop: asyncio.Event | None = None) -> "list[RecipeReport]":
        return await api.report(
            *runs,
            tokenizer=tokenizer,
            html=html,
            by=by,
            length_tokenizer=length_tokenizer,
            matched=matched,
            source=source,
            keep=run,
            tell=_tell,
            stop=stop,
        )

    reports = run_drainable(work) if any(map(is_source, runs)) else run_coroutine(work())
    if as_json:
        typer.echo(json.dumps([entry.to_json() for entry in reports], indent=2))
        return
    console = Console()
    print_reports(console, reports)
    _print_page(console, html)


def _tell(said: "ImportSummary | str") -> None:
    """Print what is understood of a source, or which of its rows hold no pair, on stderr."""
    lines = [said] if isinstance(said, str) else left_out_lines(said.state)
    for line in lines:
        typer.echo(plain_line(line), err=True)


def _report_training(outs: list[Path], *, as_json: bool, tokenizer: str | None, html: Path | None) -> None:
    from clairgen import api

    if tokenizer is not None:
        raise ConfigError("--tokenizer is for the answers of a run of pairs; leave it out with --training")
    reports = api.report_training(*outs, html=html)
    if as_json:
        typer.echo(json.dumps([entry.to_json() for entry in reports], indent=2, allow_nan=False))
        return
    from clairgen.reporting.training.terminal import print_training  # needs numpy, an optional package

    console = Console()
    print_training(console, reports)
    _print_page(console, html)


def _print_page(console: Console, html: Path | None) -> None:
    if html is not None:
        console.print()
        console.print(safe_line(f"Page: {html}"), soft_wrap=True)
