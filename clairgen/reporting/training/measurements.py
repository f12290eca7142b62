"""What each measurement of a training run comes to: means over its held-out pairs with their standard errors (Figure 4)."""

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from clairgen.reporting.statistics import Estimate
from clairgen.reporting.training.trajectory import Floats, Trajectory


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement; every estimate is over pairs, whatever batches they were measured in.

    Log-likelihoods are sums over a response's tokens in nats, `*_per_token` that of each pair over its number of tokens;
    rewards and `margin` (chosen minus rejected) carry beta. `accuracy` is the share of pairs whose margin is above 0, where
    one of the `ties` (a margin of exactly 0, as all are before the first step) counts one half. `sampled_tokens` is the
    length of answers that the model wrote itself. `not_finite` pairs were measured but are no numbers, and are in none of
    the estimates.
    """

    step: int
    epoch: float
    chosen_logps: Estimate
    rejected_logps: Estimate
    chosen_per_token: Estimate
    rejected_per_token: Estimate
    chosen_reward: Estimate
    rejected_reward: Estimate
    margin: Estimate
    accuracy: Estimate
    ties: int
    sampled_tokens: Estimate
    pairs: int
    not_finite: int

    def to_json(self) -> dict[str, Any]:
        """The measurement as an object with a key a field."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value.to_json() if isinstance(value, Estimate) else value for name, value in values.items()}


def measurements(trajectory: Trajectory) -> list[Measurement]:
    """One a step, in order."""
    return [_measurement(trajectory, at) for at in range(len(trajectory.steps))]


def _measurement(trajectory: Trajectory, at: int) -> Measurement:
    margins = trajectory.margins[at]
    known = margins[np.isfinite(margins)]
    pairs = int(trajectory.measured[at].sum())
    return Measurement(
        step=trajectory.steps[at],
        epoch=trajectory.epochs[at],
        chosen_logps=estimate(trajectory.chosen_logps[at]),
        rejected_logps=estimate(trajectory.rejected_logps[at]),
        chosen_per_token=estimate(_per_token(trajectory.chosen_logps[at], trajectory.chosen_tokens[at])),
        rejected_per_token=estimate(_per_token(trajectory.rejected_logps[at], trajectory.rejected_tokens[at])),
        chosen_reward=estimate(trajectory.chosen_rewards[at]),
        rejected_reward=estimate(trajectory.rejected_rewards[at]),
        margin=estimate(margins),
        accuracy=estimate((known > 0) + (known == 0) / 2),
        ties=int((known == 0).sum()),
        sampled_tokens=estimate(trajectory.sampled_tokens[at]),
        pairs=pairs,
        not_finite=pairs - int(trajectory.finite[at].sum()),
    )


def estimate(values: Floats) -> Estimate:
    """Mean and standard error of the values, shape (pairs,), that are numbers."""
    known = values[np.isfinite(values)]
    n = len(known)
    if not n:
        return Estimate(None, None, 0)
    return Estimate(float(known.mean()), float(known.std(ddof=1)) / math.sqrt(n) if n > 1 else None, n)


def _per_token(logps: Floats, tokens: Floats) -> Floats:
    """Nats a token, NaN for a response without tokens."""
    return np.divide(logps, tokens, out=np.full_like(logps, np.nan), where=tokens > 0)
