"""A mean over questions and seeds with its 95% interval, when both are samples: of questions, and of trainings."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from scipy import stats

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class CrossedMean:
    """A mean of differences in points, with its 95% interval, over so many questions and seeds."""

    mean: float
    low: float
    high: float
    questions: int
    seeds: int

    @property
    def is_above(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    @property
    def is_below(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0

    @property
    def text(self) -> str:
        """The mean with its interval, such as `+18.6 (15.2, 22.0)`."""
        return f"{self.mean:+.1f} ({self.low:+.1f}, {self.high:+.1f})"

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def crossed_mean(differences: Sequence[Sequence[float]]) -> CrossedMean:
    """The mean of differences between 0 and 1, shape (seeds, questions), in points, with an interval over both.

    Every seed answers every question, so the two sources of error are crossed: the variance of the mean is that of the
    questions' means (over seeds) over the number of questions, plus that of the seeds' means (over questions) over the number of
    seeds. What is left over belongs to neither and is in both, so where seeds hardly differ the interval errs on the wide side.
    Student's t has the degrees of freedom of Satterthwaite (1946), which are few where seeds differ. With one seed the interval
    is over questions alone.
    """
    values = 100 * np.asarray(differences, dtype=np.float64)
    seeds, questions = values.shape
    parts = [(float(values.mean(axis=0).var(ddof=1)) / questions, questions - 1)] if questions > 1 else []
    if seeds > 1:
        parts.append((float(values.mean(axis=1).var(ddof=1)) / seeds, seeds - 1))
    variance = sum(part for part, _ in parts)
    mean = float(values.mean())
    if not variance:
        return CrossedMean(mean, mean, mean, questions, seeds)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * variance**0.5
    return CrossedMean(mean, mean - half, mean + half, questions, seeds)
