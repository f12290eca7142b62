from dataclasses import replace
from typing import Any

import pytest

from clairgen.filters.bounds import bounds_on
from clairgen.filters.filter import Candidate, Fault, Filter
from clairgen.filters.jaccard import JACCARD
from clairgen.filters.length_ratio import LENGTH_RATIO
from clairgen.filters.levenshtein import LEVENSHTEIN
from clairgen.filters.options import Range
from clairgen.metrics.contrast import Metric
from clairgen.records import Contrast
from tests.filters.pairs import USUAL, answer, pair


def found(one: Filter[Any], contrast: Contrast | None, bounds: Range) -> Fault | None:
    assert one.prepare is not None
    return one.prepare(one.options(bounds=bounds))(Candidate(pair(), contrast))


@pytest.mark.parametrize(
    ("one", "contrast", "bounds", "reason", "value"),
    [
        (LENGTH_RATIO, replace(USUAL, length_ratio=0.4), (0.5, 2.0), "length-ratio-below", 0.4),
        (LENGTH_RATIO, replace(USUAL, length_ratio=4.8), (0.5, 2.0), "length-ratio-above", 4.8),
        (LENGTH_RATIO, replace(USUAL, length_ratio=4.8), (None, 2.0), "length-ratio-above", 4.8),
        (JACCARD, replace(USUAL, jaccard=0.05), (10, None), "jaccard-below", 5.0),
        (JACCARD, replace(USUAL, jaccard=1.0), (10, 99), "jaccard-above", 100.0),
        (LEVENSHTEIN, replace(USUAL, levenshtein=0), (1, 5000), "levenshtein-below", 0.0),
        (LEVENSHTEIN, replace(USUAL, levenshtein=5001), (1, 5000), "levenshtein-above", 5001.0),
    ],
)
def test_contrast_outside_the_bounds(
    one: Filter[Any], contrast: Contrast, bounds: Range, reason: str, value: float
) -> None:
    assert found(one, contrast, bounds) == Fault(reason, value)


@pytest.mark.parametrize(
    ("one", "bounds"),
    [(LENGTH_RATIO, (1.2, 1.2)), (LENGTH_RATIO, (None, 1.2)), (JACCARD, (40, 40)), (LEVENSHTEIN, (100, None))],
)
def test_the_bounds_themselves_are_kept(one: Filter[Any], bounds: Range) -> None:
    assert found(one, USUAL, bounds) is None


def test_every_whole_percentage_lies_on_its_own_bound() -> None:
    assert all(found(JACCARD, replace(USUAL, jaccard=n / 100), (n, n)) is None for n in range(2, 101))
    assert found(JACCARD, replace(USUAL, jaccard=0.01), (1, None)) is None
    assert found(JACCARD, replace(USUAL, jaccard=0.0), (0, 0)) is None


def test_an_empty_rejected_answer_has_no_length_ratio_to_fault() -> None:
    assert found(LENGTH_RATIO, replace(USUAL, length_ratio=None), (0.5, 2.0)) is None


@pytest.mark.parametrize("one", [LENGTH_RATIO, JACCARD, LEVENSHTEIN])
def test_a_pair_that_was_not_measured_passes(one: Filter[Any]) -> None:
    assert found(one, None, (2, 3)) is None


def test_any_metric_of_the_two_texts_can_have_bounds() -> None:
    words_added = bounds_on(
        Metric("words_added", lambda chosen, rejected: len(chosen.split()) - len(rejected.split()), "Words added")
    )
    assert words_added.prepare is not None
    check = words_added.prepare(words_added.options(bounds=(None, 1)))
    assert check(Candidate(pair(answer("one two three"), answer("one")))) == Fault("words-added-above", 2)
    assert check(Candidate(pair(answer("one two"), answer("one")))) is None
