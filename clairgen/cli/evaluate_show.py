"""`clairgen evaluate show`: all evaluations of a directory, in one table or on one page."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clairgen.cli.evaluation_tables import print_result, print_results
from clairgen.cli.signals import run_coroutine
from clairgen.reporting.sanitize import safe_line


def evaluate_show_command(
    run: Annotated[Path, typer.Argument(help="The directory of evaluations.", show_default=False)],
    label: Annotated[
        str | None, typer.Option(help="Only the evaluation of this label, or whose id begins so, by part.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a page: table, plot, answers side by side.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON list, one object an evaluation, for scripts.")
    ] = False,
) -> None:
    """Show every evaluation of a directory in one table, or write it as a page with answers side by side.

    Only evaluations of the same kind on the same items, with the same rules and judge, stand under one heading.

    Example: clairgen evaluate show evals/first --html evaluations.html
    """
    from clairgen.evaluation.judged_figures import result_json
    from clairgen.evaluation.results import load_results, named_result
    from clairgen.installed import require_results_extra

    if html is not None:
        require_results_extra()
    results = run_coroutine(load_results(run))
    if label is not None:
        results = [named_result(results, label, run)]
    if as_json:
        typer.echo(json.dumps([result_json(result) for result in results], indent=2))
    elif label is not None:
        print_result(results[0])
    else:
        print_results(results)
    if html is not None:
        from clairgen.evaluation.results_page import write_results_page

        run_coroutine(write_results_page(html, run, results))
        if not as_json:
            Console().print(safe_line(f"Page: {html}"), soft_wrap=True)
