import pytest

from clairgen.filters.filter import Candidate, Fault
from clairgen.filters.identical import identical, is_identical
from tests.filters.pairs import answer, pair


@pytest.mark.parametrize(
    ("chosen", "rejected"), [("Same.", "Same."), ("\n Same.", "Same. \n"), ("", " "), ("\ud800", "\ud800")]
)
def test_answers_equal_but_for_outer_whitespace_are_identical(chosen: str, rejected: str) -> None:
    same = pair(answer(chosen), answer(rejected))
    assert is_identical(same)
    assert identical(Candidate(same)) == Fault("identical")


@pytest.mark.parametrize(("chosen", "rejected"), [("Same.", "same."), ("a b", "a  b"), ("a", "a\x00")])
def test_answers_that_differ_inside_are_not_identical(chosen: str, rejected: str) -> None:
    assert not is_identical(pair(answer(chosen), answer(rejected)))
    assert identical(Candidate(pair(answer(chosen), answer(rejected)))) is None
