import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairgen.stats import Estimate, Mean, share, wilson

values = st.lists(st.floats(-1e6, 1e6), max_size=50)


def mean_of(numbers: list[float]) -> Mean:
    mean = Mean()
    for number in numbers:
        mean.add(number)
    return mean


def test_no_value_has_no_mean() -> None:
    assert Mean().estimate() == Estimate(mean=None, se=None, n=0)


def test_one_value_has_no_error() -> None:
    assert mean_of([3.5]).estimate() == Estimate(mean=3.5, se=None, n=1)


def test_mean_and_error_worked_by_hand() -> None:
    # 2, 4, 4, 6: mean 4; squared distances 4 + 0 + 0 + 4 = 8; sample variance 8 / 3; se = sqrt(8 / 3 / 4)
    estimate = mean_of([2, 4, 4, 6]).estimate()
    assert estimate.mean == 4
    assert estimate.se == pytest.approx(math.sqrt(2 / 3))
    assert estimate.n == 4


def test_a_large_offset_costs_no_precision() -> None:
    estimate = mean_of([1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16]).estimate()
    assert estimate.mean == 1e9 + 10
    assert estimate.se == pytest.approx(math.sqrt(30 / 4))


@given(values.filter(lambda numbers: len(numbers) >= 2))
def test_a_stream_agrees_with_the_whole_list(numbers: list[float]) -> None:
    estimate = mean_of(numbers).estimate()
    assert estimate.mean == pytest.approx(statistics.fmean(numbers), abs=1e-6)
    assert estimate.se == pytest.approx(statistics.stdev(numbers) / math.sqrt(len(numbers)), abs=1e-6)


@given(values, values)
def test_merged_parts_agree_with_the_whole(first: list[float], second: list[float]) -> None:
    merged = mean_of(first)
    merged.merge(mean_of(second))
    whole = mean_of(first + second).estimate()
    assert merged.estimate().n == whole.n
    assert merged.estimate().mean == pytest.approx(whole.mean, abs=1e-6)
    assert merged.estimate().se == pytest.approx(whole.se, abs=1e-6)


def test_an_estimate_as_json() -> None:
    assert mean_of([1, 3]).estimate().to_json() == {"mean": 2, "se": 1, "n": 2}


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(50, 100, 0.4038, 0.5962), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (60, 100, 0.5020, 0.6906)],
)
def test_wilson_interval_is_the_textbooks(count: int, total: int, low: float, high: float) -> None:
    interval = wilson(count, total)
    assert interval is not None
    assert interval == pytest.approx((low, high), abs=5e-5)


def test_share_has_its_error() -> None:
    estimate = share(25, 100)
    assert (estimate.mean, estimate.n) == (0.25, 100)
    assert estimate.se == pytest.approx(0.0433, abs=1e-4)


@pytest.mark.parametrize("total", [1, 7, 20, 400, 1000])
def test_wilsons_interval_reaches_the_ends(total: int) -> None:
    assert (wilson(total, total) or (0, 0))[1] == 1
    assert (wilson(0, total) or (1, 1))[0] == 0
