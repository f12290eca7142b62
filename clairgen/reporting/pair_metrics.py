"""Metrics over a recipe's pairs: histograms of the contrast, means of plugin metrics, and the paper's figures beside them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from clairgen.errors import ConfigError
from clairgen.metrics.contrast import Metric, contrast, token_jaccard
from clairgen.records import Contrast, Pair, StoredPair
from clairgen.stats import Estimate, Mean
from clairgen.store import Bins, MetricSums
from clairgen.wording import counted, one_line_repr

TABLE_1_SOURCE = "Table 1 of arXiv 2408.06266"


@dataclass(frozen=True, slots=True)
class ContrastEstimates:
    """Mean contrast over some pairs: token Jaccard x100, character edits, and the ratio of characters, chosen to rejected."""

    jaccard: Estimate
    levenshtein: Estimate
    length_ratio: Estimate

    def to_json(self) -> dict[str, Any]:
        """The three estimates as an object."""
        return {
            "jaccard": self.jaccard.to_json(),
            "levenshtein": self.levenshtein.to_json(),
            "length_ratio": self.length_ratio.to_json(),
        }

    @property
    def phrases(self) -> tuple[str, str]:
        """The means of the first two in words, each with its n."""
        return f"Jaccard {self.jaccard.words}", f"Levenshtein {self.levenshtein.words}"

    def __repr__(self) -> str:
        ratio = f"length ratio {self.length_ratio.words}"
        return one_line_repr(self, counted(self.jaccard.n, "pair"), *self.phrases, ratio)


@dataclass(slots=True)
class ContrastMeans:
    """Accumulates contrasts, one pair at a time."""

    jaccard: Mean = field(default_factory=Mean)
    levenshtein: Mean = field(default_factory=Mean)
    length_ratio: Mean = field(default_factory=Mean)

    def add(self, contrast: Contrast) -> None:
        """Count one pair's contrast; an undefined length ratio is skipped."""
        self.jaccard.add(100 * contrast.jaccard)
        self.levenshtein.add(contrast.levenshtein)
        if contrast.length_ratio is not None:
            self.length_ratio.add(contrast.length_ratio)

    def add_sums(self, metrics: Mapping[str, MetricSums]) -> None:
        """Count many pairs by the sums of their metrics, which are named as here."""
        for name, sums in metrics.items():
            getattr(self, name).merge(Mean(sums.n, sums.mean, sums.squares))

    def estimates(self) -> ContrastEstimates:
        """The means so far."""
        return ContrastEstimates(self.jaccard.estimate(), self.levenshtein.estimate(), self.length_ratio.estimate())


def contrast_under(tokenizer: str, stored: StoredPair) -> Contrast | None:
    """The pair's contrast; computed again if the stored Jaccard uses another tokenizer."""
    if not isinstance(stored.outcome, Pair):
        return None
    chosen, rejected = stored.outcome.chosen, stored.outcome.rejected
    if stored.contrast is None:
        return contrast(chosen.text, rejected.text, tokenizer)
    if stored.contrast.tokenizer != tokenizer:
        jaccard = token_jaccard(chosen.text, rejected.text, tokenizer)
        return replace(stored.contrast, jaccard=jaccard, tokenizer=tokenizer)
    return stored.contrast


@dataclass(frozen=True, slots=True)
class Scale:
    """The bins of a metric: `count` bins of width `step` starting at `lowest`, on a log2 scale if `logarithmic`.

    Values below or above the range are counted in the first or the last bin. With `zero_bin` the first bin is for 0 alone, and
    lies, a bin's width apart, below the others. `metric` is the metric's name, of whose values the scale has `times` as many.
    """

    metric: str
    title: str
    lowest: float
    step: float
    count: int
    logarithmic: bool = False
    zero_bin: bool = False
    times: int = 1

    def bin(self, value: float) -> int:
        """The index of the bin that contains a value."""
        if self.zero_bin and value == 0:
            return 0
        if self.logarithmic:
            value = math.log2(value) if value > 0 else self.lowest
        first = 1 if self.zero_bin else 0
        return min(max(math.floor((value - self.lowest) / self.step), 0) + first, self.count - 1)

    @property
    def bins(self) -> Bins:
        """The same bins as queries take them."""
        return Bins(self.lowest, self.step, self.count, self.logarithmic, self.zero_bin)

    def start(self, number: int) -> float:
        """Where a bin begins on the axis, which is logarithmic if the scale is; beyond the last one, where that ends."""
        if not self.zero_bin:
            return self.lowest + self.step * number
        return self.lowest + self.step * (number - 1 if number else -2)

    def limits(self, number: int) -> tuple[float | None, float | None]:
        """The values of the metric in a bin: at least the first, and below the second, where there are such limits."""
        ends = [self.start(max(end, 1) if self.zero_bin else end) for end in (number, number + 1)]
        lowest, below = ((2**end if self.logarithmic else end) / self.times for end in ends)
        return lowest if number > 0 else None, below if number < self.count - 1 else None

    def position(self, value: float) -> float:
        """Where a value above 0 lies on the axis."""
        return math.log2(value) if self.logarithmic else value


