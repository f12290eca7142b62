"""Warnings about the pairs of a recipe: when each is given, with which figures, and what it says to do."""

from dataclasses import replace

import pytest

from clairgen.pipeline.data_warnings import DataWarning, PairSurvey
from clairgen.records import FilterAction, Finding, Pair
from clairgen.stats import Tally, WinRate, win_rate
from tests.exporting.stored_pairs import stored_pair

NO_RATE = WinRate(0)
IDENTICAL = Finding("identical", FilterAction.DROP, "identical", None)


def warnings(
    *, same: int = 0, different: int = 0, by: str = "student", revises: bool = True, rate: WinRate = NO_RATE
) -> dict[str, DataWarning]:
    """What is said of so many pairs, whose losers `by` wrote, for a target named student."""
    survey = PairSurvey("student", revises)
    for number in range(same):
        assert not survey.add(stored_pair(number, chosen="It is 5.", findings=(IDENTICAL,)))
    for number in range(different):
        stored = stored_pair(number)
        assert isinstance(stored.outcome, Pair)
        rejected = replace(stored.outcome.rejected, model=by)
        assert survey.add(replace(stored, outcome=replace(stored.outcome, rejected=rejected)))
    assert not survey.add(stored_pair(chosen=None))
    return {each.name: each for each in survey.warnings(rate, "runs/first")}


def test_pairs_in_which_the_reviser_changed_nothing_are_to_be_kept() -> None:
    found = warnings(same=26, different=16)["identical"]
    assert found.n == 42
    assert [found.share, found.low, found.high] == pytest.approx([26 / 42, 0.468, 0.750], abs=1e-3)
    assert found.sentence.startswith(
        "pairs in which the reviser changed nothing: 62% (95% interval 47% to 75%, n 42). They are left out"
    )
    assert "clairgen export runs/first OUT --keep-identical" in found.sentence
    assert found.sentence.endswith("--set keep_identical=true --set chosen_nll=1.")


@pytest.mark.parametrize(("same", "different"), [(1, 2), (0, 40), (5, 45), (0, 0)])
def test_a_share_that_may_be_a_tenth_is_no_reason_for_a_warning(same: int, different: int) -> None:
    assert warnings(same=same, different=different) == {}


def test_equal_answers_that_nobody_confirmed_are_none_to_keep() -> None:
    assert warnings(same=30, different=10, revises=False) == {}


def test_losers_that_the_target_did_not_write_are_named() -> None:
    found = warnings(different=30, by="weaker")["off_policy"]
    assert (found.share, found.n) == (1.0, 30)
    assert found.high == pytest.approx(1.0)
    assert "prefer its own answers as losers, as clair and judge-on-policy do" in found.sentence


def test_winners_that_are_worse_than_the_target_are_not_to_be_raised() -> None:
    lost, won = win_rate([Tally(losses=1)] * 20 + [Tally(wins=1)] * 4), win_rate([Tally(wins=1)] * 24)
    found = warnings(same=30, different=30, rate=lost)
    assert list(found) == ["winners_worse"]  # and the likelihood of confirmed answers is not advised beside it
    assert found["winners_worse"].share == pytest.approx(20 / 24)
    assert found["winners_worse"].low < 20 / 24 < found["winners_worse"].high
    assert "train with --objective apo-down and without chosen_nll" in found["winners_worse"].sentence
    assert list(warnings(same=30, different=30, rate=won)) == ["identical"]
    assert found["winners_worse"].to_json()["n"] == 24


def test_winners_that_are_mostly_the_longer_answer_are_named_with_what_helps() -> None:
    def longer(count: int, of: int) -> dict[str, DataWarning]:
        survey = PairSurvey("student", revises=True)
        for number in range(of):
            survey.add(stored_pair(number, chosen="It is 4, as you see." if number < count else "It is 4."))
        return {each.name: each for each in survey.warnings(NO_RATE, "runs/first")}

    found = longer(37, 40)["longer"]
    assert (found.share, found.n) == (0.925, 40)
    assert "clairgen export runs/first OUT --balance-lengths" in found.sentence
    assert "--objective dpo-norm, or --set ld_alpha=0.5" in found.sentence
    assert "longer" not in longer(30, 40)
    survey = PairSurvey("student", revises=True)
    for number in range(40):
        survey.add(stored_pair(number, chosen="It is 4, as I said.", rejected="It is 5, as I say."))
    assert survey.warnings(NO_RATE, "runs/first") == []  # longer by a letter
