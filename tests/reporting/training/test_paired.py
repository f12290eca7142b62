import math

import numpy as np
import pytest

from clairgen.reporting.training.trajectory import mean_change
from clairgen.stats import t_quantile


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [9, 29, 99, 9_999])
@pytest.mark.parametrize("probability", [0.5, 0.975, 0.995, 0.9995])
def test_quantiles_agree_with_scipy(degrees: int, probability: float) -> None:
    from scipy.stats import t

    assert t_quantile(probability, degrees) == pytest.approx(float(t.ppf(probability, degrees)), rel=1e-3)


def test_quantiles_of_few_degrees_are_those_of_tables() -> None:
    assert [t_quantile(0.975, degrees) for degrees in (1, 2, 3, 5)] == pytest.approx(
        [12.706, 4.303, 3.182, 2.571], rel=2e-3
    )


def test_a_change_worked_by_hand() -> None:
    # 2, 4, 4, 6: mean 4, standard error sqrt(8 / 3 / 4), t of 0.975 at 3 degrees of freedom 3.182
    change = mean_change(np.array([2.0, np.nan, 4.0, 4.0, 6.0, np.inf]), 0.95)
    assert change is not None
    assert (change.mean, change.n) == (4, 4)
    assert change.high - 4 == pytest.approx(3.182 * math.sqrt(2 / 3), rel=0.01)
    assert change.low == pytest.approx(8 - change.high)
    assert change.is_rise
    assert not change.is_fall
    assert not change.is_unclear


def test_one_pair_tells_no_change() -> None:
    assert mean_change(np.array([1.0, np.nan]), 0.95) is None


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    changes = [mean_change(random.normal(1, 3, 20), 0.95) for _ in range(2000)]
    covered = sum(change is not None and change.low <= 1 <= change.high for change in changes)
    assert 0.94 <= covered / 2000 <= 0.96
