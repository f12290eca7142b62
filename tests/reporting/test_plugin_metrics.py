import math
from dataclasses import replace

import pytest

from clairgen.errors import ConfigError
from clairgen.metrics.contrast import Metric
from clairgen.reporting.pair_metrics import PluginMetrics
from tests.reporting.made import stored_pair

SAVED = Metric("words_saved", lambda chosen, rejected: len(rejected.split()) - len(chosen.split()), "Words saved")


def test_means_are_over_all_pairs_and_over_those_that_are_kept() -> None:
    numbers = PluginMetrics({"words_saved": SAVED})
    numbers.add(stored_pair("one", "one two three"), kept=True)
    numbers.add(stored_pair("one", "one"), kept=False)
    numbers.add(replace(stored_pair(None), id="undecided"), kept=False)
    estimates = numbers.estimates()["words_saved"]
    assert estimates.to_json() == {
        "summary": "Words saved",
        "all": {"mean": 1.0, "se": 1.0, "n": 2},
        "kept": {"mean": 2.0, "se": None, "n": 1},
    }


def test_texts_without_a_value_are_left_out() -> None:
    numbers = PluginMetrics({"none": Metric("none", lambda chosen, rejected: None, "Nothing")})
    numbers.add(stored_pair(), kept=True)
    assert numbers.estimates()["none"].of_all.n == 0


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        (Metric("bad", lambda chosen, rejected: 1 / 0, "Bad"), r"'bad' failed on the pair pair-1 \(ZeroDivisionError"),
        (Metric("bad", lambda chosen, rejected: math.nan, "Bad"), "it returned nan, which is not a finite number"),
    ],
)
def test_a_metric_that_fails_is_named(metric: Metric, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        PluginMetrics({"bad": metric}).add(stored_pair(), kept=True)
