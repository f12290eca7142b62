"""What is printed of MixEval-Hard: its table, what is left open, and the best of several checkpoints with its selection bias."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.console import Console, RenderableType
from rich.table import Table

from clairgen.reporting.sanitize import plain_line, safe_line
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.evaluation.best_checkpoint import BestCheckpoint
    from clairgen.evaluation.mixeval_table import MixEvalRow
    from clairgen.evaluation.results import EvaluationResult


def print_mixeval(result: "EvaluationResult") -> None:
    """Print the table by split and benchmark, and the sentences that belong to it."""
    from clairgen.evaluation.mixeval_table import mixeval_sentences, mixeval_table

    rows, record = mixeval_table(result), result.record
    left = "" if result.complete else f"; {len(result.items):,} of {record.items:,} so far"
    judge = plain_line(str(record.settings["models"]["judge"]["model"]))
    typer.echo(
        f"{plain_line(record.label)}: MixEval-Hard on {plain_line(record.data)}, judged by {judge}{left}. Intervals are 95% and "
        f"count {counted(rows[0].questions, 'distinct question')} in {counted(rows[0].items, 'row')}:"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("", overflow="fold", min_width=15)
    for title in ("scored", "score", "interval", "unreadable", "failed", "bounds"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row))
    Console().print(table)
    for sentence in mixeval_sentences(result):
        typer.echo(plain_line(sentence))


def print_best(best: "BestCheckpoint", base: "EvaluationResult | None") -> None:
    """Print maximum and mean over checkpoints, as in the paper's Table 2, and what is left of the maximum without selection."""
    from clairgen.evaluation.best_checkpoint import HALVINGS

    start, unit = (100 * (base.overall.mean or 0.0), "points") if base is not None else (0.0, "%")
    sign = "+" if base is not None else ""
    spread = "" if best.deviation is None else f" (sd {100 * best.deviation:.2f})"
    maximum = 100 * (best.maximum.mean or 0.0) - start
    of = f", change from {plain_line(base.record.label)} ({base.overall.words})" if base is not None else ""
    typer.echo(
        f"Over {counted(best.checkpoints, 'checkpoint')}{of}: max {maximum:{sign}.2f} {unit} ({plain_line(best.label)}), mean "
        f"{100 * best.mean - start:{sign}.2f} {unit}{spread}."
    )
    typer.echo(
        f"Chosen on one half of the questions and scored on the other: {100 * best.held_out - start:{sign}.2f} {unit} "
        f"(95% {100 * best.low - start:{sign}.2f} to {100 * best.high - start:{sign}.2f}), mean of {HALVINGS} random halvings. "
        f"The maximum is {100 * best.selection_bias:.2f} points higher: it is chosen on the questions that it is reported on."
    )


def _cells(row: "MixEvalRow") -> Sequence[RenderableType]:
    share = row.share
    score, interval = "–", "–"
    if share.mean is not None and share.low is not None and share.high is not None:
        score, interval = f"{100 * share.mean:.1f}", f"{100 * share.low:.1f}-{100 * share.high:.1f}"
    bounds = "–" if row.lowest is None or row.highest is None else f"{100 * row.lowest:.1f}-{100 * row.highest:.1f}"
    scored = f"{share.n:,} of {row.items:,}"
    return (safe_line(row.name), scored, score, interval, f"{row.unreadable:,}", f"{row.failed:,}", bounds)
