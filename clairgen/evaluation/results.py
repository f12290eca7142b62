"""What came of an evaluation: shares by part with intervals, counts by reason, the score of each item; two of them compared."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from clairgen.errors import InputError
from clairgen.evaluation.evaluator import ItemStatus
from clairgen.evaluation.shares import Difference, Share, difference_of, share_of
from clairgen.keys import canonical_json
from clairgen.store import EvaluationRecord, ItemRecord, RunDirectory, Store, reading
from clairgen.wording import counted, one_line_repr

MEASURES: Final[Mapping[str, str]] = {
    "questions": "right",
    "pairwise": "win rate",
    "alpaca": "win rate",
    "judge": "accuracy",
}
"""What the mean score of an evaluation is called in tables, by kind; `score` where it is not here."""
_EVALUATED: Final[Mapping[str, str]] = {"judge": "judge"}
"""The role of the model that is evaluated, by kind; `target` where it is not here."""
_SHORTEST_ID = 4


@dataclass(frozen=True)
class EvaluationResult:
    """The items of an evaluation so far, in their order; `record` says what was evaluated on what.

    Only items that have a score count in shares; `unscored` counts the others by status and reason.
    """

    record: EvaluationRecord
    items: Sequence[ItemRecord]

    def __repr__(self) -> str:
        left = [] if self.complete else [f"{counted(self.record.items - len(self.items), 'item')} left"]
        return one_line_repr(
            self, self.record.label, f"{self.record.kind} on {self.record.data}", self.overall.words, *left
        )

    @cached_property
    def overall(self) -> Share:
        """The share over all scored items."""
        return share_of((item.cluster, item.score) for item in self.items if item.score is not None)

    @cached_property
    def parts(self) -> Mapping[str, Share]:
        """The share of each part, in the order of the items; empty where items have no parts."""
        names = dict.fromkeys(item.part for item in self.items)
        if list(names) in ([], [""]):
            return {}
        return {
            name: share_of(
                (item.cluster, item.score) for item in self.items if item.part == name and item.score is not None
            )
            for name in names
        }

    @property
    def scores(self) -> Mapping[str, float]:
        """The score of every scored item, by its id, in the order of the items."""
        return {item.item_id: item.score for item in self.items if item.score is not None}

    @cached_property
    def unscored(self) -> Mapping[tuple[str, str], int]:
        """Items without a score, by status and reason."""
        return Counter((item.status, item.reason or "") for item in self.items if item.score is None)

    @cached_property
    def noted(self) -> Mapping[str, int]:
        """Items that are scored and have a reason nevertheless, such as an answer without a number, by reason."""
        return Counter(item.reason for item in self.items if item.score is not None and item.reason)

    @cached_property
    def cut_off(self) -> int:
        """Items in which an answer was cut off at max_tokens; it is scored as it is."""
        return sum(bool(item.detail.get("cut_off")) for item in self.items)

    def count(self, status: ItemStatus) -> int:
        """How many items have a status."""
        return sum(item.status == status for item in self.items)

    @property
    def complete(self) -> bool:
        """Whether every item of the data has come to something."""
        return len(self.items) == self.record.items

    @property
    def other_models(self) -> Mapping[str, Mapping[str, Any]]:
        """What is known of the models that scores rest on besides the one that is evaluated, by role: judges, an opponent."""
        evaluated = _EVALUATED.get(self.record.kind, "target")
        return {role: facts for role, facts in self.record.settings["models"].items() if role != evaluated}

    @cached_property
    def judge_snapshots(self) -> Sequence[str]:
        """The names that servers gave the judge in their answers; one configured name may stand for several snapshots.

        Empty where the judge is what is evaluated, or has a revision, which says more.
        """
        judge = self.other_models.get("judge")
        if judge is None or judge.get("revision") is not None:
            return []
        return sorted({names[0] for item in self.items for names in item.detail.get("served", ()) if names[0]})

    @property
    def comparable(self) -> str:
        """Equal for evaluations whose scores may stand in one column: one kind, the same items, rules, judges and snapshots."""
        settings = self.record.settings
        facts = [self.record.kind, settings["data"], settings["rules"], self.other_models, self.judge_snapshots]
        return canonical_json(facts)

    def to_json(self) -> dict[str, Any]:
        """The result as an object, without the items."""
        return {
            "id": self.record.id,
            "kind": self.record.kind,
            "label": self.record.label,
            "data": self.record.data,
            "items": self.record.items,
            "done": len(self.items),
            "complete": self.complete,
            "overall": self.overall.to_json(),
            "parts": {name: share.to_json() for name, share in self.parts.items()},
            "unscored": [{"status": status, "reason": why, "count": n} for (status, why), n in self.unscored.items()],
            "noted": dict(self.noted),
            "cut_off": self.cut_off,
            "settings": dict(self.record.settings),
            "created_at": self.record.created_at,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two evaluations of the same items: the difference is that of b minus a.

    `only_a` and `only_b` count the items that only one of them has a score for; they are left out. `changed` are the items whose
    score differs, each as it is in a and in b.
    """

    a: EvaluationResult
    b: EvaluationResult
    overall: Difference
    parts: Mapping[str, Difference]
    changed: Sequence[tuple[ItemRecord, ItemRecord]]
    only_a: int
    only_b: int

    def __repr__(self) -> str:
        found = self.overall
        return one_line_repr(self, f"{self.b.record.label} against {self.a.record.label}", found.words)

    def to_json(self) -> dict[str, Any]:
        """The comparison as an object; `changed` are the ids of the items."""
        return {
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "difference": self.overall.to_json(),
            "parts": {name: difference.to_json() for name, difference in self.parts.items()},
            "changed": [{"item": a.item_id, "a": a.score, "b": b.score} for a, b in self.changed],
            "only_a": self.only_a,
            "only_b": self.only_b,
        }


