"""How the replies of MixEval's judges are read: a grade such as `[[0.4]]`, or the letter of an option such as `[[B]]`.

The rules are upstream's (mix_eval/utils/metric_utils.py at 7c52b41): the first value in double brackets counts, else the first in
single ones. Where upstream finds none it asks up to ten times, and then draws a grade or an option at random, and a number
with zeros before it ends it with an error. Here such a reply is unreadable, and says why.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from clairgen.patterns import lazy_pattern

MIXEVAL_RULES_VERSION = 1
"""Raised with every change that can read a reply in another way."""
_GRADE = r"(\d++(?:\.\d*+)?)"
_GRADES = lazy_pattern(rf"\[\[{_GRADE}\]\]"), lazy_pattern(rf"\[{_GRADE}\]")
_LETTERS = lazy_pattern(r"\[\[([A-Z])\]\]"), lazy_pattern(r"\[([A-Z])\]")


class Unreadable(StrEnum):
    """Why a judge's reply cannot be read."""

    NO_GRADE = "no-grade"
    GRADE_OUT_OF_RANGE = "grade-out-of-range"
    GRADE_NOT_A_NUMBER = "grade-not-a-number"
    NO_OPTION = "no-option"


@dataclass(frozen=True, slots=True)
class Grade:
    """A judge's grade between 0 and 1, or why there is none; `several` is whether the reply has other grades after it."""

    value: float | None
    unreadable: Unreadable | None = None
    several: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The letter of the option that a judge read in an answer, or why there is none; `several` as in `Grade`.

    The letter may be that of no option, which is a wrong answer.
    """

    letter: str | None
    unreadable: Unreadable | None = None
    several: bool = False


def parse_grade(reply: str) -> Grade:
    """The grade in a judge's reply to a free-form answer; it never raises."""
    found = _found(reply, _GRADES)
    if not found:
        return Grade(None, Unreadable.NO_GRADE)
    first = found[0]
    if not first.isascii() or (first.isdigit() and first.lstrip("0") and first.startswith("0")):
        return Grade(None, Unreadable.GRADE_NOT_A_NUMBER)
    value = float(first)
    if value > 1:
        return Grade(None, Unreadable.GRADE_OUT_OF_RANGE)
    return Grade(value, several=len({float(one) for one in found}) > 1)


def parse_choice(reply: str) -> Choice:
    """The option in a judge's reply to an answer to a multiple-choice question; it never raises."""
    found = _found(reply, _LETTERS)
    return Choice(found[0], several=len(set(found)) > 1) if found else Choice(None, Unreadable.NO_OPTION)


def _found(reply: str, patterns: tuple[re.Pattern[str], ...]) -> list[str]:
    """All matches of the first pattern that has any."""
    return next((found for pattern in patterns if (found := pattern.findall(reply))), [])
