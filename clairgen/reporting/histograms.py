"""Histograms of contrast and length ratio over a recipe's pairs, with fixed bins so that recipes can be compared."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clairgen.records import Contrast
from clairgen.text import one_line_repr


@dataclass(frozen=True, slots=True)
class Scale:
    """The bins of a metric: `count` bins of width `step` starting at `lowest`, on a log2 scale if `logarithmic`.

    Values below or above the range are counted in the first or the last bin. With `zero_bin` the first bin is for 0 alone, and
    lies, a bin's width apart, below the others.
    """

    title: str
    lowest: float
    step: float
    count: int
    logarithmic: bool = False
    zero_bin: bool = False

    def bin(self, value: float) -> int:
        """The index of the bin that contains a value."""
        if self.zero_bin and value == 0:
            return 0
        if self.logarithmic:
            value = math.log2(value) if value > 0 else self.lowest
        first = 1 if self.zero_bin else 0
        return min(max(math.floor((value - self.lowest) / self.step), 0) + first, self.count - 1)

    def start(self, number: int) -> float:
        """Where a bin begins on the axis, which is logarithmic if the scale is; beyond the last one, where that ends."""
        if not self.zero_bin:
            return self.lowest + self.step * number
        return self.lowest + self.step * (number - 1 if number else -2)

    def position(self, value: float) -> float:
        """Where a value above 0 lies on the axis."""
        return math.log2(value) if self.logarithmic else value


SCALES: Sequence[Scale] = (
    Scale("Jaccard x100", 0, 5, 20),
    Scale("Levenshtein, characters", 0, 0.5, 35, logarithmic=True, zero_bin=True),
    Scale("length ratio, chosen / rejected", -3, 0.25, 24, logarithmic=True),
)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of kept and of dropped pairs in each bin of a scale."""

    scale: Scale
    kept: tuple[int, ...]
    dropped: tuple[int, ...]

    def __repr__(self) -> str:
        return one_line_repr(self, self.scale.title, f"{sum(self.kept):,} kept", f"{sum(self.dropped):,} dropped")


class Histograms:
    """Accumulates histograms from contrasts, one pair at a time."""

    def __init__(self) -> None:
        self._counts = [([0] * scale.count, [0] * scale.count) for scale in SCALES]

    def add(self, contrast: Contrast, *, kept: bool) -> None:
        """Count one pair's contrast; an undefined length ratio is skipped."""
        values = (100 * contrast.jaccard, contrast.levenshtein, contrast.length_ratio)
        for scale, value, counts in zip(SCALES, values, self._counts, strict=True):
            if value is not None:
                counts[0 if kept else 1][scale.bin(value)] += 1

    def histograms(self) -> tuple[Histogram, ...]:
        """One histogram for each scale, in the order of SCALES."""
        return tuple(
            Histogram(scale, tuple(kept), tuple(dropped))
            for scale, (kept, dropped) in zip(SCALES, self._counts, strict=True)
        )
