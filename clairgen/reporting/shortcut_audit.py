"""The audit for spurious cues: how well surface features alone tell chosen from rejected, before a reward model learns them.

The unit is the pair. A pair is the difference of its answers' features, chosen minus rejected, and a logistic model without
intercept says from it which answer was chosen; so the model is antisymmetric, and swapping the answers swaps its opinion.
Each pair is scored by a model that saw no pair of its task (five folds by a hash of the task). With out-of-fold scores s,
AUC = P(s_i + s_j > 0) over all pairs i and j, ties one half: the area under the curve when every difference is
shown both ways round. One half says that the features tell nothing.

The interval is the score interval of an AUC (Newcombe 2006, method 5, after Hanley and McNeil), with half of the pairs on
either side. It never shrinks to a point, as DeLong's does where all pairs are told apart. The models of the folds share
most of their pairs, so their AUCs are not independent: without the correction of Nadeau and Bengio (2003), which makes n
pairs of K folds count as n / (1 + K / (K - 1)), shuffled labels leave the interval in one audit of five.
"""

import hashlib
import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from clairgen.records import StoredPair
from clairgen.reporting.surface_features import FEATURES, surface
from clairgen.stats import Estimate, mean_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_PAIRS = 10_000
"""Pairs that are audited, drawn by a hash of their task; beyond that an AUC is known to better than 0.01 anyway."""
FEWEST_PAIRS = 10
_FOLDS = 5
_Z = 1.959963984540054  # of a two-sided 95% interval


@dataclass(frozen=True, slots=True)
class Shift:
    """What chosen answers have more of than rejected ones.

    `shift` is the mean of chosen minus rejected in the feature's own unit, `alone` the AUC of this feature by itself (above
    one half: chosen has more), `carries` what the model's AUC loses when this feature is left out of its scores. A shift is
    `clear` when chance makes one as large, in any of the features, in fewer than one of twenty audits (Bonferroni, t test).
    """

    feature: str
    shift: Estimate
    alone: float
    carries: float
    clear: bool

    def to_json(self) -> dict[str, Any]:
        """The feature as an object."""
        return {
            "feature": self.feature,
            "shift": self.shift.to_json(),
            "clear": self.clear,
            "auc_alone": self.alone,
            "auc_lost_without": self.carries,
        }


@dataclass(frozen=True, slots=True)
class Audit:
    """How well surface features tell the two answers of `n` pairs apart; the features that carry most of it first."""

    n: int
    auc: float
    interval: tuple[float, float]
    shifts: tuple[Shift, ...]

    @property
    def tells_apart(self) -> bool:
        """Whether the interval leaves out one half."""
        return self.interval[0] > 0.5

    def to_json(self) -> dict[str, Any]:
        """The stable object of `report --json`."""
        return {
            "n": self.n,
            "auc": self.auc,
            "interval_95": list(self.interval),
            "features": [shift.to_json() for shift in self.shifts],
        }


class Differences:
    """Takes in the pairs of a recipe one by one and keeps the feature differences of a sample of them.

    `share` is how much of the pairs to keep; the same tasks are kept whatever the recipe.
    """

    def __init__(self, share: float = 1.0) -> None:
        self._most = share * 2**32
        self._rows: list[tuple[float, ...]] = []
        self._spread: list[tuple[float, ...]] = []
        self._folds: list[int] = []

    def add(self, stored: StoredPair) -> None:
        """Take in a pair that has both answers and that no filter drops."""
        chosen, rejected = stored.pair.chosen, stored.pair.rejected
        if chosen is None or stored.dropped_by is not None:
            return
        drawn = hashlib.sha256(stored.task.id.encode("utf-8", "surrogatepass")).digest()
        if int.from_bytes(drawn[:4]) <= self._most:
            self.compare(chosen.text, rejected.text, int.from_bytes(drawn[4:8]) % _FOLDS)

    def compare(self, chosen: str, rejected: str, fold: int) -> None:
        """Take in two answers; pairs of one task belong in one fold."""
        more, less = surface(chosen), surface(rejected)
        self._rows.append(tuple(a - b for a, b in zip(more, less, strict=True)))
        # Counts have long tails, so the model sees differences of their logarithms.
        self._spread.append(tuple(math.log1p(a) - math.log1p(b) for a, b in zip(more, less, strict=True)))
        self._folds.append(fold)

    def audit(self) -> Audit | None:
        """The audit of the pairs so far; None of fewer than FEWEST_PAIRS, or where scikit-learn is not installed."""
        if len(self._rows) < FEWEST_PAIRS or find_spec("sklearn") is None:
            return None
        import numpy as np
        from scipy.stats import t

        rows, spread = np.array(self._rows), np.array(self._spread)
        n = len(rows)
        parts = _scores(spread, np.array(self._folds))
        whole = auc(parts.sum(axis=1))
        threshold = float(t.isf(0.025 / len(FEATURES), n - 1))
        shifts = []
        for at, name in enumerate(FEATURES):
            shift = mean_of(rows[:, at].tolist())
            without = auc(parts.sum(axis=1) - parts[:, at])
            clear = abs(shift.mean or 0.0) > threshold * (shift.se or 0.0)
            shifts.append(Shift(name, shift, auc(spread[:, at]), whole - without, clear))
        shifts.sort(key=lambda one: (-round(one.carries, 4), -abs(one.alone - 0.5)))
        return Audit(n, whole, auc_interval(whole, n), tuple(shifts))


def auc(scores: "Floats") -> float:
    """The share of pairs (i, j), i = j too, with s_i + s_j > 0; ties count one half. `scores` has shape (pairs,)."""
    import numpy as np
    from scipy.stats import rankdata

    n = len(scores)
    ranks = rankdata(np.concatenate([scores, -scores]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / n**2)


def auc_interval(found: float, pairs: int) -> tuple[float, float]:
    """The interval of an out-of-fold AUC over `pairs` differences, at 95%."""
    independent = pairs / (1 + _FOLDS / (_FOLDS - 1))
    return _end(found, 0.0, independent), _end(found, 1.0, independent)


def _end(found: float, outer: float, pairs: float) -> float:
    """The AUC on the side of `outer` that lies as far from the found one as its own error allows, by bisection."""
    inner = found
    for _ in range(60):
        middle = (inner + outer) / 2
        half = pairs / 2
        spread = 1 + (half - 1) * ((1 - middle) / (2 - middle) + middle / (1 + middle))
        if abs(middle - found) < _Z * math.sqrt(middle * (1 - middle) * spread) / half:
            inner = middle
        else:
            outer = middle
    return inner


def _scores(spread: "Floats", folds: "NDArray[np.int64]") -> "Floats":
    """What each feature adds to each pair's out-of-fold score, in log-odds: shape (pairs, features)."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    parts = np.zeros_like(spread)
    for fold in range(_FOLDS):
        inside = folds == fold
        seen = spread[~inside]
        if not len(seen) or not inside.any():
            continue
        scale = np.sqrt((seen**2).mean(axis=0))
        scale[scale == 0] = 1.0
        both_ways = np.concatenate([seen, -seen]) / scale
        model = LogisticRegression(fit_intercept=False, C=0.5, max_iter=1000)  # C: each pair stands there twice
        with threadpool_limits(1):  # threads that wait for each other take seconds over so small a model
            model.fit(both_ways, np.repeat([1, 0], len(seen)))
        parts[inside] = spread[inside] / scale * model.coef_[0]
    return parts
