"""How contrast and length ratio spread over a recipe's pairs, counted in fixed bins, so that recipes can be compared."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clairgen.records import Contrast


@dataclass(frozen=True, slots=True)
class Scale:
    """The bins of a measure: `count` of width `step` from `lowest` on; of its binary logarithm where `logarithmic`.

    What lies below or above falls into the first or the last bin.
    """

    title: str
    lowest: float
    step: float
    count: int
    logarithmic: bool = False

    def bin(self, value: float) -> int:
        """The number of the bin that a value falls into."""
        if self.logarithmic:
            value = math.log2(value) if value > 0 else self.lowest
        return min(max(math.floor((value - self.lowest) / self.step), 0), self.count - 1)


SCALES: Sequence[Scale] = (
    Scale("Jaccard x100", 0, 5, 20),
    Scale("Levenshtein, characters", 0, 0.5, 34, logarithmic=True),
    Scale("length ratio, chosen / rejected", -3, 0.25, 24, logarithmic=True),
)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many kept and how many dropped pairs fall into each bin of a scale."""

    scale: Scale
    kept: tuple[int, ...]
    dropped: tuple[int, ...]


class Histograms:
    """Counts contrasts one by one."""

    def __init__(self) -> None:
        self._counts = [([0] * scale.count, [0] * scale.count) for scale in SCALES]

    def add(self, contrast: Contrast, *, kept: bool) -> None:
        """Count a pair's contrast; an undefined length ratio is left out."""
        values = (100 * contrast.jaccard, contrast.levenshtein, contrast.length_ratio)
        for scale, value, counts in zip(SCALES, values, self._counts, strict=True):
            if value is not None:
                counts[0 if kept else 1][scale.bin(value)] += 1

    def histograms(self) -> tuple[Histogram, ...]:
        """One a scale, in the order of SCALES."""
        return tuple(
            Histogram(scale, tuple(kept), tuple(dropped))
            for scale, (kept, dropped) in zip(SCALES, self._counts, strict=True)
        )
