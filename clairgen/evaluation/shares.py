"""Shares with 95% intervals that know of clusters, and paired differences between two evaluations of the same items.

Scores of one cluster (samples of one question, rows that repeat a prompt) depend on each other. The variance of a mean is that of
a ratio of cluster totals (Liang and Zeger's, with the factor G / (G - 1) for G clusters). A share's interval is Wilson's, with as
many independent trials as would give that variance; so it is not empty where all answers are right; where few clusters have
several scores, the trials are fewer by the quantiles of Student's t (Korn and Graubard 1998). The interval of a
difference is the adjusted Wald interval of Bonett and Price (2012), over clusters: one that went from wrong to right and one
that went the other way are added.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from clairgen.stats import Z_95, cluster_variance, clustered_share


@dataclass(frozen=True, slots=True)
class Share:
    """The mean of `n` scores between 0 and 1 in `clusters` clusters, with its standard error and 95% interval.

    `mean`, `low` and `high` are None without a score, `se` with fewer than two clusters.
    """

    n: int
    clusters: int
    mean: float | None
    se: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """The share as an object with its fields."""
        return {name: getattr(self, name) for name in ("n", "clusters", "mean", "se", "low", "high")}

    @property
    def words(self) -> str:
        """Such as `58.3% (53.1 to 63.4, n 300)`."""
        if self.mean is None or self.low is None or self.high is None:
            return "none (n 0)"
        return f"{self.mean:.1%} ({100 * self.low:.1f} to {100 * self.high:.1f}, n {self.n:,})"


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The mean of `n` paired differences of scores, b minus a, in `clusters` clusters, with its 95% interval.

    `right_to_wrong` and `wrong_to_right` count the items whose score fell and rose. All but the counts are None without an item.
    """

    n: int
    clusters: int
    mean: float | None
    low: float | None
    high: float | None
    right_to_wrong: int
    wrong_to_right: int

    def to_json(self) -> dict[str, Any]:
        """The difference as an object with its fields."""
        names = ("n", "clusters", "mean", "low", "high", "right_to_wrong", "wrong_to_right")
        return {name: getattr(self, name) for name in names}

    @property
    def words(self) -> str:
        """Such as `+25.0 (+12.5 to +35.8, n 60)`, in percentage points."""
        if self.mean is None or self.low is None or self.high is None:
            return "none (n 0)"
        return f"{100 * self.mean:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f}, n {self.n:,})"

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval is above or below zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def share_of(scores: Iterable[tuple[str, float]]) -> Share:
    """The share over scores between 0 and 1, each with the name of its cluster."""
    totals = _totals(scores)
    n = round(sum(size for size, _ in totals))
    if not n:
        return Share(0, 0, None, None, None, None)
    mean, se, low, high = clustered_share(Counter(totals))
    return Share(n, len(totals), mean, se, low, high)


def difference_of(pairs: Iterable[tuple[str, float, float]]) -> PairedDifference:
    """The paired difference over items: the name of the cluster, the score under a, the score under b."""
    listed = list(pairs)
    totals = _totals((cluster, after - before) for cluster, before, after in listed)
    n = len(listed)
    if not n:
        return PairedDifference(0, 0, None, None, None, 0, 0)
    mean = sum(total for _, total in totals) / n
    size = n / len(totals)
    padded = [*totals, (size, size), (size, -size)]
    middle = sum(total for _, total in padded) / sum(of for of, _ in padded)
    half = Z_95 * math.sqrt(cluster_variance(Counter(padded), middle) or 0.0)
    fell = sum(after < before for _, before, after in listed)
    rose = sum(after > before for _, before, after in listed)
    return PairedDifference(n, len(totals), mean, max(-1.0, middle - half), min(1.0, middle + half), fell, rose)


def _totals(scores: Iterable[tuple[str, float]]) -> list[tuple[float, float]]:
    """Number and sum of the scores of each cluster."""
    by_cluster = defaultdict[str, list[float]](list)
    for cluster, score in scores:
        by_cluster[cluster].append(score)
    return [(len(of_one), math.fsum(of_one)) for of_one in by_cluster.values()]
