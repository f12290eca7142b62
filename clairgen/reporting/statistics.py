"""A mean and its standard error over a stream of values, without holding the values (Welford's method)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its standard error (sample standard deviation / sqrt(n)) over `n` values.

    `mean` is None when there was no value, `se` when there were fewer than two.
    """

    mean: float | None
    se: float | None
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """The estimate as an object with `mean`, `se` and `n`."""
        return {"mean": self.mean, "se": self.se, "n": self.n}


@dataclass(slots=True)
class Mean:
    """Accumulates values; two accumulators over parts of a stream merge into the one over the whole.

    `squares` is the sum of squared distances from the mean so far.
    """

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Take one more value in."""
        self.n += 1
        distance = value - self.mean
        self.mean += distance / self.n
        self.squares += distance * (value - self.mean)

    def merge(self, other: "Mean") -> None:
        """Take in everything that `other` has seen (Chan, Golub and LeVeque's update)."""
        n = self.n + other.n
        if n == 0:
            return
        distance = other.mean - self.mean
        self.squares += other.squares + distance**2 * self.n * other.n / n
        self.mean += distance * other.n / n
        self.n = n

    def estimate(self) -> Estimate:
        """What is known so far."""
        if self.n == 0:
            return Estimate(mean=None, se=None, n=0)
        if self.n == 1:
            return Estimate(mean=self.mean, se=None, n=1)
        return Estimate(mean=self.mean, se=math.sqrt(self.squares / (self.n - 1) / self.n), n=self.n)


def mean_of(values: Iterable[float]) -> Estimate:
    """The estimate over some values."""
    mean = Mean()
    for value in values:
        mean.add(value)
    return mean.estimate()
