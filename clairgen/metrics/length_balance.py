"""Whether the length of an answer tells that it was chosen, and which pairs to leave out so that it does not.

The difference is the length of chosen minus that of rejected. Selecting pairs by it keeps their distribution symmetric: pairs are
put into bands of the size of their difference, each band's upper edge a quarter above its lower one, and of each band as many
pairs are kept whose chosen answer is the longer one as pairs whose chosen answer is the shorter one. Which of the more frequent
side are kept follows from the hash of their ids, so that it is the same in every export. Pairs without a difference stay.
So the mean difference is near 0, and at no size of a difference does its sign tell which answer was chosen. Dropping only the
longest would bring the mean to 0 too, but leave many small differences of one sign.
"""

import hashlib
import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clairgen.stats import Estimate, auc_score_interval, mean_interval, mean_of, wilson

LONGER: Final = "unbalanced_chosen_longer"
SHORTER: Final = "unbalanced_chosen_shorter"
"""Why a balanced selection leaves a pair out: too many like it whose chosen answer is the longer, or the shorter, one."""
_BAND: Final = math.log(1.25)


@dataclass(frozen=True, slots=True)
class PairLength:
    """A pair, by its id, and the length of its chosen answer minus that of its rejected one."""

    pair_id: str
    difference: int


@dataclass(frozen=True, slots=True)
class LengthShift:
    """How lengths differ in `n` pairs: the mean difference, in how many chosen is the longer or the shorter answer, and an AUC.

    `auc` is that of the difference by itself, as in the shortcut audit: 0.5 where length says nothing, 1 where the longer answer
    is always the chosen one; None without a pair.
    """

    n: int
    difference: Estimate
    longer: int
    shorter: int
    auc: float | None

    @property
    def difference_interval(self) -> tuple[float, float] | None:
        """The 95% interval of the mean difference; None with fewer than two pairs."""
        return mean_interval(self.difference)

    @property
    def longer_interval(self) -> tuple[float, float] | None:
        """The 95% interval of the share of pairs whose chosen answer is the longer one; None without a pair."""
        return wilson(self.longer, self.n)

    @property
    def auc_interval(self) -> tuple[float, float] | None:
        """The 95% interval of the AUC; None without a pair."""
        return None if self.auc is None else auc_score_interval(self.auc, self.n)

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Pairs, mean difference, share of longer chosen answers and AUC as a table has them, with 95% intervals."""
        return (
            f"{self.n:,}",
            _with_interval(self.difference.mean, self.difference_interval, "+,.1f"),
            _with_interval(self.longer / self.n if self.n else None, self.longer_interval, ".0%"),
            _with_interval(self.auc, self.auc_interval, ".3f"),
        )

    def to_json(self) -> dict[str, Any]:
        """The figures as an object."""
        return {
            "n": self.n,
            "difference": self.difference.to_json(),
            "difference_interval_95": self.difference_interval,
            "chosen_longer": self.longer,
            "chosen_shorter": self.shorter,
            "auc": self.auc,
            "auc_interval_95": self.auc_interval,
        }


def length_shift(lengths: Iterable[PairLength]) -> LengthShift:
    """The figures of some pairs."""
    differences = sorted(one.difference for one in lengths)
    n = len(differences)
    longer, shorter = n - bisect_right(differences, 0), bisect_left(differences, 0)
    return LengthShift(n, mean_of(differences), longer, shorter, _auc(differences))


def unbalanced(lengths: Iterable[PairLength]) -> dict[str, str]:
    """The pairs that a balanced selection leaves out, by id, with LONGER or SHORTER as the reason."""
    bands: dict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for one in lengths:
        if one.difference:
            bands[int(math.log(abs(one.difference)) / _BAND)][one.difference < 0].append(one.pair_id)
    left_out: dict[str, str] = {}
    for longer, shorter in bands.values():
        kept = min(len(longer), len(shorter))
        for pairs, reason in ((longer, LONGER), (shorter, SHORTER)):
            left_out |= dict.fromkeys(sorted(pairs, key=_drawn)[kept:], reason)
    return left_out


def _drawn(pair_id: str) -> bytes:
    return hashlib.sha256(f"length {pair_id}".encode("utf-8", "surrogatepass")).digest()


def _auc(differences: Sequence[int]) -> float | None:
    """The share of pairs (i, j) of sorted differences, i = j too, whose sum is above 0; ties count one half."""
    if not differences:
        return None
    n = len(differences)
    above = sum(n - bisect_right(differences, -one) for one in differences)
    below = sum(bisect_left(differences, -one) for one in differences)
    return 0.5 + (above - below) / (2 * n * n)


def _with_interval(value: float | None, interval: tuple[float, float] | None, shown: str) -> str:
    if value is None:
        return "–"
    return f"{value:{shown}}" + ("" if interval is None else f" ({interval[0]:{shown}} to {interval[1]:{shown}})")
