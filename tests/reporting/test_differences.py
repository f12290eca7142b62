"""How two reports differ."""

import json
from dataclasses import replace

import pytest

from clairgen.reporting.differences import Difference, Figure, differences
from tests.reporting.made import report_of


def test_the_interval_of_two_shares_is_newcombes() -> None:
    # Newcombe 1998, table II, method 10: 56/70 less 48/80 is 0.2, 0.0524 to 0.3339.
    left, right = report_of("clair"), report_of("clair", "runs/b")
    found = differences(replace(left, n=80, kept=48), replace(right, n=70, kept=56))[0]
    assert (found.name, found.is_clear) == ("kept", True)
    assert found.value == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert found.cells == ("60.0%", "80.0%", "+20.0%", "+5.2% to +33.4%")


def test_every_figure_of_two_reports_is_compared_and_equal_ones_differ_by_nothing() -> None:
    found = {one.name: one for one in differences(report_of("clair"), report_of("clair", "runs/b", scale=2))}
    assert found["Levenshtein, characters"].value == pytest.approx(119.4, abs=2)
    assert found["Levenshtein, characters"].is_clear
    assert found["dollars per kept pair"].cells[2:] == ("+0.0000", "–")
    assert found["length ratio"].cells == ("1.25", "1.25", "+0.00", "+0.00 to +0.00")
    assert not found["length ratio"].is_clear
    [kept] = json.loads(json.dumps([found["kept"].to_json()]))
    assert kept == {
        "name": "kept",
        "left": 0.9,
        "right": 0.9,
        "difference": 0.0,
        "interval_95": [pytest.approx(-kept["interval_95"][1]), kept["interval_95"][1]],
        "not_comparable": None,
    }


def test_figures_under_different_tokenizers_are_not_subtracted() -> None:
    found = differences(report_of("clair"), replace(report_of("clair", "runs/b"), tokenizer="words"))
    [jaccard] = [one for one in found if one.name.startswith("Jaccard")]
    assert jaccard.cells[2:] == ("other tokenizers", "–")
    assert jaccard.value is None


def test_a_figure_that_is_not_known_gives_no_difference() -> None:
    one = Difference("kept", Figure(None), Figure(0.5, (0.4, 0.6)), ".1%")
    assert one.cells == ("–", "50.0%", "–", "–")
    assert not one.is_clear
