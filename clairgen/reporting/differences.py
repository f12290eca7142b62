"""How two reports differ, figure by figure, with a 95% interval where both figures have one.

The interval is that of Zou and Donner (2008, MOVER), from the intervals of the two figures, as if they were independent; for
shares, whose own are Wilson's, that is Newcombe's (1998, method 10). Where both reports are on the same tasks it is mostly wider
than it need be.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from clairgen.reporting.report import RecipeReport
from clairgen.stats import Estimate, mean_interval, wilson

_DIGITS: Final = 12  # beyond them a difference is that of rounding
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its interval; both None where it is not known."""

    value: float | None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two reports, and by how much the right one is higher; `format` is how its numbers are written.

    `reason` says why two figures cannot be compared; None where they can.
    """

    name: str
    left: Figure
    right: Figure
    format: str
    reason: str | None = None

    @property
    def value(self) -> float | None:
        """Right less left; None where one is not known or they cannot be compared."""
        if self.reason is not None or self.left.value is None or self.right.value is None:
            return None
        return round(self.right.value - self.left.value, _DIGITS)

    @property
    def interval(self) -> Interval | None:
        """The 95% interval of the difference; None without those of both figures."""
        left, right, value = self.left, self.right, self.value
        if (
            value is None
            or left.value is None
            or right.value is None
            or left.interval is None
            or right.interval is None
        ):
            return None
        below = math.hypot(right.value - right.interval[0], left.interval[1] - left.value)
        above = math.hypot(right.interval[1] - right.value, left.value - left.interval[0])
        return round(value - below, _DIGITS), round(value + above, _DIGITS)

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        interval = self.interval
        return interval is not None and not interval[0] <= 0 <= interval[1]

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Left, right, difference and its interval, as a table has them."""
        interval = self.interval
        return (
            self._number(self.left.value),
            self._number(self.right.value),
            self.reason or self._number(self.value, "+"),
            "–" if interval is None else " to ".join(self._number(end, "+") for end in interval),
        )

    def to_json(self) -> dict[str, Any]:
        """The difference as an object."""
        return {
            "name": self.name,
            "left": self.left.value,
            "right": self.right.value,
            "difference": self.value,
            "interval_95": self.interval,
            "not_comparable": self.reason,
        }

    def _number(self, value: float | None, sign: str = "") -> str:
        return "–" if value is None else f"{value:{sign}z{self.format}}"


def differences(left: RecipeReport, right: RecipeReport) -> list[Difference]:
    """What can be compared of two reports; figures that neither has are left out."""
    return [one for one in _differences(left, right) if one.left.value is not None or one.right.value is not None]


def _differences(left: RecipeReport, right: RecipeReport) -> Iterator[Difference]:
    yield Difference("kept", _kept(left), _kept(right), ".1%")
    cost = Figure(left.cost_per_kept_usd), Figure(right.cost_per_kept_usd)
    yield Difference("dollars per kept pair", *cost, ",.4f")
    of_left, of_right = left.contrast_of_kept, right.contrast_of_kept
    reason = None if left.tokenizer == right.tokenizer else "other tokenizers"
    yield Difference("Jaccard x100", _mean(of_left.jaccard), _mean(of_right.jaccard), ",.2f", reason)
    yield Difference("Levenshtein, characters", _mean(of_left.levenshtein), _mean(of_right.levenshtein), ",.1f")
    yield Difference("length ratio", _mean(of_left.length_ratio), _mean(of_right.length_ratio), ",.2f")
    units = [None if one.lengths is None else one.lengths.unit for one in (left, right)]
    reason = None if units[0] == units[1] or None in units else "other units"
    yield Difference("length, chosen less rejected", _length(left), _length(right), ",.1f", reason)
    yield Difference("AUC of surface features", _auc(left), _auc(right), ".3f")


def _kept(report: RecipeReport) -> Figure:
    return Figure(report.kept / report.n if report.n else None, wilson(report.kept, report.n))


def _mean(estimate: Estimate) -> Figure:
    return Figure(estimate.mean, mean_interval(estimate))


def _length(report: RecipeReport) -> Figure:
    return Figure(None) if report.lengths is None else _mean(report.lengths.kept.difference)


def _auc(report: RecipeReport) -> Figure:
    return Figure(None) if report.audit is None else Figure(report.audit.auc, report.audit.interval)
