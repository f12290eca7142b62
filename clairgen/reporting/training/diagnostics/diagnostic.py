"""What a diagnostic is: an observation, what it may mean and what to try; and what each objective is expected to do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from clairgen.reporting.training.trajectory import Floats, MeanChange, Trajectory, mean_change
from clairgen.wording import counted

CONFIDENCE = 0.99
"""The confidence of each rule's interval: with about eight rules, noise raises a finding in fewer than one run of twenty."""
LEAST_NATS = 0.5
"""The smallest mean change of an answer's log-likelihood worth reporting: below half a nat (1.6 times as likely) a change is
significant only because there are many pairs."""


class DiagnosticKind(StrEnum):
    """A warning contradicts the purpose of the objective; a remark is worth knowing and may be intended."""

    WARNING = "warning"
    REMARK = "remark"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding under its stable name, in sentences; `step` is the step to look at, and `figures` are those in `seen`."""

    name: str
    seen: str
    may_mean: str
    to_try: str
    step: int
    figures: Mapping[str, float]
    kind: DiagnosticKind = DiagnosticKind.WARNING

    def with_the_cause_of(self, other: "Diagnostic") -> "Diagnostic":
        """The same observation without a cause and an advice of its own."""
        return replace(
            self, may_mean=f"This has the same cause as {other.name}.", to_try=f"Follow the advice of {other.name}."
        )

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


class Direction(StrEnum):
    """The direction in which an objective pushes a likelihood."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class ExpectedDirection:
    """The direction in which an objective pushes chosen and rejected (section 4); None where it does not determine one."""

    chosen: Direction | None
    rejected: Direction | None


EXPECTED_DIRECTIONS: Mapping[str, ExpectedDirection] = MappingProxyType(
    {
        "apo-zero": ExpectedDirection(Direction.UP, Direction.DOWN),  # eq. 7
        "apo-down": ExpectedDirection(Direction.DOWN, Direction.DOWN),  # eq. 8
        "dpo": ExpectedDirection(None, None),  # eq. 6: the difference alone
        "dpo-norm": ExpectedDirection(None, None),  # the same per token
        "kto-pair": ExpectedDirection(Direction.UP, Direction.DOWN),  # eq. 9
        "kto": ExpectedDirection(Direction.UP, Direction.DOWN),
        "apo-zero-unpaired": ExpectedDirection(Direction.UP, Direction.DOWN),
        "sft": ExpectedDirection(Direction.UP, None),
    }
)
WIDENING = ("dpo", "dpo-norm")
"""Objectives that widen the difference alone, whichever way the two sides go."""
UNKNOWN_OBJECTIVE = ExpectedDirection(None, None)
"""What is expected of an objective that this version does not know, and of data sets with one objective for each pair."""


def expected_direction(trajectory: Trajectory) -> ExpectedDirection:
    """What the run's objective is expected to do."""
    return EXPECTED_DIRECTIONS.get(trajectory.objective, UNKNOWN_OBJECTIVE)


def overall(values: Floats) -> MeanChange | None:
    """The change of the same pairs from the first measurement to the last; `values` have the shape (steps, pairs)."""
    return mean_change(values[-1] - values[0], CONFIDENCE)


def clear_change(logps: Floats) -> MeanChange | None:
    """The change of log-likelihoods, if it is significant and large enough to report."""
    change = overall(logps)
    return change if change and not change.is_unclear and abs(change.mean) >= LEAST_NATS else None


def objective_value(trajectory: Trajectory) -> tuple[str, Floats]:
    """The quantity that the objective increases, with its name: the margin, or under SFT the log-likelihood of chosen."""
    if trajectory.objective == "sft":
        return "log-likelihood of chosen answers", trajectory.chosen_logps
    return "margin", trajectory.margins


def interval_words(change: MeanChange) -> str:
    """The interval and its n in parentheses; for a decrease, as sizes of the decrease."""
    low, high = (-change.high, -change.low) if change.mean < 0 else (change.low, change.high)
    ends = f"{figure(low, change.mean)} to {figure(high, change.mean)}"
    return f"({100 * change.confidence:.4g}% interval {ends}, {counted(change.n, 'pair')})"


def figure(value: float, like: float | None = None) -> str:
    """A number with a sensible count of digits for its size, or for the size of the number `like` next to it."""
    size = abs(value if like is None else like)
    return f"{value:,.{1 if size >= 100 else 2 if size >= 1 else 4}f}"


def between(trajectory: Trajectory) -> str:
    """The range of steps, in words."""
    return f"from step {trajectory.steps[0]:,} to step {trajectory.steps[-1]:,}"
