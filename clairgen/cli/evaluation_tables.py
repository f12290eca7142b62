"""Tables of evaluations: one by part, all of a directory, and what a reader has to know besides the shares."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from clairgen.cli.harness_printing import harness_sentences
from clairgen.cli.mixeval_printing import print_mixeval
from clairgen.reporting.sanitize import plain_line, safe_line, shortened
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.evaluation.results import EvaluationResult
    from clairgen.evaluation.shares import Share


def print_result(result: "EvaluationResult") -> None:
    """Print the shares of an evaluation by part and overall, and what has no score, by reason."""
    from clairgen.evaluation.mixeval import MIXEVAL_HARD
    from clairgen.evaluation.results import MEASURES

    record = result.record
    if record.kind == MIXEVAL_HARD:
        print_mixeval(result)
        return
    left = "" if result.complete else f"; {len(result.items):,} of {record.items:,} so far"
    typer.echo(
        f"{plain_line(record.label)}: {plain_line(record.kind)} on {plain_line(record.data)}{left}. Intervals are 95%:"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("part", overflow="fold")
    for title in ("n", MEASURES.get(record.kind, "score"), "interval"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, share in result.parts.items():
        table.add_row(safe_line(name or "(none)"), *share_cells(share))
    table.add_row("all", *share_cells(result.overall))
    Console().print(table)
    overall = result.overall
    if overall.clusters < overall.n:
        typer.echo(
            f"Intervals count {counted(overall.clusters, 'distinct prompt')}, whose scores depend on each other."
        )
    for sentence in remarks(result):
        typer.echo(sentence)


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


def share_cells(share: "Share") -> Sequence[str]:
    """n, the share and its interval, in percent."""
    if share.mean is None or share.low is None or share.high is None:
        return ("0", "–", "–")
    return (f"{share.n:,}", f"{100 * share.mean:.1f}%", f"{100 * share.low:.1f}-{100 * share.high:.1f}")


def remarks(result: "EvaluationResult", *, brief: bool = False) -> list[str]:
    """What a reader has to know besides the shares: items without a score, answers in which nothing could be read.

    `brief` is for a table of several evaluations.
    """
    from clairgen.evaluation.harness import HARNESS
    from clairgen.evaluation.judged_pairs import PAIR_KINDS
    from clairgen.evaluation.judged_sentences import pair_sentences
    from clairgen.evaluation.mixeval import MIXEVAL_HARD
    from clairgen.evaluation.mixeval_table import mixeval_sentences

    if result.record.kind == MIXEVAL_HARD:
        return list(map(plain_line, mixeval_sentences(result, brief=brief)))
    if result.record.kind == HARNESS:
        return harness_sentences(result)
    sentences = []
    for (status, why), count in sorted(result.unscored.items(), key=lambda entry: -entry[1]):
        first = next(item for item in result.items if (item.status, item.reason or "") == (status, why))
        said = str(first.detail.get("error", ""))
        sentences.append(
            f"Not counted: {count:,} {status}: {plain_line(why)}{f': {shortened(said, 120)}' if said else ''}"
        )
    if result.record.kind in PAIR_KINDS:
        return [*sentences, *map(plain_line, pair_sentences(result, brief=brief))]
    if result.noted:
        reasons = ", ".join(f"{count:,} {plain_line(why)}" for why, count in result.noted.items())
        sentences.append(f"Scored 0, since nothing could be read in the answer: {reasons}")
    if result.cut_off:
        sentences.append(f"Cut off at max_tokens, and checked as they are: {counted(result.cut_off, 'answer')}")
    return sentences


def _judged_by(result: "EvaluationResult") -> str:
    models = [str(facts["model"]) for facts in result.other_models.values()]
    models += [f"snapshot {name}" for name in result.judge_snapshots]
    return f", with {', '.join(map(plain_line, models))}" if models else ""
