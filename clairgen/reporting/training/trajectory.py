"""The trajectory of one training run: log-probabilities of held-out pairs, from before the first step to the last."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

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
        """Beta * (log pi - log pi_ref) of chosen answers (section 4), NaN where a pair is not finite."""
        return self._rewards(self.chosen, self.ref_chosen)

    @cached_property
    def rejected_rewards(self) -> Floats:
        """The same for rejected answers."""
        return self._rewards(self.rejected, self.ref_rejected)

    @cached_property
    def margins(self) -> Floats:
        """Reward of chosen minus reward of rejected."""
        return self.chosen_rewards - self.rejected_rewards

    def _rewards(self, logps: Floats, reference: Floats) -> Floats:
        return self.beta * (np.where(self.finite, logps, np.nan) - np.where(self.finite, reference, np.nan))
