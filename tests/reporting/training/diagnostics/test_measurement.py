import math
from dataclasses import replace
from pathlib import Path

import pytest

from clairgen.reporting.training.diagnostics.diagnostic import DiagnosticKind
from clairgen.reporting.training.diagnostics.measurement import length_drift, not_finite, too_few
from clairgen.reporting.training.diagnostics.registry import RULES, diagnostics
from tests.reporting.training.made import FOUR, HEALTHY, columns, line, trajectory


@pytest.mark.parametrize("broken", [math.nan, math.inf, None])
def test_values_that_are_no_numbers_are_counted_with_their_first_step(tmp_path: Path, broken: float | None) -> None:
    rejected = columns(HEALTHY)["rejected_logps"]
    for row in (950, 951, 1899):  # two pairs at the tenth measurement, one at the last
        rejected[row] = broken
    sick = not_finite(trajectory(tmp_path, HEALTHY, {"rejected_logps": rejected}))
    assert sick is not None
    assert sick.figures == {"count": 3, "of": 1900, "at_last_step": 1}
    assert sick.step == 540
    assert "3 of 1,900" in sick.seen
    assert "the first 2 at step 540" in sick.seen
    assert "checkpoint before that step" in sick.to_try
    assert not_finite(trajectory(tmp_path, HEALTHY)) is None


def test_pairs_that_were_no_numbers_before_the_first_step_leave_no_checkpoint_to_take(tmp_path: Path) -> None:
    sick = not_finite(trajectory(tmp_path, HEALTHY, {"ref_chosen_logps": [math.nan] * 1900}))
    assert sick is not None
    assert sick.step == 0
    assert "the base model" in sick.to_try


def test_a_run_whose_last_measurement_is_lost_is_told_and_breaks_no_rule(tmp_path: Path) -> None:
    lost: list[object] = [*columns(HEALTHY)["chosen_logps"][:-100], *[math.nan] * 100]
    found = diagnostics(trajectory(tmp_path, HEALTHY, {"chosen_logps": lost}))
    assert [one.name for one in found] == ["not_finite"]


@pytest.mark.parametrize(("drift", "word"), [(0.4, "longer"), (-0.4, "shorter")])
def test_sampled_answers_that_change_their_length_are_told(tmp_path: Path, drift: float, word: str) -> None:
    sick = length_drift(trajectory(tmp_path, replace(HEALTHY, length=line(drift))))
    assert sick is not None
    assert word in sick.seen
    assert sick.figures["change"] / sick.figures["start"] == pytest.approx(drift, abs=0.06)
    assert length_drift(trajectory(tmp_path, replace(HEALTHY, length=line(drift / 4)))) is None
    assert length_drift(trajectory(tmp_path, HEALTHY)) is None  # nothing was sampled


def test_lengths_sampled_at_some_steps_alone_are_enough(tmp_path: Path) -> None:
    planned = replace(HEALTHY, length=line(0.5))
    sampled = columns(planned)["sampled_tokens"]
    some: list[object] = [value if (at // 100) % 6 == 0 and at % 100 < 32 else None for at, value in enumerate(sampled)]
    sick = length_drift(trajectory(tmp_path, planned, {"sampled_tokens": some}))
    assert sick is not None
    assert sick.figures["n"] == 32
    assert "from step" not in sick.seen
    assert "at step 0 to step 1,080" in sick.seen


def test_a_few_prompts_whose_lengths_scatter_say_nothing(tmp_path: Path) -> None:
    planned = replace(HEALTHY, length=line(0.3))
    sampled = columns(planned)["sampled_tokens"]
    some: list[object] = [value if at % 100 < 3 else None for at, value in enumerate(sampled)]
    assert length_drift(trajectory(tmp_path, planned, {"sampled_tokens": some})) is None


def test_too_little_to_tell_is_a_remark(tmp_path: Path) -> None:
    for planned in (replace(HEALTHY, pairs=9), replace(HEALTHY, measurements=1), replace(HEALTHY, pairs=1)):
        sick = too_few(trajectory(tmp_path, planned))
        assert sick is not None
        assert sick.kind is DiagnosticKind.REMARK
        assert "too_few" in [one.name for one in diagnostics(trajectory(tmp_path, planned))]
    assert too_few(trajectory(tmp_path, replace(HEALTHY, pairs=10, measurements=2))) is None


def test_findings_bear_the_names_of_their_rules_and_warnings_come_first(tmp_path: Path) -> None:
    for number, planned in enumerate(FOUR.values()):
        run = trajectory(tmp_path / str(number), planned)
        for name, rule in RULES.items():
            found = rule(run)
            assert found is None or found.name == name
        kinds = [one.kind for one in diagnostics(run)]
        assert kinds == sorted(kinds, key=lambda kind: kind is DiagnosticKind.REMARK)
