"""`clairgen evaluate show`: all evaluations of a directory, in one table or on one page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from clairgen.cli.evaluation_runs import print_result, remarks, share_cells
from clairgen.cli.signals import run_coroutine
from clairgen.reporting.sanitize import plain_line, safe_line

if TYPE_CHECKING:
    from clairgen.evaluation.results import EvaluationResult


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


def print_results(results: "Sequence[EvaluationResult]") -> None:
    """Print a table for each group of evaluations whose scores may stand in one column."""
    from clairgen.evaluation.results import MEASURES, grouped

    if not results:
        typer.echo("There is no evaluation yet.")
    for number, group in enumerate(grouped(results)):
        first = group[0].record
        heading = f"{plain_line(first.kind)} on {plain_line(first.data)}{_judged_by(group[0])}"
        typer.echo(f"{chr(10) if number else ''}{heading}; intervals are 95%:")
        table = Table(box=None, pad_edge=False)
        table.add_column("evaluation", overflow="fold")
        for title in ("n", MEASURES.get(first.kind, "score"), "interval", "not counted"):
            table.add_column(title, justify="right", no_wrap=True)
        for result in group:
            left = "" if result.complete else f" ({len(result.items):,} of {result.record.items:,})"
            unscored = sum(result.unscored.values())
            table.add_row(safe_line(f"{result.record.label}{left}"), *share_cells(result.overall), f"{unscored:,}")
        Console().print(table)
        for result in group:
            for sentence in remarks(result, brief=True):
                typer.echo(f"  {plain_line(result.record.label)}: {sentence}")


def _judged_by(result: "EvaluationResult") -> str:
    models = [str(facts["model"]) for facts in result.other_models.values()]
    return f", with {', '.join(map(plain_line, models))}" if models else ""
