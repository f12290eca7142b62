"""The report on one training run.

`TrainingReport.to_json()` is a stable face for scripts (`clairgen report --training --json` prints a list of them):

    {"run": "out/apo-zero", "objective": "apo-zero", "beta": 0.1, "data": "datasets/first", "model": "base", "version": "0.1.0",
     "pairs": 100,
     "measurements": [{"step": 0, "epoch": 0.0,
                       "chosen_logps": {"mean": -506.4, "se": 21.3, "n": 100}, "rejected_logps": {...},
                       "chosen_per_token": {...}, "rejected_per_token": {...},
                       "chosen_reward": {...}, "rejected_reward": {...}, "margin": {...},
                       "accuracy": {"mean": 0.5, "se": 0.0, "n": 100}, "ties": 100,
                       "sampled_tokens": {"mean": 212.0, "se": 9.1, "n": 100}, "pairs": 100, "not_finite": 0}, ...],
     "sicknesses": [{"name": "chosen_falls", "kind": "warning", "step": 1125,
                     "seen": "the log-likelihood of chosen answers fell by ...", "may_mean": "...", "to_try": "...",
                     "figures": {"change": -12.3, "low": -15.5, "high": -9.1, "n": 100, "confidence": 0.99}}],
     "settings": {"learning_rate": "2e-07", ...}}

What each figure of a measurement means stands at `Measurement`; an estimate without a value has a mean of null, one of a
single value a se of null. `kind` is `warning` or `remark`; the names are those of `diagnosis.RULES`, each of whose functions
states its rule. `figures` differ by name. `settings` are the texts of training.yaml, by dotted name.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from clairgen.reporting.training.diagnostics.diagnostic import Sickness
from clairgen.reporting.training.diagnostics.registry import sicknesses
from clairgen.reporting.training.measurements import Measurement, measurements
from clairgen.reporting.training.trajectory import Trajectory


@dataclass(frozen=True)
class TrainingReport:
    """A trajectory with its numbers and what is wrong with it."""

    trajectory: Trajectory

    @cached_property
    def measurements(self) -> list[Measurement]:
        """One a step, in order."""
        return measurements(self.trajectory)

    @cached_property
    def sicknesses(self) -> list[Sickness]:
        """What the rules find, warnings first."""
        return sicknesses(self.trajectory)

    def to_json(self) -> dict[str, Any]:
        """The stable object that this module's docstring shows."""
        trajectory = self.trajectory
        return {
            "run": trajectory.run,
            "objective": trajectory.objective,
            "beta": trajectory.beta,
            "data": trajectory.data,
            "model": trajectory.model,
            "version": trajectory.version,
            "pairs": len(trajectory.pair_ids),
            "measurements": [one.to_json() for one in self.measurements],
            "sicknesses": [one.to_json() for one in self.sicknesses],
            "settings": dict(trajectory.settings),
        }
