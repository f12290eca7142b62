"""The length-controlled win rate against judges whose preference is planted, and where it has to say that it cannot tell."""

import math
from dataclasses import replace
from random import Random

import pytest

from clairgen.evaluation.length_control import LengthControlled, Preference, length_controlled, length_overlap
from tests.evaluation.simulated_judges import SimulatedJudge, lengths

JUDGES = 100
PROMPTS = 200


def covered(judge: SimulatedJudge, *, difficult: bool = False) -> tuple[int, int]:
    """Of 100 such judges of other answers each, whose planted preference lies in the interval: length-controlled, and raw."""
    controlled = raw = 0
    for number in range(JUDGES):
        random = Random(number)
        difficulties = [random.gauss(0, 1) for _ in range(PROMPTS)] if difficult else []
        found = judge.judge(lengths(PROMPTS, 0.35, number), random, difficulties)
        planted = judge.at_equal_lengths([random.gauss(0, 1) for _ in range(2000)] if difficult else (0.0,))
        estimate = length_controlled(found)
        assert estimate.interval is not None
        controlled += estimate.interval[0] <= planted <= estimate.interval[1]
        low, high = raw_interval(found)
        raw += low <= planted <= high
    return controlled, raw


def raw_interval(found: list[Preference]) -> tuple[float, float]:
    mean = sum(one.value for one in found) / len(found)
    half = 1.96 * math.sqrt(sum((one.value - mean) ** 2 for one in found)) / len(found)
    return mean - half, mean + half


def test_the_interval_covers_the_planted_preference_of_a_judge_that_likes_long_answers_and_the_raw_one_does_not() -> (
    None
):
    controlled, raw = covered(SimulatedJudge(preference=-0.5, length_bias=2.0))
    assert 90 <= controlled <= 99
    assert raw <= 5


def test_it_covers_under_a_position_bias_as_well() -> None:
    controlled, raw = covered(SimulatedJudge(preference=0.4, length_bias=-2.0, position_bias=1.0))
    assert 90 <= controlled <= 99
    assert raw <= 10


def test_it_covers_where_instructions_differ_in_difficulty() -> None:
    controlled, raw = covered(SimulatedJudge(preference=-0.5, length_bias=2.0, hardship=0.8), difficult=True)
    assert 90 <= controlled <= 99
    assert raw <= 10


def test_without_a_length_bias_it_is_the_raw_win_rate() -> None:
    found = SimulatedJudge(preference=0.5, length_bias=0.0).judge(lengths(2000, 0.3), Random(1))
    estimate = length_controlled(found)
    assert estimate.mean == pytest.approx(sum(one.value for one in found) / len(found), abs=0.01)
    assert estimate.length_slope is not None
    assert estimate.length_slope[1] < 0 < estimate.length_slope[2]


def test_the_slope_is_the_judges_length_bias() -> None:
    estimate = length_controlled(SimulatedJudge(preference=0.0, length_bias=1.5).judge(lengths(2000, 0.3), Random(1)))
    assert estimate.length_slope is not None
    slope, low, high = estimate.length_slope
    assert low < 1.5 < high
    assert slope == pytest.approx(1.5, abs=0.2)


def test_swapping_model_and_opponent_mirrors_it() -> None:
    found = SimulatedJudge(preference=0.6, length_bias=1.0).judge(lengths(300, 0.3), Random(3))
    swapped = [
        replace(one, value=1 - one.value, length=one.opponent_length, opponent_length=one.length) for one in found
    ]
    one, other = length_controlled(found), length_controlled(swapped)
    assert one.mean is not None and other.mean is not None and one.interval is not None and other.interval is not None
    assert one.mean == pytest.approx(1 - other.mean, abs=1e-9)
    assert one.interval[0] == pytest.approx(1 - other.interval[1], abs=1e-9)


def test_a_model_against_itself_is_at_one_half() -> None:
    estimate = length_controlled([Preference(0.5, f"p{number}", 100, 100) for number in range(40)])
    assert estimate.mean == pytest.approx(0.5)
    assert estimate.length_slope is None


