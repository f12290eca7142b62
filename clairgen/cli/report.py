"""`clairgen report`: how much the answers of the pairs differ, beside the paper's figures; or what training did with them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clairgen.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run directories, side by side; with --training, output folders.", show_default=False),
    ],
    training: Annotated[
        bool,
        typer.Option("--training", help="Report on training runs: trajectories of held-out pairs, and what is wrong."),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="A JSON list, one object a run and recipe (or training run), for scripts.")
    ] = False,
    tokenizer: Annotated[
        str | None, typer.Option(help="treebank, whitespace or word; by default that of each run's configuration.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write it as a page, one file with charts and pairs to look through.")
    ] = None,
) -> None:
    """Report n, drops by reason, contrast with standard errors, and what surface_features features alone tell.

    With --training: log-likelihoods, rewards and margins of held-out pairs over the steps, and what is wrong, by name.

    Example: clairgen report runs/first runs/second --html report.html

    Example: clairgen report --training out/apo-zero out/dpo
    """
    if training:
        _report_training(runs, json=json, tokenizer=tokenizer, html=html)
        return
    from clairgen import api
    from clairgen.cli.signals import run as run_coroutine
    from clairgen.metrics.contrast import TOKENIZERS

    if tokenizer is not None and tokenizer not in TOKENIZERS:
        raise ConfigError(f"there is no tokenizer {tokenizer!r}; choose one of {', '.join(TOKENIZERS)}")
    reports = run_coroutine(api.report(*runs, tokenizer=tokenizer, html=html))
    if json:
        from json import dumps

        typer.echo(dumps([entry.to_json() for entry in reports], indent=2))
        return
    from rich.console import Console

    from clairgen.reporting.terminal import print_reports

    console = Console()
    print_reports(console, reports)
    _name_page(console, html)


def _report_training(outs: list[Path], *, json: bool, tokenizer: str | None, html: Path | None) -> None:
    from clairgen import api

    if tokenizer is not None:
        raise ConfigError("--tokenizer is for the answers of a run of pairs; leave it out with --training")
    reports = api.report_training(*outs, html=html)
    if json:
        from json import dumps

        typer.echo(dumps([entry.to_json() for entry in reports], indent=2, allow_nan=False))
        return
    from rich.console import Console

    from clairgen.reporting.training.terminal import print_training

    console = Console()
    print_training(console, reports)
    _name_page(console, html)


def _name_page(console: "Console", html: Path | None) -> None:
    from clairgen.reporting.sanitize import safe_line

    if html is not None:
        console.print()
        console.print(safe_line(f"Page: {html}"), soft_wrap=True)
