"""The shortcut audit: how well surface features alone separate chosen from rejected, before a reward model learns them.

The unit is the pair: the difference of its answers' features, chosen minus rejected. A logistic model without intercept
predicts from it which answer was chosen, so swapping the answers swaps the prediction. Each pair is scored by a model that
saw no pair of its task (five folds by a hash of the task id). With out-of-fold scores s, AUC = P(s_i + s_j > 0) over all pairs
i and j, ties counting one half: the area under the ROC curve when every difference is presented both ways round. 0.5 means
that the features carry no information.

The interval is the score interval of an AUC (Newcombe 2006, method 5, after Hanley and McNeil), with half of the pairs on
either side. Unlike DeLong's it never shrinks to a point where all pairs are separated. The folds' models share most of their
training pairs, so their AUCs are not independent: the correction of Nadeau and Bengio (2003) counts n pairs in K folds as
n / (1 + K / (K - 1)); without it, shuffled labels fall outside the interval in one audit of five. Pairs of one task depend
on each other, so n is the number of tasks.
"""

import hashlib
import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from clairgen.config.renamed import deprecated
from clairgen.keys import sample_number
from clairgen.records import Pair, StoredPair
from clairgen.reporting.surface_features import FEATURES, surface_features
from clairgen.stats import Estimate, auc_score_interval, mean_of
from clairgen.wording import counted, one_line_repr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_PAIRS = 10_000
"""At most so many pairs are audited, sampled by a hash of their task: enough to know an AUC to better than 0.01."""
FEWEST_PAIRS = 10
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class FeatureShift:
    """How one feature differs between chosen and rejected answers.

    `shift` is the mean of chosen minus rejected in the feature's own unit, `univariate_auc` the AUC of this feature by itself
    (above 0.5: chosen has more of it), `importance` the AUC that the model loses when this feature is left out of its scores. A
    shift is `clear` when it is significant at the 5% level over all features together (t test, Bonferroni).
    """

    feature: str
    shift: Estimate
    univariate_auc: float
    importance: float
    clear: bool

    def to_json(self) -> dict[str, Any]:
        """The feature as an object."""
        return {
            "feature": self.feature,
            "shift": self.shift.to_json(),
            "clear": self.clear,
            "univariate_auc": self.univariate_auc,
            "importance": self.importance,
            "auc_alone": self.univariate_auc,
            "auc_lost_without": self.importance,
        }


@dataclass(frozen=True, slots=True)
class Audit:
    """How well surface features separate the two answers of `n` pairs; the most important features come first."""

    n: int
    auc: float
    interval: tuple[float, float]
    shifts: tuple[FeatureShift, ...]

    @property
    def tells_apart(self) -> bool:
        """Whether the interval excludes 0.5."""
        return self.interval[0] > 0.5

    def __repr__(self) -> str:
        low, high = self.interval
        return one_line_repr(self, counted(self.n, "pair"), f"AUC {self.auc:.3f} ({low:.3f} to {high:.3f})")

    def to_json(self) -> dict[str, Any]:
        """The stable object of `report --json`."""
        return {
            "n": self.n,
            "auc": self.auc,
            "interval_95": list(self.interval),
            "features": [shift.to_json() for shift in self.shifts],
            "deprecated": deprecated({"auc_alone": "univariate_auc", "auc_lost_without": "importance"}),
        }


