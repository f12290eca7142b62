"""A logistic model with shrunken slopes, its sandwich covariance clustered by prompt, and whether its data are separated.

Outcomes lie between 0 and 1. The first column of a design is the intercept, which is not shrunken; the other coefficients have a
normal prior with mean 0 and standard deviation 2.5, which hardly moves an estimate from a hundred prompts and keeps one from
few within reason.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

_PRIOR_DEVIATION: Final = 2.5
_CONFIDENCE: Final = 0.95
_MOST_STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class LogisticFit:
    """A fitted model: `coefficients` of shape (k,); of each outcome its `influences` on them, (n, k), and its cluster, (n,)."""

    coefficients: "Floats"
    influences: "Floats"
    clusters: "Integers"

    def mean_at(self, design: "Floats") -> tuple[float, tuple[float, float]]:
        """The mean of what the model predicts for the n rows of a design, with its 95% interval, symmetric in the log-odds.

        The rows are taken for a sample of prompts, so their own variation is part of the uncertainty.
        """
        import numpy as np

        predicted = logistic(design @ self.coefficients)
        mean = float(predicted.mean())
        gradient = (predicted * (1 - predicted)) @ design / len(design)
        error = self._standard_error(predicted - mean + self.influences @ gradient)
        centre, half = math.log(mean / (1 - mean)), self._quantile() * error / (mean * (1 - mean))
        low, high = logistic(np.array([centre - half, centre + half])).tolist()
        return mean, (low, high)

    def coefficient(self, index: int) -> tuple[float, float, float]:
        """A coefficient and the ends of its 95% interval."""
        found = float(self.coefficients[index])
        half = self._quantile() * self._standard_error(self.influences[:, index])
        return found, found - half, found + half

    def _standard_error(self, influences: "Floats") -> float:
        """The standard error of a mean with these influences: G clusters and k coefficients count as G - k."""
        import numpy as np

        sums = np.bincount(self.clusters, weights=influences)
        return math.sqrt(float((sums**2).sum()) * len(sums) / self._spare_clusters()) / len(influences)

    def _quantile(self) -> float:
        from scipy.stats import t

        return float(t.ppf(0.5 + _CONFIDENCE / 2, self._spare_clusters()))

    def _spare_clusters(self) -> int:
        return max(1, int(self.clusters.max()) + 1 - len(self.coefficients))


def fitted(design: "Floats", outcomes: "Floats", clusters: "Integers") -> LogisticFit:
    """The model with the greatest posterior density, by Newton's method; `clusters` numbers each outcome's cluster from 0."""
    import numpy as np

    penalty = np.full(design.shape[1], _PRIOR_DEVIATION**-2)
    penalty[0] = 0.0
    found = np.zeros(design.shape[1], dtype=np.float64)
    for _ in range(_MOST_STEPS):
        predicted = logistic(design @ found)
        gradient = design.T @ (outcomes - predicted) - penalty * found
        step = np.linalg.solve(_curvature(design, predicted, penalty), gradient)
        reached = _log_density(design, outcomes, penalty, found)
        while np.abs(step).max() > 1e-12 and _log_density(design, outcomes, penalty, found + step) < reached:
            step /= 2
        found = found + step
        if np.abs(step).max() < 1e-9:
            break
    predicted = logistic(design @ found)
    scores = design * (outcomes - predicted)[:, None]
    influences = np.linalg.solve(_curvature(design, predicted, penalty), scores.T).T * len(design)
    return LogisticFit(found, influences.astype(np.float64), clusters)


def is_separated(design: "Floats", outcomes: "Floats") -> bool:
    """Whether a plane divides outcomes of 1 from those of 0, so that the likelihood has no maximum and only a prior gives one.

    Albert and Anderson (1984), as a linear program: is there a b within [-1, 1] with x'b >= 0 where the outcome is 1, <= 0 where
    it is 0 and = 0 where it lies between, and x'b other than 0 somewhere?
    """
    import numpy as np
    from scipy.optimize import linprog

    signs = np.where(outcomes >= 1, 1.0, np.where(outcomes <= 0, -1.0, 0.0))
    decided, between = design[signs != 0] * signs[signs != 0][:, None], design[signs == 0]
    if not len(decided):
        return False
    equal = {"A_eq": between, "b_eq": np.zeros(len(between))} if len(between) else {}
    bounds = [(-1, 1)] * design.shape[1]
    found = linprog(-decided.sum(axis=0), A_ub=-decided, b_ub=np.zeros(len(decided)), **equal, bounds=bounds)
    return bool(found.status == 0 and found.fun < -1e-7)


def logistic(scores: "Floats") -> "Floats":
    """1 / (1 + exp(-score)), without overflow."""
    import numpy as np

    return np.exp(-np.logaddexp(0, -scores))


def _curvature(design: "Floats", predicted: "Floats", penalty: "Floats") -> "Floats":
    import numpy as np

    return (design.T * (predicted * (1 - predicted))) @ design + np.diag(penalty)


def _log_density(design: "Floats", outcomes: "Floats", penalty: "Floats", at: "Floats") -> float:
    import numpy as np

    scores = design @ at
    return float(outcomes @ scores - np.logaddexp(0, scores).sum() - (penalty * at**2).sum() / 2)
