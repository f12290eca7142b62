"""Intervals of shares and of paired differences, clustered."""

import random

import pytest

from clairgen.evaluation.shares import difference_of, share_of
from clairgen.stats import wilson


def test_without_clusters_a_share_has_wilsons_interval() -> None:
    share = share_of((str(number), float(number < 30)) for number in range(100))
    assert (share.n, share.clusters, share.mean) == (100, 100, 0.3)
    expected = wilson(30, 100)
    assert expected is not None
    # The variance has the factor n / (n - 1), which counts for half a percent of the width here.
    assert (share.low, share.high) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_the_interval_is_not_empty_where_all_answers_are_alike(right: float) -> None:
    share = share_of((str(number), right) for number in range(20))
    assert (share.low, share.high) == pytest.approx(wilson(20 * right, 20))


def test_samples_that_repeat_each_other_do_not_narrow_the_interval() -> None:
    one = share_of((str(number), float(number % 3 == 0)) for number in range(60))
    copied = share_of((str(number), float(number % 3 == 0)) for number in range(60) for _ in range(5))
    assert (copied.n, copied.clusters) == (300, 60)
    assert (copied.low, copied.high) == pytest.approx((one.low, one.high))


def test_two_clusters_that_happen_to_agree_are_no_precise_figure() -> None:
    agreeing = share_of((str(number % 2), float(number < 11)) for number in range(20))
    assert (agreeing.n, agreeing.clusters, agreeing.mean) == (20, 2, 0.55)
    assert agreeing.low is not None and agreeing.high is not None
    assert agreeing.high - agreeing.low > 0.7  # 0.42 without the quantiles


def test_nothing_to_share_and_one_cluster_are_said_to_be_that() -> None:
    assert share_of([]).mean is None
    assert share_of([]).words == "none (n 0)"
    alone = share_of([("a", 1.0), ("a", 0.0)])
    assert (alone.n, alone.clusters, alone.mean, alone.se) == (2, 1, 0.5, None)
    assert alone.low is not None and alone.high is not None
    assert alone.high - alone.low > 0.85


def covered(clusters: int, samples: int, share: float, spread: float, random_source: random.Random) -> bool:
    """Whether the interval covers the true share, where questions differ in how hard they are."""
    scores = []
    for cluster in range(clusters):
        hardness = min(1.0, max(0.0, share + random_source.choice((-spread, spread))))
        scores += [(str(cluster), float(random_source.random() < hardness)) for _ in range(samples)]
    found = share_of(scores)
    assert found.low is not None and found.high is not None
    return found.low <= share <= found.high


@pytest.mark.parametrize(
    ("clusters", "samples", "share", "spread"),
    [(40, 4, 0.5, 0.4), (60, 1, 0.9, 0.05), (30, 8, 0.3, 0.3), (5, 8, 0.6, 0.2), (3, 8, 0.6, 0.2)],
)
def test_intervals_of_shares_cover_the_truth(clusters: int, samples: int, share: float, spread: float) -> None:
    source = random.Random(7)
    rate = sum(covered(clusters, samples, share, spread, source) for _ in range(600)) / 600
    assert 0.92 <= rate <= (0.99 if clusters > 5 else 1.0)


def test_a_paired_difference_counts_what_changed() -> None:
    found = difference_of([("a", 0.0, 1.0), ("b", 0.0, 1.0), ("c", 1.0, 0.0), ("d", 1.0, 1.0)])
    assert (found.n, found.clusters, found.mean) == (4, 4, 0.25)
    assert (found.right_to_wrong, found.wrong_to_right) == (1, 2)
    assert not found.excludes_zero


def test_the_interval_of_a_difference_is_bonetts_and_prices() -> None:
    # 20 items of 100 rose and 5 fell: p12 = 21/102, p21 = 6/102, their formula by hand.
    pairs = [(str(n), 0.0, 1.0) for n in range(20)] + [(str(n), 1.0, 0.0) for n in range(20, 25)]
    found = difference_of([*pairs, *((str(n), 1.0, 1.0) for n in range(25, 100))])
    middle = 15 / 102
    half = 1.959964 * ((27 / 102 - middle**2) / 102) ** 0.5
    assert found.mean == pytest.approx(0.15)
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=1e-3)
    assert found.excludes_zero


def test_intervals_of_differences_cover_the_truth() -> None:
    source = random.Random(3)
    inside = 0
    for _ in range(600):
        pairs = []
        for cluster in range(40):
            gain = source.choice((0.0, 0.4))  # the mean gain is 0.2
            pairs += [
                (str(cluster), float(source.random() < 0.4), float(source.random() < 0.4 + gain)) for _ in range(3)
            ]
        found = difference_of(pairs)
        assert found.low is not None and found.high is not None
        inside += found.low <= 0.2 <= found.high
    assert 0.92 <= inside / 600 <= 0.99


def test_no_pair_has_no_difference() -> None:
    assert difference_of([]).mean is None
    assert not difference_of([]).excludes_zero
