"""The trajectory of one training run: log-probabilities of held-out pairs from before the first step to the last, compared.

Answers differ in likelihood by hundreds of nats, and training moves each by a few. So two measurements are always compared
pair by pair: the mean of the differences with a t interval, never the standard errors of the means.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clairgen.stats import t_quantile

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
LARGEST = 1e12
"""Log-probabilities beyond this many nats count as not finite: no answer has that many tokens."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Measurements of the same held-out pairs at several steps.

    Arrays have the shape (steps, pairs). `chosen`, `rejected` and the reference's are sums of log-probabilities over the
    response's tokens, in nats; where `measured` is false a pair is not in that measurement and they are NaN.
    `sampled_tokens` is the length of the model's own answer at that step, NaN where none was sampled.
    `settings` are those of the run, flattened; empty if they were not saved.
    """

    run: str
    objective: str
    beta: float
    data: str
    model: str
    version: str
    steps: tuple[int, ...]
    epochs: tuple[float, ...]
    pair_ids: tuple[str, ...]
    measured: Bools
    chosen: Floats
    rejected: Floats
    ref_chosen: Floats
    ref_rejected: Floats
    chosen_tokens: Floats
    rejected_tokens: Floats
    sampled_tokens: Floats
    settings: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def finite(self) -> Bools:
        """Where all four log-probabilities of a measured pair are finite: shape (steps, pairs)."""
        four = np.stack([self.chosen, self.rejected, self.ref_chosen, self.ref_rejected])
        with np.errstate(invalid="ignore"):
            return self.measured & (np.abs(four) <= LARGEST).all(axis=0)

    @cached_property
    def chosen_logps(self) -> Floats:
        """Log-likelihood of chosen answers in nats, NaN where a pair is not finite."""
        return np.where(self.finite, self.chosen, np.nan)

    @cached_property
    def rejected_logps(self) -> Floats:
        """Log-likelihood of rejected answers in nats, NaN where a pair is not finite."""
        return np.where(self.finite, self.rejected, np.nan)

    @cached_property
    def chosen_rewards(self) -> Floats:
        """Beta * (log pi - log pi_ref) of chosen answers (section 4), NaN where a pair is not finite.

        Under dpo-norm it is divided by the answer's tokens, as in that objective's loss.
        """
        return self._rewards(self.chosen, self.ref_chosen, self.chosen_tokens)

    @cached_property
    def rejected_rewards(self) -> Floats:
        """The same for rejected answers."""
        return self._rewards(self.rejected, self.ref_rejected, self.rejected_tokens)

    @cached_property
    def margins(self) -> Floats:
        """Reward of chosen minus reward of rejected."""
        return self.chosen_rewards - self.rejected_rewards

    def _rewards(self, logps: Floats, reference: Floats, tokens: Floats) -> Floats:
        rewards = self.beta * (np.where(self.finite, logps, np.nan) - np.where(self.finite, reference, np.nan))
        return rewards / np.maximum(tokens, 1) if self.objective == "dpo-norm" else rewards


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
