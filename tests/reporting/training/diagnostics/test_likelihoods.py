"""Likelihoods that go where the objective should not let them: each sickness planted, and the healthy case beside it."""

from dataclasses import replace
from pathlib import Path

import pytest

from clairgen.reporting.training.diagnostics.diagnostic import DiagnosticKind
from clairgen.reporting.training.diagnostics.likelihoods import chosen_falls, chosen_rises, one_sided, rejected_rises
from clairgen.reporting.training.diagnostics.registry import diagnostics
from tests.reporting.training.made import FOUR, HEALTHY, line, still, trajectory

RAISES_CHOSEN = ["apo-zero", "kto-pair", "kto", "apo-zero-unpaired", "sft"]
LOWERS_REJECTED = ["apo-zero", "apo-down", "kto-pair", "kto", "apo-zero-unpaired"]


@pytest.mark.parametrize("objective", RAISES_CHOSEN)
def test_falling_chosen_answers_are_a_warning_where_they_should_rise(tmp_path: Path, objective: str) -> None:
    sick = chosen_falls(trajectory(tmp_path, replace(HEALTHY, objective=objective, chosen=line(-5))))
    assert sick is not None
    assert sick.kind is DiagnosticKind.WARNING
    assert sick.step == 1080
    assert sick.figures["low"] < sick.figures["change"] < sick.figures["high"] < 0
    assert sick.figures["n"] == 100
    assert f"fell by {-sick.figures['change']:.2f} nats" in sick.seen
    assert f"99% interval {-sick.figures['high']:.2f} to {-sick.figures['low']:.2f}, 100 pairs" in sick.seen
    assert chosen_falls(trajectory(tmp_path, replace(HEALTHY, objective=objective))) is None


def test_falling_chosen_answers_are_a_remark_under_dpo_and_as_promised_under_apo_down(tmp_path: Path) -> None:
    falling = chosen_falls(trajectory(tmp_path, FOUR["dpo"]))
    assert falling is not None
    assert falling.kind is DiagnosticKind.REMARK
    assert chosen_falls(trajectory(tmp_path, FOUR["apo-down"])) is None


def test_a_fall_that_many_pairs_make_clear_but_that_is_tiny_is_not_told(tmp_path: Path) -> None:
    tiny = replace(HEALTHY, chosen=line(-0.2), noise=0.1)
    assert chosen_falls(trajectory(tmp_path, tiny)) is None
    assert chosen_falls(trajectory(tmp_path, replace(tiny, chosen=line(-1)))) is not None


def test_rising_chosen_answers_are_told_under_apo_down_alone(tmp_path: Path) -> None:
    sick = chosen_rises(trajectory(tmp_path, replace(FOUR["apo-down"], chosen=line(6))))
    assert sick is not None
    assert sick.kind is DiagnosticKind.WARNING
    assert sick.figures["change"] > 0
    assert chosen_rises(trajectory(tmp_path, FOUR["apo-down"])) is None
    assert chosen_rises(trajectory(tmp_path, FOUR["apo-zero"])) is None


@pytest.mark.parametrize("objective", LOWERS_REJECTED)
def test_rising_rejected_answers_are_a_warning_where_they_should_fall(tmp_path: Path, objective: str) -> None:
    planned = replace(FOUR.get(objective, HEALTHY), objective=objective)
    sick = rejected_rises(trajectory(tmp_path, replace(planned, rejected=line(4))))
    assert sick is not None
    assert sick.kind is DiagnosticKind.WARNING
    assert rejected_rises(trajectory(tmp_path, planned)) is None


def test_rising_rejected_answers_are_a_remark_under_dpo_and_nothing_under_sft(tmp_path: Path) -> None:
    under_dpo = rejected_rises(trajectory(tmp_path, replace(FOUR["dpo"], rejected=line(4))))
    assert under_dpo is not None
    assert under_dpo.kind is DiagnosticKind.REMARK
    assert rejected_rises(trajectory(tmp_path, FOUR["sft"])) is None


def test_a_margin_from_falling_rejected_answers_alone_is_one_sided(tmp_path: Path) -> None:
    sick = one_sided(trajectory(tmp_path, replace(HEALTHY, chosen=still, rejected=line(-30))))
    assert sick is not None
    assert sick.kind is DiagnosticKind.WARNING
    assert sick.figures["share"] == pytest.approx(1, abs=0.05)
    assert "from rejected answers falling" in sick.seen
    assert one_sided(trajectory(tmp_path, replace(HEALTHY, chosen=line(8), rejected=line(-30)))) is None


def test_a_margin_from_rising_chosen_answers_alone_is_one_sided(tmp_path: Path) -> None:
    sick = one_sided(trajectory(tmp_path, replace(HEALTHY, objective="kto", chosen=line(30), rejected=still)))
    assert sick is not None
    assert "from chosen answers rising" in sick.seen
    assert one_sided(trajectory(tmp_path, HEALTHY)) is None


def test_the_sides_of_a_tiny_margin_are_not_weighed(tmp_path: Path) -> None:
    tiny = replace(HEALTHY, chosen=still, rejected=line(-0.3), noise=0.01)
    assert one_sided(trajectory(tmp_path, tiny)) is None
    assert one_sided(trajectory(tmp_path, replace(tiny, rejected=line(-3)))) is not None


def test_one_side_is_as_promised_under_apo_down_and_sft(tmp_path: Path) -> None:
    assert one_sided(trajectory(tmp_path, FOUR["apo-down"])) is None
    assert one_sided(trajectory(tmp_path, replace(FOUR["sft"], rejected=still))) is None


def test_a_side_that_went_the_wrong_way_is_told_once(tmp_path: Path) -> None:
    falling = trajectory(tmp_path, replace(HEALTHY, chosen=line(-5), rejected=line(-40)))
    assert one_sided(falling) is not None
    assert [one.name for one in diagnostics(falling)] == ["chosen_falls"]


def test_nothing_is_promised_of_an_objective_that_is_not_known(tmp_path: Path) -> None:
    mixed = replace(HEALTHY, objective="by pair", chosen=line(-5), rejected=line(-40))
    assert diagnostics(trajectory(tmp_path, mixed)) == []
