"""Krippendorff's alpha for names (nominal data), with a bootstrap interval."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clairgen.wording import counted

_RESAMPLES: Final = 1000
_MOST_DRAWS: Final = 2_000_000
_FEWEST_RESAMPLES: Final = 200
_FEWEST_UNITS: Final = 20
"""Below that the bootstrap's intervals are far too narrow."""


@dataclass(frozen=True, slots=True)
class Alpha:
    """Krippendorff's alpha of votes as names (nominal), over the pairs with two votes or more.

    The 95% interval is of bootstrap samples of these pairs; None with fewer than 20 pairs, and where many samples have no
    alpha or all have the same.
    """

    value: float
    interval: tuple[float, float] | None
    pairs: int
    votes: int

    @property
    def words(self) -> str:
        """Such as `0.621 (95% interval 0.410 to 0.792) over 40 pairs with two votes or more`."""
        over = f"over {counted(self.pairs, 'pair')} with two votes or more"
        if self.interval is None:
            return f"{self.value:.3f} {over}, which are too few or too much alike for an interval"
        return f"{self.value:.3f} (95% interval {self.interval[0]:.3f} to {self.interval[1]:.3f}) {over}"


def krippendorff_alpha(units: Sequence[Mapping[Any, int]], seed: int = 0) -> Alpha | str:
    """Krippendorff's alpha for nominal data, from how often each unit was given each value; or why there is none.

    Units with one value say nothing of agreement and are left out. The interval is the percentile bootstrap over units, of at
    most 1,000 samples.
    """
    shapes = Counter(
        tuple(sorted(((str(key), n) for key, n in unit.items() if n))) for unit in units if sum(unit.values()) > 1
    )
    if not shapes:
        return "no pair has votes of two people"
    value = _alpha(shapes)
    if value is None:
        return "all votes are the same, so agreement cannot be told from chance"
    votes = sum(count * sum(times for _, times in shape) for shape, count in shapes.items())
    return Alpha(value, _interval(shapes, seed), shapes.total(), votes)


def _interval(shapes: Counter[tuple[tuple[str, int], ...]], seed: int) -> tuple[float, float] | None:
    n = shapes.total()
    if n < _FEWEST_UNITS:
        return None
    draw = random.Random(seed)  # noqa: S311 - which units a sample has
    listed, weights = list(shapes), list(shapes.values())
    resamples = max(_FEWEST_RESAMPLES, min(_RESAMPLES, _MOST_DRAWS // n))
    drawn = [_alpha(Counter(draw.choices(listed, weights, k=n))) for _ in range(resamples)]
    sampled = sorted(one for one in drawn if one is not None)
    if len(sampled) <= 0.95 * resamples or sampled[0] == sampled[-1]:
        return None
    return _percentiles(sampled)


def _alpha(shapes: Mapping[tuple[tuple[str, int], ...], int]) -> float | None:
    """1 - D_o / D_e of units of several values each (Krippendorff 2011, for nominal data); None where all values are the same."""
    totals: Counter[str] = Counter()
    differing = 0.0
    for shape, count in shapes.items():
        size = sum(times for _, times in shape)
        differing += count * sum(times * (size - times) for _, times in shape) / (size - 1)
        for key, times in shape:
            totals[key] += count * times
    n = totals.total()
    expected = sum(times * (n - times) for times in totals.values()) / (n - 1)
    return None if not expected else 1 - differing / expected


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    last = len(values) - 1
    return values[round(0.025 * last)], values[round(0.975 * last)]
