"""The report on one training run.

`TrainingReport.to_json()` is a stable interface for scripts (`clairgen report --training --json` prints a list of them):

    {"run": "out/apo-zero", "objective": "apo-zero", "beta": 0.1, "data": "datasets/first", "model": "base", "version": "0.1.0",
     "pairs": 100,
     "measurements": [{"step": 0, "epoch": 0.0,
                       "chosen_logps": {"mean": -506.4, "se": 21.3, "n": 100}, "rejected_logps": {...},
                       "chosen_per_token": {...}, "rejected_per_token": {...},
                       "chosen_reward": {...}, "rejected_reward": {...}, "margin": {...},
                       "accuracy": {"mean": 0.5, "se": 0.0, "n": 100}, "ties": 100,
                       "sampled_tokens": {"mean": 212.0, "se": 9.1, "n": 100}, "pairs": 100, "not_finite": 0}, ...],
     "diagnostics": [{"name": "chosen_falls", "kind": "warning", "step": 1125,
                     "seen": "the log-likelihood of chosen answers fell by ...", "may_mean": "...", "to_try": "...",
                     "figures": {"change": -12.3, "low": -15.5, "high": -9.1, "n": 100, "confidence": 0.99}}],
     "settings": {"learning_rate": "2e-07", ...}}

`Measurement` documents the figures; an estimate without values has a null mean, one of a single value a null se. `kind` is
`warning` or `remark`; the names are those of `diagnostics.registry.RULES`, whose functions state their rules. `figures` differ
by name. `settings` are the values of training.yaml as text, by dotted name. `sicknesses`, the former name of `diagnostics`, is
still there, and `deprecated` says so.
"""

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from clairgen.config.renamed import with_former_names
from clairgen.reporting.training.diagnostics.diagnostic import Diagnostic
from clairgen.reporting.training.diagnostics.registry import diagnostics
from clairgen.reporting.training.trajectory import Floats, Trajectory
from clairgen.stats import Estimate
from clairgen.wording import counted, one_line_repr


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement; every estimate is over pairs, not over batches.

    Log-likelihoods are sums over a response's tokens in nats, `*_per_token` that of each pair over its number of tokens;
    rewards and `margin` (chosen minus rejected) carry beta. `accuracy` is the share of pairs whose margin is above 0, where
    one of the `ties` (a margin of exactly 0, as all are before the first step) counts one half. `sampled_tokens` is the
    length of the model's own answers. `not_finite` pairs were measured but have values that are not finite; no estimate
    includes them.
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
        """The measurement as an object with one key for each field."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value.to_json() if isinstance(value, Estimate) else value for name, value in values.items()}


def measurements(trajectory: Trajectory) -> list[Measurement]:
    """One for each step, in order."""
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
    """Mean and standard error of the finite values; `values` has the shape (pairs,)."""
    known = values[np.isfinite(values)]
    n = len(known)
    if not n:
        return Estimate(None, None, 0)
    return Estimate(float(known.mean()), float(known.std(ddof=1)) / math.sqrt(n) if n > 1 else None, n)


def _per_token(logps: Floats, tokens: Floats) -> Floats:
    """Nats per token, NaN for a response without tokens."""
    return np.divide(logps, tokens, out=np.full_like(logps, np.nan), where=tokens > 0)


@dataclass(frozen=True)
class TrainingReport:
    """A trajectory with its figures and diagnostics."""

    trajectory: Trajectory

    def __repr__(self) -> str:
        run = self.trajectory
        names = [one.name for one in self.diagnostics] or ["no finding"]
        counts = (counted(len(run.pair_ids), "pair"), counted(len(run.steps), "measurement"))
        return one_line_repr(self, f"{run.objective} in {run.run}", *counts, *names)

    @cached_property
    def measurements(self) -> list[Measurement]:
        """One for each step, in order."""
        return measurements(self.trajectory)

    @cached_property
    def diagnostics(self) -> list[Diagnostic]:
        """The findings of all rules, warnings first."""
        return diagnostics(self.trajectory)

    def to_json(self) -> dict[str, Any]:
        """The stable object shown in this module's docstring."""
        trajectory = self.trajectory
        content = {
            "run": trajectory.run,
            "objective": trajectory.objective,
            "beta": trajectory.beta,
            "data": trajectory.data,
            "model": trajectory.model,
            "version": trajectory.version,
            "pairs": len(trajectory.pair_ids),
            "measurements": [one.to_json() for one in self.measurements],
            "diagnostics": [one.to_json() for one in self.diagnostics],
            "settings": dict(trajectory.settings),
        }
        return with_former_names(content, {"sicknesses": "diagnostics"})
