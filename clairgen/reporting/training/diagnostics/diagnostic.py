"""What a trajectory can suffer from, as a noun: what was seen, what it may mean and what to try; and what objectives promise."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from clairgen.reporting.training.paired import Change, mean_change
from clairgen.reporting.training.trajectory import Floats, Trajectory

CONFIDENCE = 0.99
"""Of each rule's interval: some eight rules look at a run, so that noise alone speaks up in fewer than one run of twenty."""
LEAST_NATS = 0.5
"""A mean change of an answer's log-likelihood that is worth a word: below half a nat (1.6 times as likely) it is clear of
chance only because there are many pairs."""


class Kind(StrEnum):
    """A warning contradicts what the objective is for; a remark is worth knowing, and may be as it should."""

    WARNING = "warning"
    REMARK = "remark"


@dataclass(frozen=True, slots=True)
class Sickness:
    """One finding under its stable name, in sentences; `step` is the one to look at, and `figures` are those in `seen`."""

    name: str
    seen: str
    may_mean: str
    to_try: str
    step: int
    figures: Mapping[str, float]
    kind: Kind = Kind.WARNING

    def to_json(self) -> dict[str, Any]:
        """The stable object of `report --training --json`."""
        return {
            "name": self.name,
            "kind": self.kind.value,
            "step": self.step,
            "seen": self.seen,
            "may_mean": self.may_mean,
            "to_try": self.to_try,
            "figures": dict(self.figures),
        }


class Way(StrEnum):
    """Where an objective pushes a likelihood."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Promise:
    """Where an objective pushes chosen and rejected (section 4); None where it does not say."""

    chosen: Way | None
    rejected: Way | None


PROMISES: Mapping[str, Promise] = MappingProxyType(
    {
        "apo-zero": Promise(Way.UP, Way.DOWN),  # eq. 7
        "apo-down": Promise(Way.DOWN, Way.DOWN),  # eq. 8
        "dpo": Promise(None, None),  # eq. 6: the difference alone
        "kto-pair": Promise(Way.UP, Way.DOWN),  # eq. 9
        "kto": Promise(Way.UP, Way.DOWN),
        "apo-zero-unpaired": Promise(Way.UP, Way.DOWN),
        "sft": Promise(Way.UP, None),
    }
)
SILENT = Promise(None, None)
"""What is expected of an objective that this version does not know, or of a data set that names one for each pair."""


def promise(trajectory: Trajectory) -> Promise:
    """What the run's objective promises."""
    return PROMISES.get(trajectory.objective, SILENT)


def overall(values: Floats) -> Change | None:
    """The change of the same pairs from the first measurement to the last; `values` have the shape (steps, pairs)."""
    return mean_change(values[-1] - values[0], CONFIDENCE)


def aim(trajectory: Trajectory) -> tuple[str, Floats]:
    """What the objective makes larger, with its name: the margin, but under SFT the log-likelihood of chosen."""
    if trajectory.objective == "sft":
        return "log-likelihood of chosen answers", trajectory.chosen_logps
    return "margin", trajectory.margins


def interval_words(change: Change) -> str:
    """The interval and its n in brackets, as sizes of a fall where the mean is one."""
    low, high = (-change.high, -change.low) if change.mean < 0 else (change.low, change.high)
    ends = f"{figure(low, change.mean)} to {figure(high, change.mean)}"
    return f"({100 * change.confidence:.4g}% interval {ends}, {change.n:,} pairs)"


def figure(value: float, like: float | None = None) -> str:
    """A number with as many digits as are worth reading at its size, or at that of the number beside which it stands."""
    size = abs(value if like is None else like)
    return f"{value:,.{1 if size >= 100 else 2 if size >= 1 else 4}f}"


def between(trajectory: Trajectory) -> str:
    """From which step to which."""
    return f"from step {trajectory.steps[0]:,} to step {trajectory.steps[-1]:,}"
