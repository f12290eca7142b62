"""The best of several checkpoints, and how much of its lead is due to choosing it on the questions that it is reported on.

The paper reports the maximum and the mean (standard deviation) over 18 checkpoints, chosen and reported on the same questions.
The maximum of noisy scores is too high on average even where all checkpoints are equally good. So the questions are split into
halves at random: the checkpoint that is best on one half is scored on the other, and the other way round. The mean over both
is a score of questions that had no part in the choice; it is averaged over many halvings.
"""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clairgen.errors import InputError
from clairgen.evaluation.results import EvaluationResult
from clairgen.evaluation.shares import Share, share_of

HALVINGS = 100
"""How often questions are split into halves."""


@dataclass(frozen=True, slots=True)
class BestCheckpoint:
    """The maximum and mean over checkpoints on the same questions, scores between 0 and 1.

    `label` is the checkpoint with the highest share, `maximum`. `deviation` is the sample standard deviation over checkpoints,
    None with one. `held_out` is the mean score of a checkpoint that was chosen on half of the questions, on the other half, with
    its 95% interval (`low`, `high`); each half has fewer questions to choose by than the whole, so it may be a little too low.
    """

    label: str
    checkpoints: int
    maximum: Share
    mean: float
    deviation: float | None
    held_out: float
    low: float
    high: float

    @property
    def selection_bias(self) -> float:
        """How far the maximum lies above the score on questions that had no part in the choice."""
        return (self.maximum.mean or 0.0) - self.held_out

    def to_json(self) -> dict[str, Any]:
        """The figures as an object."""
        names = ("label", "checkpoints", "mean", "deviation", "held_out", "low", "high", "selection_bias")
        return {name: getattr(self, name) for name in names} | {"maximum": self.maximum.to_json()}


def best_checkpoint(
    results: Sequence[EvaluationResult], base: EvaluationResult | None = None, seed: int = 0
) -> BestCheckpoint:
    """The best of evaluations of the same items, by the same rules and judge, as those of `base`, if one is given.

    Raises InputError where these differ, and where one of the evaluations has no score.
    """
    if len({one.comparable for one in (*results, *([base] if base is not None else []))}) != 1:
        raise InputError(
            "checkpoints and what they are compared with must be evaluated alike; name the same files, prompts and judge"
        )
    scored = {f"{number} {one.record.label}": one for number, one in enumerate(results)}
    if any(one.overall.mean is None for one in results):
        empty = next(one.record.label for one in results if one.overall.mean is None)
        raise InputError(f"no answer of {empty} has a score, so there is no best checkpoint; look at its failures")
    best = max(results, key=lambda one: one.overall.mean or 0.0)
    means = [one.overall.mean or 0.0 for one in results]
    by_cluster = {name: _clusters(one) for name, one in scored.items()}
    clusters = sorted({cluster for totals in by_cluster.values() for cluster in totals})
    draw = random.Random(seed)  # noqa: S311 - a split of questions is no secret
    shares = [share for _ in range(HALVINGS) if (share := _halved(scored, by_cluster, clusters, draw)).mean is not None]
    if not shares:
        raise InputError("there are too few questions to choose a checkpoint on half of them; evaluate on more")
    return BestCheckpoint(
        best.record.label,
        len(results),
        best.overall,
        statistics.fmean(means),
        statistics.stdev(means) if len(means) > 1 else None,
        *(statistics.fmean(getattr(share, name) for share in shares) for name in ("mean", "low", "high")),
    )


def _clusters(result: EvaluationResult) -> dict[str, tuple[int, float]]:
    """Number and sum of the scores of each cluster."""
    totals: dict[str, tuple[int, float]] = {}
    for item in result.items:
        if item.score is not None:
            n, total = totals.get(item.cluster, (0, 0.0))
            totals[item.cluster] = n + 1, total + item.score
    return totals


def _halved(
    results: Mapping[str, EvaluationResult],
    by_cluster: Mapping[str, Mapping[str, tuple[int, float]]],
    clusters: Sequence[str],
    draw: random.Random,
) -> Share:
    """The share when each half of the questions is scored with the checkpoint that is best on the other half."""
    first = set(draw.sample(clusters, len(clusters) // 2))
    chosen: list[tuple[str, float]] = []
    for half in (first, set(clusters) - first):
        best = max(by_cluster, key=lambda name: _mean(by_cluster[name], half))
        chosen += [
            (item.cluster, item.score)
            for item in results[best].items
            if item.score is not None and item.cluster not in half
        ]
    return share_of(chosen)


def _mean(totals: Mapping[str, tuple[int, float]], half: set[str]) -> float:
    found = [totals[cluster] for cluster in half if cluster in totals]
    n = sum(size for size, _ in found)
    return sum(total for _, total in found) / n if n else -1.0
