"""Judges' replies beside what MixEval's own code makes of them (metric_utils.py at 7c52b41, run over every reply of the tables).

A reply that it asks for again, and in the end draws at random for, is GUESSED; one that ends it with an error is an ERROR.
"""

import pytest

from clairgen.evaluation.mixeval_judge import Choice, Grade, Unreadable, parse_choice, parse_grade

GUESSED = "guessed"
ERROR = "error"

GRADES: dict[str, tuple[float | str, Grade]] = {
    # The reply: what upstream makes of it, what we make of it.
    "The correctness score: [[1.0]]": (1.0, Grade(1.0)),
    "The correctness score: [[0.5]].": (0.5, Grade(0.5)),
    "[[0]]": (0.0, Grade(0.0)),
    "[[1]]": (1.0, Grade(1.0)),
    "**[[0.7]]**": (0.7, Grade(0.7)),
    "It agrees in part.\n\n[[0.4]]\n": (0.4, Grade(0.4)),
    "[[0.55]]": (0.55, Grade(0.55)),
    "[[1.]]": (1.0, Grade(1.0)),
    "[[00]]": (0.0, Grade(0.0)),
    "[[00.5]]": (0.5, Grade(0.5)),
    "[[[0.3]]]": (0.3, Grade(0.3)),
    "Grade [0.6]": (0.6, Grade(0.6)),
    "Reference [1] says so, hence [[0.2]]": (0.2, Grade(0.2)),
    "The passage [1] is not given": (1.0, Grade(1.0)),
    "First I thought [[0.5]], but it is [[1.0]]": (0.5, Grade(0.5, several=True)),
    "[[0.5]], so the grade is [[0.5]]": (0.5, Grade(0.5)),
    "[[0.5]] or [[.5]]": (0.5, Grade(0.5)),
    "either [0.1] or [0.9]": (0.1, Grade(0.1, several=True)),
    "[[0.3]] and not [0.9]": (0.3, Grade(0.3)),
    "[[ 0.5 ]] but [0.8]": (0.8, Grade(0.8)),
    "[[1.0]] out of [[10]]": (1.0, Grade(1.0, several=True)),
    "\\[[0.9]\\]": (0.9, Grade(0.9)),
    "\\[\\[0.9\\]\\]": (GUESSED, Grade(None, Unreadable.NO_GRADE)),
    "[[10]] out of [[1.0]]": (GUESSED, Grade(None, Unreadable.GRADE_OUT_OF_RANGE)),
    "[[5]]": (GUESSED, Grade(None, Unreadable.GRADE_OUT_OF_RANGE)),
    "[[1.1]]": (GUESSED, Grade(None, Unreadable.GRADE_OUT_OF_RANGE)),
    "see [2], so 0.5": (GUESSED, Grade(None, Unreadable.GRADE_OUT_OF_RANGE)),
    "": (GUESSED, Grade(None, Unreadable.NO_GRADE)),
    "The score is 0.5": (GUESSED, Grade(None, Unreadable.NO_GRADE)),
    "[[.5]]": (GUESSED, Grade(None, Unreadable.NO_GRADE)),
    "[[-0.5]]": (GUESSED, Grade(None, Unreadable.NO_GRADE)),
    "[[0,5]]": (GUESSED, Grade(None, Unreadable.NO_GRADE)),
    "[[1/2]]": (GUESSED, Grade(None, Unreadable.NO_GRADE)),
    "[[score]]": (GUESSED, Grade(None, Unreadable.NO_GRADE)),
    "[[50%]]": (GUESSED, Grade(None, Unreadable.NO_GRADE)),
    "[[0.5": (GUESSED, Grade(None, Unreadable.NO_GRADE)),
    "((0.5))": (GUESSED, Grade(None, Unreadable.NO_GRADE)),
    "[[1.0.0]]": (GUESSED, Grade(None, Unreadable.NO_GRADE)),
    "[[01]]": (ERROR, Grade(None, Unreadable.GRADE_NOT_A_NUMBER)),
    "[[٠.٥]]": (ERROR, Grade(None, Unreadable.GRADE_NOT_A_NUMBER)),
    f"[[{'9' * 5000}]]": (ERROR, Grade(None, Unreadable.GRADE_OUT_OF_RANGE)),
}

CHOICES: dict[str, tuple[str, Choice]] = {
    "The option chosen by the model: [[A]]": ("A", Choice("A")),
    "The option chosen by the model: [[D]].": ("D", Choice("D")),
    "**[[C]]**": ("C", Choice("C")),
    "[[J]]": ("J", Choice("J")),
    "It chooses none: [[X]]": ("X", Choice("X")),
    "[B]": ("B", Choice("B")),
    "Not [A], but [[B]]": ("B", Choice("B")),
    "[A] and then [B]": ("A", Choice("A", several=True)),
    "[[A]] is what it says, not [[C]]": ("A", Choice("A", several=True)),
    "[[A]], again [[A]]": ("A", Choice("A")),
    "[[b]] or [C]": ("C", Choice("C")),
    "[[[E]]]": ("E", Choice("E")),
    "[[b]]": (GUESSED, Choice(None, Unreadable.NO_OPTION)),
    "[[AB]]": (GUESSED, Choice(None, Unreadable.NO_OPTION)),
    "[[A, C]]": (GUESSED, Choice(None, Unreadable.NO_OPTION)),
    "[[option letter]]": (GUESSED, Choice(None, Unreadable.NO_OPTION)),
    "[[ A ]]": (GUESSED, Choice(None, Unreadable.NO_OPTION)),
    "The model chose A.": (GUESSED, Choice(None, Unreadable.NO_OPTION)),
    "(A)": (GUESSED, Choice(None, Unreadable.NO_OPTION)),
    "[[A": (GUESSED, Choice(None, Unreadable.NO_OPTION)),
    "[[Д]]": (GUESSED, Choice(None, Unreadable.NO_OPTION)),
    "": (GUESSED, Choice(None, Unreadable.NO_OPTION)),
}


@pytest.mark.parametrize("reply", GRADES)
def test_a_grade_is_read_as_upstream_reads_it(reply: str) -> None:
    upstream, ours = GRADES[reply]
    assert parse_grade(reply) == ours
    assert ours.value == (None if upstream in (GUESSED, ERROR) else upstream)


@pytest.mark.parametrize("reply", CHOICES)
def test_an_option_is_read_as_upstream_reads_it(reply: str) -> None:
    upstream, ours = CHOICES[reply]
    assert parse_choice(reply) == ours
    assert ours.letter == (None if upstream == GUESSED else upstream)
