"""Statistics with their uncertainty: means, proportions, and how often winners beat fresh answers of the model.

APO-zero raises winners and lowers losers, which is right when winners are better than what the model says; APO-down lowers
both, losers more, which is right when the model is better than the winners (section 4 of the paper).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from clairgen.records import Variant

FEWEST_TASKS: Final = 10
"""With fewer tasks than this nothing is recommended, whatever the interval says."""
SMALL: Final = 0.05
"""A win rate whose interval is within this distance of one half is too close to it to choose by."""
Z_95: Final = 1.959963984540054
"""Standard errors on either side of a mean that make a 95% interval."""
_Z_POWER: Final = 0.841621  # to detect a difference of that size four times in five


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

    @property
    def words(self) -> str:
        """The mean and its n, such as `66.1 (n 226)`."""
        return f"{'none' if self.mean is None else f'{self.mean:,.4g}'} (n {self.n:,})"


@dataclass(slots=True)
class Mean:
    """Accumulates values; two accumulators over parts of a stream merge into the one over the whole.

    `squares` is the sum of squared distances from the mean so far.
    """

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Add a value (Welford's update)."""
        self.n += 1
        distance = value - self.mean
        self.mean += distance / self.n
        self.squares += distance * (value - self.mean)

    def merge(self, other: "Mean") -> None:
        """Add everything that `other` has seen (Chan, Golub and LeVeque's update)."""
        n = self.n + other.n
        if n == 0:
            return
        distance = other.mean - self.mean
        self.squares += other.squares + distance**2 * self.n * other.n / n
        self.mean += distance * other.n / n
        self.n = n

    def estimate(self) -> Estimate:
        """The mean of the values so far with its standard error."""
        if self.n == 0:
            return Estimate(mean=None, se=None, n=0)
        if self.n == 1:
            return Estimate(mean=self.mean, se=None, n=1)
        return Estimate(mean=self.mean, se=math.sqrt(self.squares / (self.n - 1) / self.n), n=self.n)


def mean_of(values: Iterable[float]) -> Estimate:
    """The estimate of some values' mean."""
    mean = Mean()
    for value in values:
        mean.add(value)
    return mean.estimate()


def share(count: int, total: int) -> Estimate:
    """A proportion with its standard error; the mean is None without a count."""
    if not total:
        return Estimate(None, None, 0)
    mean = count / total
    return Estimate(mean, math.sqrt(mean * (1 - mean) / total), total)


