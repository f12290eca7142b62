"""The registry of metrics: those of the paper, and those of plugins, which reports state beside them."""

from clairgen.metrics.contrast import JACCARD, LENGTH_RATIO, LEVENSHTEIN
from clairgen.metrics.metric import Metric
from clairgen.plugins import Registry

METRICS = Registry(Metric, "clairgen.metrics", (JACCARD, LEVENSHTEIN, LENGTH_RATIO))
