"""What is printed of the tasks of other harnesses: each metric as the tool reports it, and tasks that failed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from clairgen.reporting.sanitize import plain_line, safe_line, shortened

if TYPE_CHECKING:
    from clairgen.evaluation.harness import TaskOutcome
    from clairgen.evaluation.results import EvaluationResult

_LONGEST_SHOWN = 300


def print_outcomes(label: str, outcomes: "Sequence[TaskOutcome]") -> None:
    """Print one table of all metrics, then the tasks that failed."""
    table = Table(box=None, pad_edge=False)
    for title in ("task", "version", "metric"):
        table.add_column(title, overflow="fold")
    for title in ("n", "value", "standard error"):
        table.add_column(title, justify="right", no_wrap=True)
    for outcome in outcomes:
        for one in outcome.figures:
            names = (safe_line(one.task), safe_line(one.task_version), safe_line(one.metric))
            count = "–" if one.n is None else f"{one.n:,}"
            table.add_row(*names, count, _plain(one.value), _plain(one.stderr))
    if table.row_count:
        tools = dict.fromkeys(f"{one.task.tool} {one.tool_version}" for one in outcomes if one.figures)
        typer.echo(f"{plain_line(label)}, as reported by {' and '.join(map(plain_line, tools))}:")
        Console().print(table)
    for outcome in outcomes:
        if outcome.failure is not None:
            typer.echo(f"{plain_line(str(outcome.task))} failed: {shortened(outcome.failure, _LONGEST_SHOWN)}")
            typer.echo(f"  What it printed: {plain_line(str(outcome.log))}")


def outcomes_json(label: str, outcomes: "Sequence[TaskOutcome]") -> dict[str, Any]:
    """The outcomes as an object."""
    return {
        "label": label,
        "tasks": [
            {
                "task": str(outcome.task),
                "tool": outcome.task.tool,
                "tool_version": outcome.tool_version,
                "failure": outcome.failure,
                "log": str(outcome.log),
                "figures": [
                    {
                        name: getattr(one, name)
                        for name in ("task", "task_version", "metric", "value", "stderr", "n", "higher_is_better")
                    }
                    for one in outcome.figures
                ],
            }
            for outcome in outcomes
        ],
    }


def harness_sentences(result: "EvaluationResult") -> list[str]:
    """What a tool reports where it has no scores of single questions, without which there is no interval of ours."""
    return [
        f"{_plain(item.detail.get('value'))} (standard error {_plain(item.detail.get('stderr'))}), as the tool reports it; it is "
        "not a mean of scores of questions, so it has no interval and is not compared here"
        for item in result.items
        if item.score is None
    ]


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
