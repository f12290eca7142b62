"""The table of MixEval-Hard: overall, by split and by benchmark, with what unreadable replies and failures leave open."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clairgen.evaluation.evaluator import ItemStatus
from clairgen.evaluation.mixeval import NO_SUCH_OPTION, split_of
from clairgen.evaluation.mixeval_questions import Split
from clairgen.evaluation.results import EvaluationResult
from clairgen.evaluation.shares import Share, share_of
from clairgen.store import ItemRecord
from clairgen.wording import counted

OVERALL = "overall"
_ENOUGH = 0.95  # share of rows that must have a score for the score to stand by itself
_MEAN_OF_GUESSED_GRADES = 0.5  # upstream draws them from 0.0 to 1.0


@dataclass(frozen=True, slots=True)
class MixEvalRow:
    """A line of the table over `items` rows of `questions` distinct questions; scores are between 0 and 1.

    `share` is over the rows that have a score. `lowest` and `highest` are the means over all rows if those without a score were
    all wrong, or all right. `upstream` is the mean that MixEval's own code gives on average, which draws a score at random for an
    unreadable reply; failed rows are left out of it. All three are None without a row.
    """

    name: str
    items: int
    questions: int
    share: Share
    unreadable: int
    failed: int
    lowest: float | None
    highest: float | None
    upstream: float | None

    def to_json(self) -> dict[str, Any]:
        """The line as an object."""
        counts = {"name": self.name, "items": self.items, "questions": self.questions, "share": self.share.to_json()}
        missing = {"unreadable": self.unreadable, "failed": self.failed}
        return counts | missing | {"lowest": self.lowest, "highest": self.highest, "upstream": self.upstream}


def mixeval_table(result: EvaluationResult) -> list[MixEvalRow]:
    """The lines: overall, the splits, then the benchmarks over both splits, the largest first, as in Table 4 of the paper.

    Table 4 gives AGIEval 71 queries where both splits together have 83; the other twelve are free-form.
    """
    items = result.items
    by_split = [(str(split), [item for item in items if split_of(item.item_id) is split]) for split in Split]
    names = dict.fromkeys(item.part for item in items)
    by_benchmark = [(name, [item for item in items if item.part == name]) for name in names]
    by_benchmark.sort(key=lambda one: -len(one[1]))
    return [_row(OVERALL, items), *(_row(name, some) for name, some in (*by_split, *by_benchmark) if some)]


def mixeval_sentences(result: EvaluationResult, *, brief: bool = False) -> list[str]:
    """What a reader has to know besides the scores: rows without one, and what they leave open; replies that are in doubt.

    `brief` is only what belongs beside the score in a table of several evaluations.
    """
    overall = mixeval_table(result)[0]
    missing = [
        *_counted_by_name(result.items, ItemStatus.UNREADABLE, "Judge unreadable"),
        *_counted_by_name(result.items, ItemStatus.FAILED, "Failed"),
        *_left_open(overall),
    ]
    return missing if brief else [*missing, *_doubts(result.items)]


def mixeval_json(result: EvaluationResult) -> dict[str, Any]:
    """The result as an object, with the lines of its table under `table`."""
    return result.to_json() | {"table": [row.to_json() for row in mixeval_table(result)]}


def _counted_by_name(items: Sequence[ItemRecord], status: ItemStatus, what: str) -> Iterable[str]:
    named = Counter(_named(item.reason, item.detail.get("role")) for item in items if item.status == status)
    if count := named.total():
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in named.most_common())
        yield f"{what}: {counted(count, 'row')} of {len(items):,} ({count / len(items):.1%}): {reasons}."


def _left_open(overall: MixEvalRow) -> Iterable[str]:
    if overall.lowest is not None and overall.highest is not None and overall.share.n < overall.items:
        yield (
            f"Rows without a score are not counted. Were all of them wrong, the score would be {overall.lowest:.1%}, were all "
            f"right, {overall.highest:.1%}."
        )
    if overall.share.n < _ENOUGH * overall.items:
        yield "So many rows have no score that the score says little; take the bounds, or another judge."
    if overall.unreadable and overall.upstream is not None:
        yield (
            f"MixEval's own code draws a random score for an unreadable reply; it would give {overall.upstream:.1%} on average."
        )


def _doubts(items: Sequence[ItemRecord]) -> Iterable[str]:
    if count := sum(item.detail.get("several", False) for item in items):
        yield f"{counted(count, 'reply', 'replies')} of the judge with several values; the first one counts."
    if count := sum(item.reason == NO_SUCH_OPTION for item in items if item.score is not None):
        yield f"{counted(count, 'answer')} in which the judge reads none of the options, scored 0."
    if count := sum(item.detail.get("cut_off", False) for item in items):
        yield f"{counted(count, 'answer')} of the model cut off at max_tokens, judged as they are."


def _row(name: str, items: Sequence[ItemRecord]) -> MixEvalRow:
    share = share_of((item.cluster, item.score) for item in items if item.score is not None)
    total = (share.mean or 0.0) * share.n
    unreadable = [item for item in items if item.status == ItemStatus.UNREADABLE]
    guessed = total + sum(_guessed(unreadable))
    n, read = len(items), share.n + len(unreadable)
    return MixEvalRow(
        name,
        n,
        len({item.cluster for item in items}),
        share,
        len(unreadable),
        n - read,
        total / n if n else None,
        (total + n - share.n) / n if n else None,
        guessed / read if read else None,
    )


def _guessed(unreadable: Iterable[ItemRecord]) -> Iterable[float]:
    """What a random score is on average, for each unreadable reply."""
    for item in unreadable:
        options = item.detail.get("options", 0)
        yield 1 / options if options else _MEAN_OF_GUESSED_GRADES


def _named(reason: str | None, role: object) -> str:
    return f"{reason} of the {'judge' if role == 'judge' else 'model'}" if role else str(reason)
