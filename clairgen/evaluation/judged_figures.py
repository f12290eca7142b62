"""What verdicts on pairs come to: win rates, raw and length-controlled, and the biases of the judge, each with n and interval."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from clairgen.evaluation.judged_pairs import PAIR_KINDS, SAME_TEXT
from clairgen.evaluation.length_control import NEAR, LengthControlled, Preference, length_controlled
from clairgen.evaluation.mixeval import MIXEVAL_HARD
from clairgen.evaluation.mixeval_table import mixeval_json
from clairgen.evaluation.results import EvaluationResult
from clairgen.evaluation.shares import Share, share_of
from clairgen.records import ParseStatus
from clairgen.store import ItemRecord

_TIES = (SAME_TEXT, ParseStatus.DECLARED_TIE.value, ParseStatus.TIE_BETWEEN_ORDERS.value)


@dataclass(frozen=True)
class JudgedFigures:
    """The figures of an evaluation whose items are pairs of answers.

    Where a model is evaluated, `preferred` is its win rate; where a judge is, its accuracy, the share of verdicts for the better
    answer.
    """

    result: EvaluationResult

    @property
    def preferred(self) -> Share:
        """How often the first of the two answers is preferred, ties counting half: the raw figure."""
        return self.result.overall

    @cached_property
    def controlled(self) -> LengthControlled:
        """The same at equal lengths."""
        return length_controlled(self.preferences)

    @cached_property
    def preferences(self) -> list[Preference]:
        """The scored items for the length-controlled figure."""
        return [
            Preference(
                item.score,
                item.cluster,
                len(item.detail["answer"]),
                len(item.detail["opponent"]),
                item.detail.get("difficulty"),
            )
            for item in self.result.items
            if item.score is not None
        ]

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many items were won, lost, and tied by each reason."""
        counts: Counter[str] = Counter()
        for item in self._scored:
            counts[item.reason if item.reason in _TIES else "won" if item.score == 1 else "lost"] += 1
        return counts

    @cached_property
    def near(self) -> Share:
        """The raw figure of the items whose answers are about equally long, which a length-controlled one should be close to."""
        deviation = self.controlled.overlap.deviation
        return share_of((one.cluster, one.value) for one in self.preferences if abs(one.difference) <= NEAR * deviation)

    @cached_property
    def where_longer(self) -> Share:
        """The raw figure of the items whose first answer is the longer one."""
        return self._share(lambda one: one.difference > 0)

    @cached_property
    def where_shorter(self) -> Share:
        """The raw figure of the items whose first answer is the shorter one."""
        return self._share(lambda one: one.difference < 0)

    @cached_property
    def longer_preferred(self) -> Share:
        """How often the longer answer is preferred."""
        return share_of(
            (one.cluster, one.value if one.difference > 0 else 1 - one.value)
            for one in self.preferences
            if one.difference != 0
        )

    @cached_property
    def first_position(self) -> Share:
        """How often a verdict chooses the answer that is shown first; one half for a judge without a position bias."""
        return share_of(
            (item.cluster, float(one["choice"] == 1))
            for item in self.result.items
            for one in _verdicts(item)
            if one["choice"] is not None
        )

    @cached_property
    def flipped(self) -> Share:
        """How often both verdicts on a pair choose the same position, so that the order decides."""
        both = [(item, _choices(item)) for item in self.result.items]
        return share_of((item.cluster, float(len(set(found)) == 1)) for item, found in both if len(found) > 1)

    @cached_property
    def every_pair_right(self) -> Share | None:
        """How often the better answer of a row is preferred to each of its worse ones, in both orders.

        None where no row has several. A row counts once all of its pairs have a score.
        """
        rows: dict[tuple[str, str], list[float | None]] = {}
        for item in self.result.items:
            rows.setdefault((item.cluster, str(item.detail.get("row"))), []).append(item.score)
        if all(len(scores) == 1 for scores in rows.values()):
            return None
        return share_of(
            (cluster, float(all(score == 1 for score in scores)))
            for (cluster, _), scores in rows.items()
            if None not in scores
        )

    @cached_property
    def verdicts(self) -> Mapping[str, int]:
        """How many verdicts there are by status, `ok` for those that chose."""
        return Counter(one["status"] for item in self.result.items for one in _verdicts(item))

    @property
    def cut_off(self) -> Mapping[str, int]:
        """How many answers of the model (`answer`) and its opponent were cut off at max_tokens; they are judged as they are."""
        return Counter(name for item in self.result.items for name in item.detail.get("cut_off", ()))

    @property
    def mean_lengths(self) -> tuple[float, float] | None:
        """Mean characters of the first and of the second answer; None without a scored item."""
        n = len(self.preferences)
        if not n:
            return None
        return sum(one.length for one in self.preferences) / n, sum(one.opponent_length for one in self.preferences) / n

    @property
    def left_out(self) -> Mapping[str, int]:
        """Rows of the data that were no labelled pair, by reason; empty where a model is evaluated."""
        found: Mapping[str, int] = self.result.record.settings.get("subject", {}).get("left out", {})
        return found

    @property
    def judge(self) -> Mapping[str, Any]:
        """What is known of the judge: its `model`, `revision` and sampling."""
        found: Mapping[str, Any] = self.result.record.settings["models"]["judge"]
        return found

    @property
    def served(self) -> Mapping[str, int]:
        """What the judge's server called it, with its fingerprint if it has one, by number of items; empty if it said nothing."""
        return Counter(
            " ".join(filter(None, names)) for item in self.result.items for names in item.detail.get("served", ())
        )

    def to_json(self) -> dict[str, Any]:
        """The figures as an object, beside those of the result."""
        shares = ("near", "where_longer", "where_shorter", "longer_preferred", "first_position", "flipped")
        every = self.every_pair_right
        return {
            **self.result.to_json(),
            "judge": dict(self.judge) | {"served": dict(self.served)},
            "length_controlled": self.controlled.to_json(),
            "outcomes": dict(self.outcomes),
            "verdicts": dict(self.verdicts),
            **{name: getattr(self, name).to_json() for name in shares},
            "every_pair_right": None if every is None else every.to_json(),
            "cut_off": dict(self.cut_off),
            "mean_lengths": None if self.mean_lengths is None else list(self.mean_lengths),
            "left_out": dict(self.left_out),
        }

    @property
    def _scored(self) -> Iterable[ItemRecord]:
        return (item for item in self.result.items if item.score is not None)

    def _share(self, takes: Callable[[Preference], bool]) -> Share:
        return share_of((one.cluster, one.value) for one in self.preferences if takes(one))


def result_json(result: EvaluationResult) -> dict[str, Any]:
    """The object of a result, with the figures of its kind."""
    if result.record.kind == MIXEVAL_HARD:
        return mixeval_json(result)
    return JudgedFigures(result).to_json() if result.record.kind in PAIR_KINDS else result.to_json()


def _verdicts(item: ItemRecord) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = item.detail.get("verdicts", ())
    return found


def _choices(item: ItemRecord) -> list[int]:
    """The positions that the verdicts on an item chose."""
    return [one["choice"] for one in _verdicts(item) if one["choice"] is not None]
