"""How much the same pairs changed between two measurements: the mean of their differences with a t interval.

Answers differ in likelihood by hundreds of nats, and training moves each by a few. So two measurements are always compared
pair by pair, never by the standard errors of their means.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from clairgen.reporting.training.trajectory import Floats


@dataclass(frozen=True, slots=True)
class MeanChange:
    """A mean difference over `n` pairs with its two-sided interval at `confidence` (Student's t)."""

    mean: float
    low: float
    high: float
    n: int
    confidence: float

    @property
    def is_rise(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    @property
    def is_fall(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0

    @property
    def is_unclear(self) -> bool:
        """Whether the interval contains 0."""
        return self.low <= 0 <= self.high

    @property
    def figures(self) -> dict[str, float]:
        """Mean and interval under the names of the JSON report."""
        return {"change": self.mean, "low": self.low, "high": self.high, "n": self.n, "confidence": self.confidence}


def mean_change(differences: Floats, confidence: float) -> MeanChange | None:
    """The mean of the finite differences, shape (pairs,); None with fewer than two."""
    values = differences[np.isfinite(differences)]
    n = len(values)
    if n < 2:
        return None
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    half = t_quantile((1 + confidence) / 2, n - 1) * error
    return MeanChange(mean, mean - half, mean + half, n, confidence)


def t_quantile(probability: float, degrees: int) -> float:
    """The value that Student's t stays below with this probability, from the normal's (Abramowitz and Stegun, 26.7.5).

    Within 0.1% of the exact one from 9 degrees of freedom on at probabilities up to 0.9995, so that scipy is not needed.
    """
    x = NormalDist().inv_cdf(probability)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + math.fsum(term / degrees**power for power, term in enumerate(terms, 1))
