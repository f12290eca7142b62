"""`clairgen evaluate compare`: what two evaluations of the same items differ in."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from clairgen.cli.evaluation_options import JsonOption
from clairgen.cli.signals import run_coroutine
from clairgen.reporting.sanitize import plain_line, safe, safe_line, shortened

if TYPE_CHECKING:
    from clairgen.evaluation.results import EvaluationComparison
    from clairgen.evaluation.shares import PairedDifference
    from clairgen.evaluation.shown_items import ShownItem

_LONGEST_SHOWN = 600


def evaluate_compare_command(
    run: Annotated[Path, typer.Argument(help="The directory of evaluations.", show_default=False)],
    a: Annotated[
        str, typer.Argument(help="The first evaluation, by its label or the start of its id.", show_default=False)
    ],
    b: Annotated[
        str, typer.Argument(help="The second one; what it gains over the first is shown.", show_default=False)
    ],
    examples: Annotated[int, typer.Option(min=0, max=1000, help="How many changed answers to show, of each kind.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Compare two evaluations of the same items, paired: the difference with its interval, and what changed.

    Items that only one of them has a score for are left out and counted.

    Example: clairgen evaluate compare evals/first before after
    """
    from clairgen.evaluation.shown_items import load_comparison

    found, shown = run_coroutine(load_comparison(run, a, b, examples))
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
        return
    print_comparison(found)
    console = Console()
    for before, after in shown:
        _print_example(console, found, before, after)


def print_comparison(found: "EvaluationComparison") -> None:
    """Print the differences by part and overall."""
    a, b = plain_line(found.a.record.label), plain_line(found.b.record.label)
    record = found.a.record
    typer.echo(f"{b} against {a}, {plain_line(record.kind)} on {plain_line(record.data)}. Intervals are 95%, paired:")
    table = Table(box=None, pad_edge=False)
    table.add_column("part", overflow="fold")
    for title in ("n", "difference", "interval", "right to wrong", "wrong to right"):
        table.add_column(title, justify="right")
    for name, difference in found.parts.items():
        table.add_row(safe_line(name or "(none)"), *_cells(difference))
    table.add_row("all", *_cells(found.overall))
    Console().print(table)
    if found.only_a or found.only_b:
        typer.echo(
            f"Left out: {found.only_a:,} items that only {a} has a score for, {found.only_b:,} that only {b} has."
        )
    if found.overall.n and not found.overall.excludes_zero:
        typer.echo("The interval includes zero: these items do not show which one is better.")


def _cells(difference: "PairedDifference") -> tuple[str, ...]:
    if difference.mean is None or difference.low is None or difference.high is None:
        return ("0", "–", "–", "–", "–")
    points = f"{100 * difference.mean:+.1f}"
    between = f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}"
    return (f"{difference.n:,}", points, between, f"{difference.right_to_wrong:,}", f"{difference.wrong_to_right:,}")


def _print_example(console: Console, found: "EvaluationComparison", before: "ShownItem", after: "ShownItem") -> None:
    rose = (after.item.score or 0.0) > (before.item.score or 0.0)
    console.print()
    console.rule(safe_line(f"{before.item.item_id}: {'wrong to right' if rose else 'right to wrong'}"), align="left")
    console.print(safe(shortened(before.prompt, _LONGEST_SHOWN)))
    if before.reference:
        console.print(safe(f"{before.reference_name}: {shortened(before.reference, _LONGEST_SHOWN)}", "dim"))
    for label, one in ((found.a.record.label, before), (found.b.record.label, after)):
        console.print(safe_line(f"{label} ({one.item.score:g}): ", "bold"), end="")
        console.print(safe(shortened(one.answer, _LONGEST_SHOWN)))
