from collections.abc import Mapping
from dataclasses import replace

import pytest

from clairgen.filters.settings import FILTERS, FilterSettings
from clairgen.filters.sift import Sieve
from clairgen.records import Contrast, FilterAction, Finding, Pair, ParseStatus
from tests.filters.pairs import USUAL, answer, pair

DROP, MARK = FilterAction.DROP, FilterAction.MARK
FAR = Contrast(levenshtein=9000, jaccard=0.01, length_ratio=4.8, tokeniser="treebank")
ALL_BOUNDS = {"jaccard": [10, None], "levenshtein": [None, 5000]}


def findings(
    pair: Pair, contrast: Contrast | None = USUAL, settings: Mapping[str, object] | None = None, *, revises: bool = True
) -> tuple[Finding, ...]:
    return Sieve(FilterSettings.model_validate(settings or {})).sift(pair, contrast, revises=revises)


def test_a_sound_pair_has_no_findings() -> None:
    assert findings(pair(), settings=ALL_BOUNDS) == ()


def test_findings_stand_in_the_order_of_the_filters() -> None:
    blank_and_cut = pair(answer("", finish_reason="length"), answer(" "))
    found = findings(replace(blank_and_cut, parse_status=ParseStatus.BROKEN_JSON), FAR, ALL_BOUNDS)
    assert tuple(finding.filter for finding in found) == FILTERS


def test_the_first_drop_comes_after_earlier_marks() -> None:
    cut = pair(answer("Cut", finish_reason="length"))
    found = findings(cut, FAR, {"truncated": "mark"})
    assert [(finding.reason, finding.action) for finding in found] == [
        ("chosen-truncated", MARK),
        ("length-ratio-above", DROP),
    ]


def test_length_ratio_marks_what_was_not_revised() -> None:
    assert findings(pair(), FAR, revises=False) == (Finding("length_ratio", MARK, "length-ratio-above", 4.8),)
    assert findings(pair(), FAR, revises=True) == (Finding("length_ratio", DROP, "length-ratio-above", 4.8),)


@pytest.mark.parametrize("contrast", [FAR, None])
def test_contrast_is_not_looked_at_without_a_chosen_answer(contrast: Contrast | None) -> None:
    unparsed = replace(pair(chosen=None), parse_status=ParseStatus.NO_SOLUTION_HEADER)
    assert findings(unparsed, contrast, ALL_BOUNDS) == (Finding("format", DROP, "no-solution-header", None),)


def test_contrast_filters_pass_a_pair_that_was_not_measured() -> None:
    assert findings(pair(), None, ALL_BOUNDS) == ()


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_that_is_off_finds_nothing(name: str) -> None:
    everything = replace(pair(answer("", "length"), answer("")), parse_status=ParseStatus.BROKEN_JSON)
    assert name not in {finding.filter for finding in findings(everything, FAR, {**ALL_BOUNDS, name: "off"})}