class FeatureDifferences:
    """Accumulates the feature differences of a recipe's pairs, or of a sample of them.

    `share` is the fraction of pairs to keep; the same tasks are kept in every recipe. `most` is for a stream of unknown length:
    whenever there are more pairs, the share is halved.
    """

    def __init__(self, share: float = 1.0, *, most: int | None = None) -> None:
        self._most = share * 2**32
        self._most_pairs = most
        self._rows: list[tuple[float, ...]] = []
        self._spread: list[tuple[float, ...]] = []
        self._folds: list[int] = []
        self._drawn: list[int] = []

    def takes(self, task_id: str) -> bool:
        """Whether pairs of this task are in the sample."""
        return sample_number(task_id) <= self._most

    @property
    def most_sample_number(self) -> int:
        """The largest number of a task, by `sample_number`, that is in the sample."""
        return math.floor(self._most)

    def add(self, stored: StoredPair) -> None:
        """Add a pair of the sample, if it has both answers and no filter drops it."""
        pair = stored.outcome
        drawn, fold = _drawn(stored.task.id)
        if isinstance(pair, Pair) and stored.dropped_by is None and drawn <= self._most:
            self._drawn.append(drawn)
            self.compare(pair.chosen.text, pair.rejected.text, fold)

    def add_texts(self, task_id: str, chosen: str, rejected: str) -> None:
        """Add two answers to a task, if they are in the sample."""
        drawn, fold = _drawn(task_id)
        if drawn > self._most:
            return
        self._drawn.append(drawn)
        self.compare(chosen, rejected, fold)
        while self._most_pairs is not None and len(self._rows) > self._most_pairs:
            self._most /= 2
            kept = [at for at, one in enumerate(self._drawn) if one <= self._most]
            self._rows, self._spread = [self._rows[at] for at in kept], [self._spread[at] for at in kept]
            self._folds, self._drawn = [self._folds[at] for at in kept], [self._drawn[at] for at in kept]

    @property
    def tasks(self) -> int:
        """How many tasks the pairs are of."""
        return len(set(self._drawn)) if self._drawn else len(self._rows)

    def compare(self, chosen: str, rejected: str, fold: int) -> None:
        """Add two answers; all pairs of one task must be in the same fold."""
        more, less = surface_features(chosen), surface_features(rejected)
        self._rows.append(tuple(a - b for a, b in zip(more, less, strict=True)))
        # Counts have long tails, so the model sees differences of their logarithms.
        self._spread.append(tuple(math.log1p(a) - math.log1p(b) for a, b in zip(more, less, strict=True)))
        self._folds.append(fold)

    def audit(self) -> Audit | None:
        """The audit of the pairs so far; None with fewer than FEWEST_PAIRS pairs or without scikit-learn."""
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
            shifts.append(FeatureShift(name, shift, auc(spread[:, at]), whole - without, clear))
        shifts.sort(key=lambda one: (-round(one.importance, 4), -abs(one.univariate_auc - 0.5)))
        return Audit(n, whole, auc_interval(whole, self.tasks), tuple(shifts))


def _drawn(task_id: str) -> tuple[int, int]:
    """A number below 2**32 by which the task is drawn for a sample, and its fold."""
    hashed = hashlib.sha256(task_id.encode("utf-8", "surrogatepass")).digest()
    return sample_number(task_id), int.from_bytes(hashed[4:8]) % _FOLDS


def auc(scores: "Floats") -> float:
    """The share of pairs (i, j), i = j too, with s_i + s_j > 0; ties count one half. `scores` has shape (pairs,)."""
    import numpy as np
    from scipy.stats import rankdata

    n = len(scores)
    ranks = rankdata(np.concatenate([scores, -scores]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / n**2)


def auc_interval(found: float, pairs: int) -> tuple[float, float]:
    """The interval of an out-of-fold AUC over `pairs` differences, at 95%."""
    return auc_score_interval(found, pairs / (1 + _FOLDS / (_FOLDS - 1)))


def _scores(spread: "Floats", folds: "NDArray[np.int64]") -> "Floats":
    """Each feature's contribution to each pair's out-of-fold score, in log-odds: shape (pairs, features)."""
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
        model = LogisticRegression(fit_intercept=False, C=0.5, max_iter=1000)  # C: each pair is in the data twice
        with threadpool_limits(1):  # for so small a model, threads cost seconds of waiting for each other
            model.fit(both_ways, np.repeat([1, 0], len(seen)))
        parts[inside] = spread[inside] / scale * model.coef_[0]
    return parts