def compared(a: EvaluationResult, b: EvaluationResult) -> Comparison:
    """Two evaluations, paired by the ids of their items. Raises InputError where they are not about the same items.

    Scores by different rules, or by different judges, are not compared.
    """
    for name, what in (("data", "items"), ("rules", "rules")):
        if a.record.settings.get(name) != b.record.settings.get(name) or a.record.kind != b.record.kind:
            raise InputError(
                f"{a.record.label} and {b.record.label} are not evaluations of the same {what} ({a.record.kind} on "
                f"{a.record.data}, {b.record.kind} on {b.record.data}), so their scores are not compared; evaluate both alike"
            )
    if a.other_models != b.other_models:
        raise InputError(
            f"{a.record.label} and {b.record.label} were not scored by the same judge, so their scores are not compared; "
            "evaluate both with one judge"
        )
    if a.judge_snapshots != b.judge_snapshots:
        served = [", ".join(one.judge_snapshots) or "no snapshot" for one in (a, b)]
        raise InputError(
            f"{a.record.label} and {b.record.label} were judged under one name by other snapshots ({served[0]}; {served[1]}), so "
            "their scores are not compared; evaluate both in a new directory with one snapshot"
        )
    scored_a = {item.item_id: item for item in a.items if item.score is not None}
    scored_b = {item.item_id: item for item in b.items if item.score is not None}
    both = [(scored_a[name], scored_b[name]) for name in scored_a if name in scored_b]
    parts = list(dict.fromkeys(first.part for first, _ in both))
    return Comparison(
        a,
        b,
        _difference(both),
        {}
        if parts in ([], [""])
        else {part: _difference([one for one in both if one[0].part == part]) for part in parts},
        [(first, second) for first, second in both if first.score != second.score],
        len(scored_a) - len(both),
        len(scored_b) - len(both),
    )


def grouped(results: Sequence[EvaluationResult]) -> list[list[EvaluationResult]]:
    """Evaluations whose scores may stand in one column together, in the order of the first of each group."""
    groups = defaultdict[str, list[EvaluationResult]](list)
    for result in results:
        groups[result.comparable].append(result)
    return list(groups.values())


async def load_results(run: Path | str) -> list[EvaluationResult]:
    """Every evaluation of a run directory, which is opened for reading."""
    async with reading(RunDirectory(Path(run)), snapshot=True) as store:
        return await stored_results(store)


async def stored_results(store: Store) -> list[EvaluationResult]:
    """Every evaluation of a run directory."""
    return [
        EvaluationResult(record, await store.evaluations.items(record.id)) for record in await store.evaluations.all()
    ]


def named_result(results: Sequence[EvaluationResult], name: str, run: object) -> EvaluationResult:
    """The evaluation with this label, or whose id begins so. Raises InputError where there is none, or more than one."""
    found = [one for one in results if one.record.label == name]
    if not found and len(name) >= _SHORTEST_ID:
        found = [one for one in results if one.record.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        there = ", ".join(dict.fromkeys(one.record.label for one in results)) or "none yet"
        raise InputError(f"{run} has no evaluation {name!r}; it has {there}")
    several = ", ".join(f"{one.record.id[:8]} ({one.record.kind} on {one.record.data})" for one in found)
    raise InputError(f"{run} has {len(found)} evaluations of {name!r}; name one by its id: {several}")


def _difference(pairs: Sequence[tuple[ItemRecord, ItemRecord]]) -> Difference:
    return difference_of((a.cluster, a.score or 0.0, b.score or 0.0) for a, b in pairs)
