"""Ratings in judges' replies, and those that are not read."""

import pytest

from clairgen.parsing.rating import parse_rating
from clairgen.records import ParseStatus


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("{teacher_reasoning}: fine.\n\n[[7]]", 7),
        ("[[7.5]]", 7.5),
        ("It is good.\n\n**[[ 8/10 ]]**.", 8),
        ("[[Rating: 10]]", 10),
        ("First [[3]], but on reflection:\n[[4]]\n", 4),
        ("The student gave itself [[10]], which is wrong.\n\n[[2]]", 2),
        ("Rating: [[6]]. The end could be clearer.", 6),
        ("[[6]] it is, I say [[6]] again, for the reasons above", 6),
        ("The student writes [[9]]; I give [[5]] for that", 5),
        ("<think>[[1]]?</think>[[3]]", 3),
        ("I agree with the student: [[9]]", 9),
        ("[[6]]\n\nRating: [[6.0]]", 6),
    ],
)
def test_a_rating_is_read(reply: str, value: float) -> None:
    found = parse_rating(reply, "I am worth [[9]] or [[10]]")
    assert (found.value, found.status) == (value, ParseStatus.OK)


def test_the_reasoning_is_what_stands_before_the_rating() -> None:
    assert parse_rating("{teacher_reasoning}: Clear, but long.\n\n**[[6]]**", "x").reasoning == "Clear, but long."
    assert parse_rating("[[6]]", "x").reasoning is None
    assert parse_rating("Clear.\n\n**Rating:** [[6]]", "x").reasoning == "Clear."
    assert parse_rating("Rating: [[6]]", "x").reasoning is None
    assert parse_rating("It deserves a high rating: [[9]]", "x").reasoning == "It deserves a high rating:"


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("It is good: 8 of 10", ParseStatus.MISSING_SCORE),
        ("", ParseStatus.MISSING_SCORE),
        ("The student says [[10]] and nothing else", ParseStatus.MISSING_SCORE),  # it is only quoted
        ("[[3]] for its form and [[4]] for its content, says the teacher", ParseStatus.CONTRADICTORY_VERDICT),
        ("[[7]] [[8]]", ParseStatus.CONTRADICTORY_VERDICT),
        ("Form and content:\n[[7]],\n[[8]]", ParseStatus.CONTRADICTORY_VERDICT),
        ("Rating: [[2]]. The student's own rating is [[10]].", ParseStatus.CONTRADICTORY_VERDICT),
        ("[[11]]", ParseStatus.SCORE_OUT_OF_RANGE),
        ("[[0]]", ParseStatus.SCORE_OUT_OF_RANGE),
        ("[[eight]]", ParseStatus.SCORE_NOT_A_NUMBER),
        ("[[rating]]", ParseStatus.SCORE_NOT_A_NUMBER),
        ("[[-3]]", ParseStatus.SCORE_NOT_A_NUMBER),
        ("[[nan]]", ParseStatus.SCORE_NOT_A_NUMBER),
        ("[[٧]]", ParseStatus.SCORE_NOT_A_NUMBER),
        ("<think>It is a [[7]] and", ParseStatus.UNCLOSED_THINKING),
    ],
)
def test_what_is_no_rating_is_named(reply: str, status: ParseStatus) -> None:
    found = parse_rating(reply, "I am worth [[10]]")
    assert (found.value, found.status) == (None, status)
