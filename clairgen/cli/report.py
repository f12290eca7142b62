"""`clairgen report`: how much the answers of the pairs differ, beside the paper's figures."""

from pathlib import Path
from typing import Annotated

import typer

from clairgen.errors import ConfigError


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, side by side.", show_default=False)],
    json: Annotated[
        bool, typer.Option("--json", help="A JSON list, one object a run and recipe, for scripts.")
    ] = False,
    tokeniser: Annotated[
        str | None, typer.Option(help="treebank, whitespace or word; by default that of each run's configuration.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write it as a page, one file with charts and pairs to look through.")
    ] = None,
) -> None:
    """Report n, drops by reason, contrast with standard errors, and what surface features alone tell.

    Example: clairgen report runs/first runs/second --html report.html
    """
    from clairgen import verbs
    from clairgen.cli.running import run as run_coroutine
    from clairgen.metrics import TOKENISERS

    if tokeniser is not None and tokeniser not in TOKENISERS:
        raise ConfigError(f"there is no tokeniser {tokeniser!r}; choose one of {', '.join(TOKENISERS)}")
    reports = run_coroutine(verbs.report(*runs, tokeniser=tokeniser, html=html))
    if json:
        from json import dumps

        typer.echo(dumps([entry.to_json() for entry in reports], indent=2))
        return
    from rich.console import Console

    from clairgen.reporting.plain import safe_line
    from clairgen.reporting.terminal import print_reports

    console = Console()
    print_reports(console, reports)
    if html is not None:
        console.print()
        console.print(safe_line(f"Page: {html}"), soft_wrap=True)