SCALES: Sequence[Scale] = (
    Scale("jaccard", "Jaccard x100", 0, 5, 20, times=100),
    Scale("levenshtein", "Levenshtein, characters", 0, 0.5, 35, logarithmic=True, zero_bin=True),
    Scale("length_ratio", "length ratio, chosen / rejected", -3, 0.25, 24, logarithmic=True),
)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of kept and of dropped pairs in each bin of a scale."""

    scale: Scale
    kept: tuple[int, ...]
    dropped: tuple[int, ...]

    def __repr__(self) -> str:
        return one_line_repr(self, self.scale.title, f"{sum(self.kept):,} kept", f"{sum(self.dropped):,} dropped")


class Histograms:
    """Accumulates histograms from contrasts, one pair at a time."""

    def __init__(self) -> None:
        self._counts = [([0] * scale.count, [0] * scale.count) for scale in SCALES]

    def add(self, contrast: Contrast, *, kept: bool) -> None:
        """Count one pair's contrast; an undefined length ratio is skipped."""
        values = (100 * contrast.jaccard, contrast.levenshtein, contrast.length_ratio)
        for scale, value, counts in zip(SCALES, values, self._counts, strict=True):
            if value is not None:
                counts[0 if kept else 1][scale.bin(value)] += 1

    def add_counts(self, metrics: Mapping[str, MetricSums], *, kept: bool) -> None:
        """Count many pairs by how many of them are in each bin, whose limits are those of SCALES."""
        for scale, counts in zip(SCALES, self._counts, strict=True):
            for number, pairs in metrics[scale.metric].bins.items():
                counts[0 if kept else 1][number] += pairs

    def histograms(self) -> tuple[Histogram, ...]:
        """One histogram for each scale, in the order of SCALES."""
        return tuple(
            Histogram(scale, tuple(kept), tuple(dropped))
            for scale, (kept, dropped) in zip(SCALES, self._counts, strict=True)
        )


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


@dataclass(frozen=True, slots=True)
class PaperContrast:
    """One row of Table 1: mean token Jaccard x100, mean character Levenshtein; `n` is rounded as Section 5.1 states it.

    The paper does not name the tokenizer of its Jaccard; a Treebank-like one comes closest to its figures.
    """

    jaccard: float
    levenshtein: float
    n: int

    @property
    def words(self) -> tuple[str, str, str, str]:
        """n, Jaccard, Levenshtein and length ratio as they stand in a table; the last one is not published."""
        return f"{self.n:,}", f"{self.jaccard:.2f}", f"{self.levenshtein:,.0f}", ""

    @property
    def means(self) -> tuple[float, float, None]:
        """Jaccard, Levenshtein and length ratio as numbers; the last one is not published."""
        return self.jaccard, self.levenshtein, None


TABLE_1: Mapping[str, PaperContrast] = MappingProxyType(
    {
        "clair": PaperContrast(jaccard=43.11, levenshtein=1108, n=29_000),
        "judge-on-policy": PaperContrast(jaccard=39.06, levenshtein=1258, n=32_000),
        "judge-off-policy": PaperContrast(jaccard=18.05, levenshtein=1203, n=29_000),
        "stronger-preferred": PaperContrast(jaccard=24.35, levenshtein=1607, n=29_000),
    }
)


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