def wilson(count: float, total: float) -> tuple[float, float] | None:
    """Wilson's 95% interval of a proportion; None without a count."""
    if not total:
        return None
    mean, z = count / total, Z_95
    centre = (mean + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(mean * (1 - mean) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    # At the ends the formula is exact, and rounding is not.
    return 0.0 if count <= 0 else centre - half, 1.0 if count >= total else centre + half


def mean_interval(estimate: Estimate) -> tuple[float, float] | None:
    """The 95% interval of a mean (Student's t); None with fewer than two values."""
    if estimate.mean is None or estimate.se is None:
        return None
    half = t_quantile(0.975, estimate.n - 1) * estimate.se
    return estimate.mean - half, estimate.mean + half


def auc_score_interval(auc: float, pairs: float) -> tuple[float, float]:
    """The 95% score interval of an AUC (Newcombe 2006, method 5, after Hanley and McNeil), half of `pairs` on either side."""
    return _auc_end(auc, 0.0, pairs), _auc_end(auc, 1.0, pairs)


def _auc_end(found: float, outer: float, pairs: float) -> float:
    """The end of the score interval on the side of `outer`, by bisection."""
    inner, half = found, pairs / 2
    for _ in range(60):
        middle = (inner + outer) / 2
        spread = 1 + (half - 1) * ((1 - middle) / (2 - middle) + middle / (1 + middle))
        if abs(middle - found) < Z_95 * math.sqrt(middle * (1 - middle) * spread) / half:
            inner = middle
        else:
            outer = middle
    return inner


def clustered_share(totals: Mapping[tuple[float, float], int]) -> tuple[float, float | None, float, float]:
    """The mean of scores between 0 and 1 that depend on each other within clusters, its standard error and 95% interval.

    `totals` counts the clusters with a number and a sum of scores, such as {(1, 0.5): 12}; there is at least one. The interval is
    Wilson's, with as many independent trials as would give the variance of `cluster_variance`; where few clusters have several
    scores, the trials are fewer by the quantiles of Student's t (Korn and Graubard 1998). The standard error is None for one
    cluster.
    """
    clusters = sum(totals.values())
    n = sum(size * count for (size, _), count in totals.items())
    mean = sum(total * count for (_, total), count in totals.items()) / n
    variance = cluster_variance(totals, mean)
    trials = float(clusters)
    if variance is not None and 0 < mean < 1:
        trials = mean * (1 - mean) / variance if variance > 0 else n
        # A variance between few clusters is itself uncertain; where scores are single or copies, the two quantiles are the same.
        quantiles = t_quantile(0.975, max(1, round(trials))), t_quantile(0.975, clusters - 1)
        trials *= min(1.0, quantiles[0] / quantiles[1]) ** 2
    low, high = wilson(mean * trials, trials) or (0.0, 1.0)
    return mean, None if variance is None else math.sqrt(variance), max(0.0, low), min(1.0, high)


def cluster_variance(totals: Mapping[tuple[float, float], int], mean: float) -> float | None:
    """The variance of a mean over clusters, as that of a ratio of their totals (Liang and Zeger's, with the factor G / (G - 1)).

    None with one cluster, which does not show it.
    """
    clusters = sum(totals.values())
    if clusters < 2:
        return None
    n = sum(size * count for (size, _), count in totals.items())
    squares = math.fsum((total - mean * size) ** 2 * count for (size, total), count in totals.items())
    return clusters / (clusters - 1) * squares / n**2


def t_quantile(probability: float, degrees: int) -> float:
    """The value that Student's t stays below with this probability, from the normal's (Abramowitz and Stegun, 26.7.5).

    Within 0.1% of the exact one from 9 degrees of freedom on at probabilities up to 0.9995, and from 3 on at 0.975; exact for
    1 and 2. So scipy is not needed.
    """
    if degrees == 1:
        return math.tan(math.pi * (probability - 0.5))
    if degrees == 2:
        return (2 * probability - 1) / math.sqrt(2 * probability * (1 - probability))
    x = NormalDist().inv_cdf(probability)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + math.fsum(term / degrees**power for power, term in enumerate(terms, 1))


@dataclass(frozen=True, slots=True)
class Tally:
    """Comparisons of one winner with fresh answers to its task: won, lost, or tied, which counts half."""

    wins: int = 0
    losses: int = 0
    ties: int = 0

    @property
    def score(self) -> float | None:
        """The share that was won, between 0 and 1; None without a comparison."""
        compared = self.wins + self.losses + self.ties
        return (self.wins + self.ties / 2) / compared if compared else None

    @property
    def leaning(self) -> Variant | None:
        """The variant that the majority of the comparisons supports; None without a majority."""
        if self.wins == self.losses:
            return None
        return Variant.APO_ZERO if self.wins > self.losses else Variant.APO_DOWN


@dataclass(frozen=True, slots=True)
class WinRate:
    """The mean score over tasks with its 95% interval; `deviation` is the standard deviation of a task's score.

    All but `tasks` are None when nothing could be compared.
    """

    tasks: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    deviation: float | None = None

    @property
    def recommendation(self) -> Variant | None:
        """The variant that the interval supports; None if it includes one half, or rests on too few tasks."""
        if self.low is None or self.high is None or self.tasks < FEWEST_TASKS:
            return None
        if self.low > 0.5:
            return Variant.APO_ZERO
        return Variant.APO_DOWN if self.high < 0.5 else None

    @property
    def is_small(self) -> bool:
        """Whether it is known that winners and fresh answers hardly differ."""
        if self.low is None or self.high is None or self.tasks < FEWEST_TASKS:
            return False
        return self.low >= 0.5 - SMALL and self.high <= 0.5 + SMALL

    @property
    def more_tasks(self) -> int | None:
        """How many more tasks would decide it, four times in five, if the mean is right; None if no number would."""
        if self.mean is None or self.deviation is None or self.mean == 0.5:
            return None if self.mean is not None else FEWEST_TASKS
        needed = ((Z_95 + _Z_POWER) * self.deviation / abs(self.mean - 0.5)) ** 2
        return max(math.ceil(needed), FEWEST_TASKS) - self.tasks


def win_rate(tallies: Iterable[Tally]) -> WinRate:
    """How often winners win: each task counts once, by the mean over its comparisons, which depend on each other.

    The interval is the adjusted Wald interval of Bonett and Price (2012) for paired proportions, over tasks: one task that is
    won and one that is lost are added, then mean ± 1.96 standard errors, cut at 0 and 1. So it is not empty when all
    comparisons end alike, and ties, which are certain, narrow it.
    """
    scores = [score for tally in tallies if (score := tally.score) is not None]
    if not scores:
        return WinRate(0)
    padded = [*scores, 0.0, 1.0]
    centre = sum(padded) / len(padded)
    deviation = math.sqrt(sum((score - centre) ** 2 for score in padded) / len(padded))
    reach = Z_95 * deviation / math.sqrt(len(padded))
    mean = sum(scores) / len(scores)
    return WinRate(len(scores), mean, max(0.0, centre - reach), min(1.0, centre + reach), deviation)
