"""How much longer chosen is, and the selection of pairs in which its length does not tell that it was chosen."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairgen.metrics.length_balance import LONGER, SHORTER, PairLength, length_shift, unbalanced

DIFFERENCES = st.lists(st.integers(-3000, 3000), max_size=60)


def pairs(*differences: int) -> list[PairLength]:
    return [PairLength(f"pair-{number}", difference) for number, difference in enumerate(differences)]


def test_the_figures_of_a_few_pairs_by_hand() -> None:
    found = length_shift(pairs(10, -2, 0, 4))
    assert (found.n, found.longer, found.shorter, found.difference.mean) == (4, 2, 1, 3.0)
    # of the 16 sums of two differences 10 are above 0, 4 below, 2 zero (0 + 0, and none else of 4, -2, 10 cancel out)
    sums = [a + b for a in (10, -2, 0, 4) for b in (10, -2, 0, 4)]
    assert found.auc == sum((one > 0) + (one == 0) / 2 for one in sums) / 16
    assert found.longer_interval is not None
    assert found.longer_interval[0] < 0.5 < found.longer_interval[1]


def test_pairs_that_length_tells_apart_have_an_auc_of_1_and_without_pairs_there_is_none() -> None:
    assert length_shift(pairs(*range(1, 200))).auc == 1.0
    assert length_shift(pairs(*range(-200, 0))).auc == 0.0
    empty = length_shift([])
    assert (empty.auc, empty.auc_interval, empty.longer_interval, empty.difference_interval) == (None,) * 4
    assert empty.cells == ("0", "–", "–", "–")
    assert empty.to_json()["difference"] == {"mean": None, "se": None, "n": 0}


@given(DIFFERENCES)
def test_as_many_pairs_of_either_sign_stay_at_every_size_whatever_their_order(differences: list[int]) -> None:
    given_pairs = pairs(*differences)
    left_out = unbalanced(given_pairs)
    shuffled = random.Random(1).sample(given_pairs, len(given_pairs))
    assert unbalanced(shuffled) == left_out
    kept = [one.difference for one in given_pairs if one.pair_id not in left_out]
    assert sum(one > 0 for one in kept) == sum(one < 0 for one in kept)
    assert differences.count(0) == kept.count(0)
    assert abs(sum(kept)) <= 0.25 * sum(map(abs, kept)) / 2 + 1e-9  # at most a band's width for every two of them
    # nothing more can be kept: of no band are pairs of both signs left out
    by_id = {one.pair_id: one.difference for one in given_pairs}
    assert all((by_id[pair_id] > 0) is (reason == LONGER) for pair_id, reason in left_out.items())
    assert unbalanced(one for one in given_pairs if one.pair_id not in left_out) == {}


def test_a_skewed_set_keeps_what_balances_and_counts_the_rest_by_reason() -> None:
    chance = random.Random(7)
    given_pairs = pairs(*(round(chance.gauss(150, 200)) for _ in range(2000)))
    left_out = unbalanced(given_pairs)
    before, after = length_shift(given_pairs), length_shift(one for one in given_pairs if one.pair_id not in left_out)
    assert before.auc is not None
    assert before.auc > 0.75
    assert before.auc_interval is not None
    assert before.auc_interval[0] > 0.7
    assert after.auc == pytest.approx(0.5, abs=0.01)
    assert after.difference.mean == pytest.approx(0, abs=3)
    counts = Counter(left_out.values())
    assert counts[LONGER] + counts[SHORTER] + after.n == 2000
    assert counts[LONGER] > 20 * counts[SHORTER] > 0


def test_which_pairs_stay_depends_on_their_ids_alone() -> None:
    left_out = unbalanced([PairLength(name, 100) for name in "abcdefgh"] + [PairLength("z", -101)])
    assert len(left_out) == 7
    kept = ({*"abcdefgh"} - left_out.keys()).pop()
    more = unbalanced([PairLength(name, 100) for name in "abcdefghij"] + [PairLength("z", -101)])
    assert (({*"abcdefghij"} - more.keys()).pop()) in {kept, "i", "j"}
