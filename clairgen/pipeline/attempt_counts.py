"""How attempts at endpoints ended and how long they took, and how long commits took: counters and histograms of a session."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

ANSWERED: Final = "answered"
"""The outcome of an attempt that gave a completion; that of another one is the reason of its failure."""
ANSWER_BOUNDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 150.0, 400.0)
COMMIT_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Bounds in seconds of the histograms of answers and of commits."""


@dataclass(frozen=True, slots=True)
class DurationCounts:
    """A histogram: `counts` has how many durations were at most each of `bounds` seconds and above the one before.

    Its last number counts those above all bounds; `seconds` is the sum of all durations.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    seconds: float


class Durations:
    """Durations counted by size."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._seconds += seconds

    def counted(self) -> DurationCounts:
        """The histogram as it stands now."""
        return DurationCounts(self._bounds, tuple(self._counts), round(self._seconds, 6))


@dataclass(slots=True)
class EndpointProgress:
    """Attempts of a role at one endpoint in this session, by outcome, and how long those took that were answered."""

    outcomes: Counter[str] = field(default_factory=Counter)
    answer_seconds: Durations = field(default_factory=lambda: Durations(ANSWER_BOUNDS))


@dataclass(frozen=True, slots=True)
class AttemptCounts:
    """The attempts at an endpoint at one moment."""

    outcomes: Mapping[str, int]
    answer_seconds: DurationCounts
