"""`clairgen report`: how much the answers of the pairs differ, beside the paper's figures; or what training did with them."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clairgen.cli.signals import run_coroutine
from clairgen.errors import ConfigError
from clairgen.reporting.sanitize import safe_line


def report_command(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run directories, side by side; with --training, output folders.", show_default=False),
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
) -> None:
    """Report n, drops by reason, contrast with standard errors, and how well surface features alone predict the choice.

    With --training: log-likelihoods, rewards and margins of held-out pairs over the steps, and diagnostics.

    Example: clairgen report runs/first runs/second --html report.html

    Example: clairgen report --training out/apo-zero out/dpo
    """
    from clairgen import api
    from clairgen.config.renamed import note
    from clairgen.metrics.contrast import TOKENIZERS
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
        _report_training(runs, as_json=as_json, tokenizer=tokenizer, html=html)
        return
    if tokenizer is not None and tokenizer not in TOKENIZERS:
        raise ConfigError(f"there is no tokenizer {tokenizer!r}; choose one of {', '.join(TOKENIZERS)}")
    reports = run_coroutine(api.report(*runs, tokenizer=tokenizer, html=html, by=by, length_tokenizer=length_tokenizer))
    if as_json:
        typer.echo(json.dumps([entry.to_json() for entry in reports], indent=2))
        return
    console = Console()
    print_reports(console, reports)
    _print_page(console, html)


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
