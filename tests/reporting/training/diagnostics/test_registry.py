"""One cause and one advice: findings that exclude each other never stand beside each other."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from clairgen.reporting.training.diagnostics.diagnostic import EXPECTED_DIRECTIONS, Diagnostic, DiagnosticKind
from clairgen.reporting.training.diagnostics.registry import RULES, diagnostics
from tests.reporting.training.made import FOUR, HEALTHY, Planned, line, trajectory

OTHERS = {"length_drift", "too_few"}


def names(found: list[Diagnostic]) -> list[str]:
    return [one.name for one in found]


def planned_runs() -> Iterator[Planned]:
    """Both sides up, down, still, far, or up and down again, under every objective, measured on few and on many pairs."""
    plans = [line(0.0), line(-6), line(6), line(90), line(-90), lambda done: 40 * done - 40 * done**2]
    for objective, chosen, rejected, pairs in product(EXPECTED_DIRECTIONS, plans, plans, (6, 100)):
        noise = 1.0 if pairs == 100 else 3.0
        yield Planned(objective, chosen, rejected, noise, pairs=pairs, measurements=4)


@pytest.mark.slow
def test_of_all_that_can_be_found_one_finding_has_a_cause_and_an_advice(tmp_path: Path) -> None:
    several = 0
    for number, planned in enumerate(planned_runs()):
        found = diagnostics(trajectory(tmp_path / str(number), planned))
        moved = [one for one in found if one.name not in OTHERS]
        several += len(moved) > 1
        assert len(set(names(found))) == len(found)
        assert "no_change" not in names(moved[1:]), names(found)
        for one in moved[1:]:
            assert one.may_mean == f"This has the same cause as {moved[0].name}."
            assert one.to_try == f"Follow the advice of {moved[0].name}."
        kinds = [one.kind is DiagnosticKind.REMARK for one in found]
        assert kinds == sorted(kinds)
        warnings = [list(RULES).index(one.name) for one in found if one.kind is DiagnosticKind.WARNING]
        assert warnings == sorted(warnings)
    assert several > 20


def test_both_sides_that_fall_alike_are_one_warning(tmp_path: Path) -> None:
    both = Planned(chosen=line(-6), rejected=line(-6), noise=1)
    [found] = diagnostics(trajectory(tmp_path, both))
    assert (found.name, found.kind) == ("chosen_falls", DiagnosticKind.WARNING)
    assert "lower learning rate" in found.to_try


def test_where_both_sides_may_fall_it_is_the_margin_that_did_not_change(tmp_path: Path) -> None:
    both = replace(FOUR["apo-down"], chosen=line(-6), rejected=line(-6), noise=1, length=None)
    [found] = diagnostics(trajectory(tmp_path / "down", both))
    assert found.name == "no_change"
    assert "although the log-likelihood of chosen answers fell by 5.85 nats" in found.seen
    assert "alike" in found.may_mean
    assert "learning rate" not in found.to_try
    lead, remark = diagnostics(trajectory(tmp_path / "dpo", replace(both, objective="dpo")))
    assert (lead.name, remark.name, remark.kind) == ("no_change", "chosen_falls", DiagnosticKind.REMARK)
    assert remark.to_try == "Follow the advice of no_change."


def test_the_checkpoint_to_take_is_named_once(tmp_path: Path) -> None:
    bent = replace(HEALTHY, chosen=lambda done: 200 * done - 130 * done**2, rejected=line(-90), noise=1)
    found = diagnostics(trajectory(tmp_path, replace(bent, chosen=lambda done: 240 * done - 300 * done**2)))
    assert names(found)[:2] == ["margin_falls", "chosen_falls"]
    assert sum("checkpoint of step" in one.to_try for one in found) == 1
