"""Means of the metrics of plugins over a recipe's pairs: all pairs, and those that are kept."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clairgen.errors import ConfigError
from clairgen.metrics.metric import Metric
from clairgen.records import Pair, StoredPair
from clairgen.stats import Estimate, Mean


@dataclass(frozen=True, slots=True)
class MetricEstimates:
    """The mean of one metric; `summary` is the metric's own."""

    summary: str
    of_all: Estimate
    of_kept: Estimate

    def to_json(self) -> dict[str, Any]:
        """The estimates as an object."""
        return {"summary": self.summary, "all": self.of_all.to_json(), "kept": self.of_kept.to_json()}


class PluginMetrics:
    """Accumulates the metrics of a recipe's pairs, one pair at a time."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = metrics
        self._all = {name: Mean() for name in metrics}
        self._kept = {name: Mean() for name in metrics}

    def add(self, stored: StoredPair, *, kept: bool) -> None:
        """Measure a pair, if it has a chosen answer. Raises ConfigError for a metric that fails."""
        pair = stored.outcome
        if not isinstance(pair, Pair):
            return
        for name, metric in self._metrics.items():
            value = _value(metric, pair.chosen.text, pair.rejected.text, stored.id)
            if value is not None:
                self._all[name].add(value)
            if value is not None and kept:
                self._kept[name].add(value)

    def estimates(self) -> dict[str, MetricEstimates]:
        """The estimates so far, by the metric's name."""
        return {
            name: MetricEstimates(metric.summary, self._all[name].estimate(), self._kept[name].estimate())
            for name, metric in self._metrics.items()
        }


def _value(metric: Metric, chosen: str, rejected: str, pair_id: str) -> float | None:
    try:
        value = metric.measure(chosen, rejected)
        if value is not None and not math.isfinite(value):
            raise ValueError(f"it returned {value}, which is not a finite number")
    except Exception as error:
        raise ConfigError(
            f"the metric {metric.name!r} failed on the pair {pair_id} ({type(error).__name__}: {error}); fix or uninstall its "
            "plugin"
        ) from error
    return None if value is None else float(value)
