"""A judge's position bias: how often it chooses the answer that it was shown first.

The order is random, so an unbiased judge chooses the first position in half of its verdicts, whatever the answers are. The
interval is Wilson's 95% interval; a judge leans to a position when the interval excludes one half.
"""

from dataclasses import dataclass
from typing import Any

from clairgen.config.renamed import with_former_names
from clairgen.stats import Estimate, share, wilson
from clairgen.wording import counted, one_line_repr


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """Verdicts of one of a recipe's judges.

    `verdicts` chose an answer, `ties` declared that neither is better, `unreadable` replies could not be parsed. `first_position`
    is the share of verdicts for the first position, with its interval. `flips` is the share of answer pairs, among those shown in
    both orders, where the judge chose the same position twice; its n is 0 if no pair was shown in both orders. Verdicts in both
    orders, or in several rounds, count as independent.
    """

    role: str
    verdicts: int
    ties: int
    unreadable: int
    first_position: Estimate
    interval: tuple[float, float] | None
    flips: Estimate

    @property
    def leaning(self) -> str:
        """What the interval shows: `first position`, `second position` or `neither position`."""
        if self.interval is None or self.interval[0] <= 0.5 <= self.interval[1]:
            return "neither position"
        return "first position" if self.interval[0] > 0.5 else "second position"

    def __repr__(self) -> str:
        counts = (counted(self.ties, "tie"), f"{self.unreadable:,} without a verdict", f"leans to {self.leaning}")
        return one_line_repr(self, self.role, counted(self.verdicts, "verdict"), *counts)

    def to_json(self) -> dict[str, Any]:
        """The stable object of `report --json`."""
        content = {
            "role": self.role,
            "verdicts": self.verdicts,
            "ties": self.ties,
            "unreadable": self.unreadable,
            "first_position": self.first_position.to_json(),
            "interval_95": None if self.interval is None else list(self.interval),
            "leaning": self.leaning,
            "flips": self.flips.to_json(),
        }
        return with_former_names(content, {"first_place": "first_position", "refused": "unreadable"})


def judge_report(
    role: str, *, first: int, second: int, ties: int = 0, unreadable: int = 0, flipped: int = 0, in_both_orders: int = 0
) -> JudgeReport:
    """The report from a judge's counts: verdicts for the first and the second position, and pairs shown in both orders."""
    verdicts = first + second
    interval = wilson(first, verdicts)
    return JudgeReport(
        role, verdicts, ties, unreadable, share(first, verdicts), interval, share(flipped, in_both_orders)
    )
