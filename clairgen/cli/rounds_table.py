"""What commands print of rounds of training: a table with a row for each model, and what to do with it."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.table import Table

from clairgen.iteration.lineage import Gain, Lineage, PairCounts, Score, Verdict, lineage_object
from clairgen.reporting.sanitize import plain_line
from clairgen.wording import counted

_BESIDES: Final = {
    Verdict.NO_GAIN: "the interval of its gain includes zero",
    Verdict.WORSE: "its model is worse than the one before",
}


def print_lineage(lineage: Lineage, folder: Path, *, as_json: bool = False) -> None:
    """Print the rounds in `folder`, in a table or as a JSON object."""
    if as_json:
        typer.echo(json.dumps(lineage_object(lineage), indent=2))
        return
    Console().print(rounds_table(lineage))
    models = lineage.models
    unscored = sum(model.score.unscored for model in models if model.score is not None)
    if unscored:
        typer.echo(
            f"{counted(unscored, 'held-out prompt')} without a score, in no share: clairgen evaluate show {folder / 'evaluation'}"
        )
    if failed := sum(each.pairs.failed for each in lineage.rounds if each.pairs is not None):
        typer.echo(
            f"{counted(failed, 'pair')} could not be made; clairgen status {folder / 'round-N' / 'run'} says why"
        )
    if lineage.rounds and (verdict := lineage.rounds[-1].verdict) in _BESIDES:
        typer.echo(f"Round {lineage.rounds[-1].number} showed no gain: {_BESIDES[verdict]}.")
    best = models[lineage.best]
    which = f"model of round {lineage.best}" if lineage.best else "first model"
    typer.echo(f"The model to use is the {which}: {plain_line(shlex.quote(best.weights))}")


def rounds_table(lineage: Lineage) -> Table:
    """A row for the first model and one for each round: pairs kept, score, gain with its interval, verdict."""
    held_out = lineage.settings.get("held out")
    is_judged = isinstance(held_out, Mapping) and held_out.get("kind") != "questions"
    table = Table(box=None, pad_edge=False)
    table.add_column("round", justify="right", no_wrap=True)
    for title in ("pairs kept", "wins, %" if is_judged else "right, %", "gain, points"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_row("0", "", _share(lineage.first.score), "", "")
    for each in lineage.rounds:
        score = None if each.model is None else each.model.score
        verdict = "in progress" if each.verdict is None else each.verdict.value
        table.add_row(str(each.number), _kept(each.pairs), _share(score), _points(each.gain), verdict)
    return table


def _kept(pairs: PairCounts | None) -> str:
    return "" if pairs is None else f"{pairs.kept:,} of {pairs.made:,}"


def _share(score: Score | None) -> str:
    if score is None or score.mean is None or score.low is None or score.high is None:
        return ""
    return f"{100 * score.mean:.1f} ({100 * score.low:.1f} to {100 * score.high:.1f})"


def _points(gain: Gain | None) -> str:
    if gain is None or gain.mean is None or gain.low is None or gain.high is None:
        return ""
    return f"{100 * gain.mean:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
