"""What a metric is: a number for the two texts of a pair."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of a pair's contrast: `measure(chosen, rejected)` is None for two texts without a value.

    `summary` says in a few words what is measured and in which unit.
    """

    name: str
    measure: Callable[[str, str], float | None]
    summary: str
