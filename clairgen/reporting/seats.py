"""A judge's seat bias: how often it chooses the answer that it was shown first, whichever that was.

Orders are drawn evenly, so a fair judge chooses the first place in half of its verdicts, however the answers differ. The
interval is Wilson's, at 95%; a judge leans to a place when it leaves out one half.
"""

import math
from dataclasses import dataclass
from typing import Any

from clairgen.reporting.statistics import Estimate

_Z = 1.959963984540054  # of a two-sided 95% interval


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """Verdicts of a recipe's judges.

    `verdicts` could be read, `refused` could not. `first_place` is the share of the first place with its interval. `flips` is,
    over answers that were shown in both orders, the share where the verdict followed the place; n is 0 without such.
    """

    verdicts: int
    refused: int
    first_place: Estimate
    interval: tuple[float, float] | None
    flips: Estimate

    @property
    def leaning(self) -> str:
        """What the interval says: `first place`, `second place` or `neither place`."""
        if self.interval is None or self.interval[0] <= 0.5 <= self.interval[1]:
            return "neither place"
        return "first place" if self.interval[0] > 0.5 else "second place"

    def to_json(self) -> dict[str, Any]:
        """The stable object of `report --json`."""
        return {
            "verdicts": self.verdicts,
            "refused": self.refused,
            "first_place": self.first_place.to_json(),
            "interval_95": None if self.interval is None else list(self.interval),
            "leaning": self.leaning,
            "flips": self.flips.to_json(),
        }


def judge_report(first: int, second: int, refused: int, *, flipped: int, in_both_orders: int) -> JudgeReport:
    """The report of counts: verdicts for the first and the second place, refused ones, and answers shown in both orders."""
    verdicts = first + second
    return JudgeReport(
        verdicts, refused, share(first, verdicts), wilson(first, verdicts), share(flipped, in_both_orders)
    )


def share(count: int, total: int) -> Estimate:
    """A share with its standard error."""
    if not total:
        return Estimate(None, None, 0)
    mean = count / total
    return Estimate(mean, math.sqrt(mean * (1 - mean) / total), total)


def wilson(count: int, total: int) -> tuple[float, float] | None:
    """Wilson's interval of a share at 95%; None without a count."""
    if not total:
        return None
    mean, z = count / total, _Z
    centre = (mean + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(mean * (1 - mean) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return centre - half, centre + half
