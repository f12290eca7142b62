"""Nothing learned, nothing left to learn, learned and lost again: each planted, and the healthy case beside it."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from clairgen.reporting.training.diagnostics.convergence import margin_falls, no_change, saturated
from tests.reporting.training.made import FOUR, HEALTHY, Planned, line, still, trajectory


def test_a_run_that_moves_nothing_is_told(tmp_path: Path) -> None:
    sick = no_change(trajectory(tmp_path, Planned()))
    assert sick is not None
    assert sick.figures["low"] <= 0 <= sick.figures["high"]
    assert "95% interval" in sick.seen
    assert no_change(trajectory(tmp_path, HEALTHY)) is None


def test_weights_that_never_changed_are_told(tmp_path: Path) -> None:
    frozen = no_change(trajectory(tmp_path, Planned(noise=0)))
    assert frozen is not None
    assert frozen.figures["change"] == 0


def test_sft_is_judged_by_chosen_answers_and_not_by_a_margin(tmp_path: Path) -> None:
    both_up = replace(FOUR["sft"], chosen=line(10), rejected=line(10), noise=1)
    assert no_change(trajectory(tmp_path, both_up)) is None
    assert no_change(trajectory(tmp_path, replace(both_up, objective="apo-zero"))) is not None
    assert no_change(trajectory(tmp_path, replace(both_up, chosen=still, noise=0))) is not None


@pytest.mark.parametrize(
    ("objective", "chosen", "rejected"),
    [("apo-zero", 90, -90), ("apo-zero-unpaired", 90, -90), ("apo-down", -90, -220), ("dpo", 30, -90)],
)
def test_rewards_out_of_reach_are_saturated(tmp_path: Path, objective: str, chosen: float, rejected: float) -> None:
    planned = replace(HEALTHY, objective=objective, chosen=line(chosen), rejected=line(rejected))
    sick = saturated(trajectory(tmp_path, planned))
    assert sick is not None
    assert sick.figures["share"] > 0.9
    assert sick.figures["low"] > 0.5
    assert 0 < sick.step < 1080
    assert sick.figures["wrong"] == 0
    assert (
        saturated(trajectory(tmp_path, replace(planned, chosen=line(chosen / 10), rejected=line(rejected / 10))))
        is None
    )


def test_saturation_begins_where_the_slope_is_a_twenty_fifth(tmp_path: Path) -> None:
    # d(x) / d(0) = 0.04 at |x| = 4.585: with beta 0.1 after 45.9 of 90 nats, so at the tenth of 18 epochs
    slope = 4 * math.exp(-4.585) / (1 + math.exp(-4.585)) ** 2
    assert slope == pytest.approx(0.04, abs=1e-4)
    sick = saturated(trajectory(tmp_path, replace(HEALTHY, chosen=line(90), rejected=line(-90), noise=0.1)))
    assert sick is not None
    assert sick.step in (600, 660)


def test_one_side_that_can_still_learn_is_not_saturated(tmp_path: Path) -> None:
    assert saturated(trajectory(tmp_path, replace(HEALTHY, chosen=line(8), rejected=line(-150)))) is None


def test_pairs_stuck_on_the_wrong_side_are_counted(tmp_path: Path) -> None:
    stuck = saturated(trajectory(tmp_path, replace(HEALTHY, chosen=line(-120), rejected=line(120))))
    assert stuck is not None
    assert stuck.figures["wrong"] == 1
    # DPO goes on pushing such pairs: its slope s(r_l - r_w) is largest there
    assert saturated(trajectory(tmp_path, replace(FOUR["dpo"], chosen=line(-120), rejected=line(120)))) is None


def test_a_margin_that_peaked_and_fell_names_the_best_step(tmp_path: Path) -> None:
    bent = replace(HEALTHY, chosen=lambda done: 40 * done - 40 * done**2, noise=1)
    peaked = replace(bent, rejected=still)
    sick = margin_falls(trajectory(tmp_path, peaked))
    assert sick is not None
    assert 420 <= sick.step <= 660  # half of 1,080, give or take the noise
    assert f"checkpoint of step {sick.step:,}" in sick.to_try
    assert sick.figures["gained"] == pytest.approx(1, abs=0.15)
    assert sick.figures["low"] > 0
    assert margin_falls(trajectory(tmp_path, HEALTHY)) is None


@pytest.mark.parametrize(("lost", "told"), [(1.6, False), (8.0, True)])
def test_a_clear_fall_is_told_from_a_tenth_of_the_gain_on(tmp_path: Path, lost: float, told: bool) -> None:
    dipped = replace(
        HEALTHY, chosen=lambda done: 40 * min(done, 0.8) - lost * max(done - 0.8, 0) / 0.2, rejected=still, noise=0.1
    )
    assert (margin_falls(trajectory(tmp_path, dipped)) is not None) is told


def test_a_margin_below_its_start_leaves_no_checkpoint_to_take(tmp_path: Path) -> None:
    sick = margin_falls(trajectory(tmp_path, replace(HEALTHY, chosen=line(-10), rejected=still)))
    assert sick is not None
    assert sick.step == 0
    assert "below its start" in sick.seen
    assert "Keep the base model" in sick.to_try


def test_under_sft_it_is_the_likelihood_of_chosen_that_peaks(tmp_path: Path) -> None:
    sick = margin_falls(trajectory(tmp_path, FOUR["sft"]))
    assert sick is not None
    assert "log-likelihood of chosen answers of held-out pairs was largest" in sick.seen
