"""Filters on a measure: a pair is at fault when the measured value is outside the configured bounds."""

from collections.abc import Callable
from functools import partial

from clairgen.filters.filter import Candidate, Check, Fault, Filter
from clairgen.filters.options import Bounds
from clairgen.metrics.contrast import Metric


def within_bounds(name: str, measure: Callable[[Candidate], float | None]) -> Callable[[Bounds], Check]:
    """How the filter `name` on a measure is prepared; a pair without a value passes.

    The reasons are `outside_reasons`, and the value is the measured one.
    """
    return lambda options: partial(_outside, outside_reasons(name), measure, options)


def outside_reasons(name: str) -> tuple[str, str]:
    """The reasons of the filter `name` for a value below and for one above its bounds."""
    reason = name.replace("_", "-")
    return f"{reason}-below", f"{reason}-above"


class MetricBounds(Bounds):
    """Bounds on a metric, which may be negative."""

    may_be_negative = True


def bounds_on(metric: Metric) -> Filter[MetricBounds]:
    """A filter on a metric of the two texts, under the metric's name: for metrics of your own."""

    def measure(candidate: Candidate) -> float | None:
        return metric.measure(candidate.pair.chosen.text, candidate.pair.rejected.text)

    return Filter(
        name=metric.name,
        options=MetricBounds,
        summary=f"{metric.summary}; set bounds to filter by it.",
        prepare=within_bounds(metric.name, measure),
    )


def _outside(
    reasons: tuple[str, str], measure: Callable[[Candidate], float | None], options: Bounds, pair: Candidate
) -> Fault | None:
    value = measure(pair)
    low, high = options.bounds or (None, None)
    if value is not None and low is not None and value < low:
        return Fault(reasons[0], value)
    if value is not None and high is not None and value > high:
        return Fault(reasons[1], value)
    return None
