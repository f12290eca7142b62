"""A judge's seat bias: how often it chooses the answer that it was shown first, whichever that was.

Orders are drawn evenly, so a fair judge chooses the first place in half of its verdicts, however the answers differ. The
interval is Wilson's, at 95%; a judge leans to a place when it leaves out one half.
"""

import math
from dataclasses import dataclass
from typing import Any

from clairgen.stats import Estimate

_Z = 1.959963984540054  # of a two-sided 95% interval


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """Verdicts of one of a recipe's judges.

    `verdicts` chose an answer, `ties` declared that neither is better, `refused` could not be read. `first_place` is the share
    of the first place with its interval. `flips` is, over answers that were shown in both orders, the share where the verdict
    followed the place; n is 0 without such. Verdicts of both orders, or of several rounds, count as independent.
    """

    role: str
    verdicts: int
    ties: int
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
            "role": self.role,
            "verdicts": self.verdicts,
            "ties": self.ties,
            "refused": self.refused,
            "first_place": self.first_place.to_json(),
            "interval_95": None if self.interval is None else list(self.interval),
            "leaning": self.leaning,
            "flips": self.flips.to_json(),
        }


def judge_report(
    role: str, *, first: int, second: int, ties: int = 0, refused: int = 0, flipped: int = 0, in_both_orders: int = 0
) -> JudgeReport:
    """The report of a judge's counts: verdicts for the first and the second place, and answers shown in both orders."""
    verdicts = first + second
    interval = wilson(first, verdicts)
    return JudgeReport(role, verdicts, ties, refused, share(first, verdicts), interval, share(flipped, in_both_orders))


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