def test_where_all_lengths_are_equal_it_is_the_raw_win_rate() -> None:
    found = [Preference(float(number % 4 != 0), f"p{number}", 80, 80) for number in range(80)]
    estimate = length_controlled(found)
    assert estimate.mean == pytest.approx(0.75)
    assert estimate.problem is None


def test_preferences_may_be_soft() -> None:
    hard = SimulatedJudge(preference=0.0, length_bias=1.0)
    pairs = lengths(400, 0.3)
    soft = [replace(one, value=0.8 if one.value == 1 else 0.3) for one in hard.judge(pairs, Random(0))]
    estimate = length_controlled(soft)
    assert estimate.mean is not None
    assert 0.3 < estimate.mean < 0.8


def test_several_comparisons_of_one_prompt_are_no_new_prompts() -> None:
    found = SimulatedJudge(preference=0.0, length_bias=1.0).judge(lengths(200, 0.2), Random(0))
    once, four_times = length_controlled(found), length_controlled(found * 4)
    assert once.mean == pytest.approx(four_times.mean, abs=0.01)
    assert width(four_times) == pytest.approx(width(once), rel=0.05)


def test_the_overlap_counts_prompts_on_either_side_and_near() -> None:
    found = [
        Preference(1.0, "a", 10, 20),
        Preference(1.0, "b", 20, 20),
        Preference(0.0, "c", 50, 20),
        Preference(0.0, "c", 51, 20),
    ]
    overlap = length_overlap(found)
    assert (overlap.prompts, overlap.shorter, overlap.equal, overlap.longer, overlap.near) == (3, 1, 1, 1, 2)
    assert overlap.mean == pytest.approx(12.75)


@pytest.mark.parametrize(("longer", "side"), [(1.5, "short"), (-1.5, "long")])
def test_answers_of_other_lengths_than_the_opponents_get_no_estimate(longer: float, side: str) -> None:
    estimate = length_controlled(SimulatedJudge(preference=0.0, length_bias=1.0).judge(lengths(200, longer), Random(0)))
    assert estimate.mean is None
    assert estimate.problem is not None
    assert f"an answer of the model that is as {side} as its opponent's or {side}er" in estimate.problem


def test_lengths_far_apart_on_both_sides_get_no_estimate() -> None:
    pairs = [(100, 500) if number % 2 else (500, 100) for number in range(200)]
    estimate = length_controlled(SimulatedJudge(preference=0.0, length_bias=1.0).judge(pairs, Random(0)))
    assert estimate.problem == (
        "only 0 of 200 prompts have two answers of about the same length (10 are needed), so nothing shows what the judge would "
        "prefer at equal lengths"
    )


def test_a_judge_that_only_measures_gets_no_estimate() -> None:
    found = [
        Preference(float(model > opponent), f"p{n}", model, opponent)
        for n, (model, opponent) in enumerate(lengths(200, 0.2))
    ]
    estimate = length_controlled(found)
    assert estimate.mean is None
    assert estimate.problem is not None
    assert estimate.problem.startswith("the verdicts follow the length without an exception")


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_verdicts_for_one_side_only_get_no_estimate(value: float) -> None:
    estimate = length_controlled([Preference(value, f"p{n}", *pair) for n, pair in enumerate(lengths(200, 0.2))])
    assert estimate.mean is None
    assert estimate.problem is not None
    assert "a length-controlled figure needs at least 10 of each" in estimate.problem


def test_no_comparison_is_a_sentence_too() -> None:
    assert length_controlled([]).problem is not None


def test_difficulties_are_for_all_or_for_none() -> None:
    with pytest.raises(ValueError, match="1 of 2 comparisons have a difficulty"):
        length_controlled([Preference(1.0, "a", 1, 2, 0.5), Preference(0.0, "b", 2, 1)])


def width(estimate: LengthControlled) -> float:
    assert estimate.interval is not None
    return estimate.interval[1] - estimate.interval[0]
