from collections.abc import Callable
from dataclasses import replace

import pytest

from clairgen.filters import rules
from clairgen.filters.settings_fields import Range
from clairgen.records import Contrast, FilterAction, Finding, Pair, ParseStatus
from tests.filters.pairs import USUAL, answer, pair

DROP, MARK = FilterAction.DROP, FilterAction.MARK
PairRule = Callable[[Pair, FilterAction], Finding | None]
ContrastRule = Callable[[Contrast, Range, FilterAction], Finding | None]


@pytest.mark.parametrize("rule", [rules.broken_format, rules.truncated, rules.empty, rules.identical])
def test_a_sound_pair_has_no_fault(rule: PairRule) -> None:
    assert rule(pair(), DROP) is None


@pytest.mark.parametrize("status", [status for status in ParseStatus if status is not ParseStatus.OK])
def test_the_parser_s_status_is_the_reason(status: ParseStatus) -> None:
    unparsed = replace(pair(chosen=None), parse_status=status)
    assert rules.broken_format(unparsed, MARK) == Finding("format", MARK, status.value, None)


def test_a_pair_without_a_chosen_answer_is_at_fault_even_without_a_status() -> None:
    assert rules.broken_format(pair(chosen=None), DROP) == Finding("format", DROP, "no-chosen-answer", None)


def test_truncation_names_the_side() -> None:
    cut = answer("Cut", finish_reason="length")
    assert rules.truncated(pair(chosen=cut), DROP) == Finding("truncated", DROP, "chosen-truncated", None)
    assert rules.truncated(pair(rejected=cut), MARK) == Finding("truncated", MARK, "rejected-truncated", None)
    assert rules.truncated(pair(cut, cut), DROP) == Finding("truncated", DROP, "chosen-truncated", None)
    assert rules.truncated(pair(None, cut), DROP) == Finding("truncated", DROP, "rejected-truncated", None)


def test_an_answer_that_was_cut_off_before_its_solution_is_truncated_too() -> None:
    cut = replace(pair(chosen=None), unparsed=answer("{teacher_reasoning} The", finish_reason="length"))
    assert rules.truncated(cut, DROP) == Finding("truncated", DROP, "chosen-truncated", None)


@pytest.mark.parametrize("blank", ["", " \n\t\u00a0\u3000"])
def test_emptiness_names_the_side(blank: str) -> None:
    assert rules.empty(pair(chosen=answer(blank)), DROP) == Finding("empty", DROP, "chosen-empty", None)
    assert rules.empty(pair(rejected=answer(blank)), MARK) == Finding("empty", MARK, "rejected-empty", None)
    assert rules.empty(pair(None, answer(blank)), DROP) == Finding("empty", DROP, "rejected-empty", None)


@pytest.mark.parametrize(
    ("chosen", "rejected"), [("Same.", "Same."), ("\n Same.", "Same. \n"), ("", " "), ("\ud800", "\ud800")]
)
def test_answers_equal_but_for_outer_whitespace_are_identical(chosen: str, rejected: str) -> None:
    same = pair(answer(chosen), answer(rejected))
    assert rules.is_identical(same)
    assert rules.identical(same, DROP) == Finding("identical", DROP, "identical", None)


@pytest.mark.parametrize(("chosen", "rejected"), [("Same.", "same."), ("a b", "a  b"), ("a", "a\x00")])
def test_answers_that_differ_inside_are_not_identical(chosen: str, rejected: str) -> None:
    assert not rules.is_identical(pair(answer(chosen), answer(rejected)))


def test_a_pair_without_a_chosen_answer_is_not_identical() -> None:
    assert not rules.is_identical(pair(chosen=None))


@pytest.mark.parametrize(
    ("rule", "contrast", "bounds", "reason", "value"),
    [
        (rules.length_ratio, replace(USUAL, length_ratio=0.4), (0.5, 2.0), "length-ratio-below", 0.4),
        (rules.length_ratio, replace(USUAL, length_ratio=4.8), (0.5, 2.0), "length-ratio-above", 4.8),
        (rules.length_ratio, replace(USUAL, length_ratio=4.8), (None, 2.0), "length-ratio-above", 4.8),
        (rules.jaccard, replace(USUAL, jaccard=0.05), (10, None), "jaccard-below", 5.0),
        (rules.jaccard, replace(USUAL, jaccard=1.0), (10, 99), "jaccard-above", 100.0),
        (rules.levenshtein, replace(USUAL, levenshtein=0), (1, 5000), "levenshtein-below", 0.0),
        (rules.levenshtein, replace(USUAL, levenshtein=5001), (1, 5000), "levenshtein-above", 5001.0),
    ],
)
def test_contrast_outside_the_bounds(
    rule: ContrastRule, contrast: Contrast, bounds: Range, reason: str, value: float
) -> None:
    name = reason.rpartition("-")[0].replace("-", "_")
    assert rule(contrast, bounds, MARK) == Finding(name, MARK, reason, value)


@pytest.mark.parametrize(
    ("rule", "bounds"),
    [
        (rules.length_ratio, (1.2, 1.2)),
        (rules.length_ratio, (None, 1.2)),
        (rules.jaccard, (40, 40)),
        (rules.levenshtein, (100, None)),
    ],
)
def test_the_bounds_themselves_are_kept(rule: ContrastRule, bounds: Range) -> None:
    assert rule(USUAL, bounds, DROP) is None


def test_every_whole_percentage_lies_on_its_own_bound() -> None:
    assert all(rules.jaccard(replace(USUAL, jaccard=n / 100), (n, n), DROP) is None for n in range(101))


def test_an_empty_rejected_answer_has_no_length_ratio_to_fault() -> None:
    assert rules.length_ratio(replace(USUAL, length_ratio=None), (0.5, 2.0), DROP) is None
