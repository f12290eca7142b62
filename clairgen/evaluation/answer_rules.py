"""Rules that check an answer against a reference without a model and without running any code of the answer.

A rule reads one thing in an answer (its text, its last number, its letter) and says whether that is the reference. An answer in
which there is no such thing is wrong, with a reason by which those are counted. Whoever changes what a rule reads or accepts
raises `RULES_VERSION`; answers are then scored again, and not requested again.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from clairgen.data.classroom.questions import is_right, recognised
from clairgen.data.classroom.styles import stated_result
from clairgen.errors import InputError
from clairgen.evaluation.stated_numbers import is_unclear, last_number, number_words
from clairgen.patterns import lazy_pattern

RULES_VERSION: Final = 4
DEFAULT_TOLERANCE: Final = 1e-6
"""How far a number may be from its reference, as a share of the reference, where no tolerance is given."""
_QUOTES: Final = "\"'`*“”‘’«» \t\n"
_MOST_PATTERN: Final = 1000
_OPENING: Final = r"[\s:=*_>]{0,9}(?:is|be)?[\s:=*_]{0,9}(?:\$|\\boxed\{|\\text\{|[*_`\"'(\[{]){0,6}"
# A small a or i without a mark after it is a word, and so is a capital one before a small word.
_NO_WORD: Final = r"(?![A-Za-z'’])(?!(?<=[AI])\s{1,9}[a-z])"
# "B or C" and "B, C" choose nothing.
_SEVERAL: Final = (
    r"[)\]}*_`\"']{0,6}\s{0,9}(?:,|/|&|(?i:and|or)\b)\s{0,9}(?:(?i:and|or)\b\s{0,9})?[(\[{*_`\"']{0,6}[A-Z]" + _NO_WORD
)
# "A is wrong" does not choose A.
_REJECTED: Final = (
    r"[)\]}*_`\"']{0,6}:?\s{0,9}(?:(?:(?i:is|was|seems|looks|must\s{1,9}be|would\s{1,9}be)\s{1,9}(?:[a-z]{1,20}ly\s{1,9})?)?"
    r"(?i:wrong|incorrect|false|invalid|eliminated|ruled\s{1,9}out)\b"
    r"|(?i:is|was)\s{1,9}(?:[a-z]{1,20}ly\s{1,9})?(?i:not|out)\b|(?i:isn|wasn|can|doesn)['’](?i:t)\b|(?i:cannot|does\s{1,9}not)\b)"
)
_LETTER: Final = rf"(?P<letter>[A-Zb-hj-z]|[ai](?=[)\]}}.,;:*_`]|\s{{0,9}}\Z)){_NO_WORD}(?!{_SEVERAL}|{_REJECTED})"
_ANSWER: Final = lazy_pattern(rf"(?:(?<!/)\b(?i:answer){_OPENING}|\\boxed\{{(?:\\text\{{)?\(?){_LETTER}")
_OPTION: Final = lazy_pattern(rf"\b(?i:option|choice){_OPENING}{_LETTER}")
_ALONE: Final = lazy_pattern(
    rf"[\s*_`\"'(\[{{]*([A-Za-z])(?!{_SEVERAL}|{_REJECTED})(?:[)\]}}.:,*_`\"'}}]+(?:\s|$)|\s*$)"
)
_IN_PARENTHESES: Final = lazy_pattern(rf"\(([A-Z])(?!{_REJECTED})\)")


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether an answer is right, what was read in it (None if nothing), and the reason where nothing could be read."""

    right: bool
    found: str | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """A rule: `check` takes prompt, answer, reference and tolerance.

    `reference_error` says why a value is no reference of this rule, given the prompt and the value; None if it is one.
    """

    name: str
    summary: str
    check: Callable[[str, str, Any, float | None], Checked]
    reference_error: Callable[[str, Any], str | None]


def rule_named(name: str) -> AnswerRule:
    """The rule of this name. Raises InputError for a name that there is not."""
    if name not in RULES:
        raise InputError(f"there is no rule {name!r}; choose one of {', '.join(RULES)}")
    return RULES[name]


def _exact(_prompt: str, answer: str, reference: Any, _tolerance: float | None) -> Checked:  # noqa: ANN401
    found = _plain(answer)
    return Checked(found in {_plain(one) for one in _accepted(reference)}, answer.strip(), None if found else "empty")


def _numeric(_prompt: str, answer: str, reference: Any, tolerance: float | None) -> Checked:  # noqa: ANN401
    found = last_number(answer)
    if found is None:
        return Checked(False, None, "unclear-number" if is_unclear(answer) else "no-number")
    expected = [_number(one) for one in _accepted(reference)]
    right = any(
        abs(found - one) <= (tolerance if tolerance is not None else DEFAULT_TOLERANCE * max(1.0, abs(one)))
        for one in expected
        if one is not None
    )
    return Checked(right, number_words(found))


def _regex(_prompt: str, answer: str, reference: Any, _tolerance: float | None) -> Checked:  # noqa: ANN401
    for pattern in _accepted(reference):
        if found := re.search(str(pattern), answer):
            return Checked(True, found.group())
    return Checked(False, None, "no-match")


def _choice(_prompt: str, answer: str, reference: Any, _tolerance: float | None) -> Checked:  # noqa: ANN401
    found = stated_letter(answer)
    if found is None:
        return Checked(False, None, "no-letter")
    return Checked(found in {str(one).strip().strip("()").upper() for one in _accepted(reference)}, found)


def _classroom(prompt: str, answer: str, _reference: Any, _tolerance: float | None) -> Checked:  # noqa: ANN401
    question = recognised(prompt)
    if question is None:
        raise InputError(f"not a question of the classroom: {prompt!r}")
    found = stated_result(answer)
    return Checked(is_right(question, answer), found, None if found is not None else "no-result")


def stated_letter(answer: str) -> str | None:
    r"""The letter that an answer chooses, as a capital; None where it names none, or several without saying which.

    In order: the last one after "answer" or in `\boxed{}`; the last one after "option" or "choice"; one that begins the answer
    and is followed by a mark or nothing; the only one that stands in parentheses. Listed ones ("B or C", "B, C") choose none,
    nor does one that is called wrong.
    """
    for stated in (_ANSWER, _OPTION):
        if found := [match.group("letter") for match in stated.finditer(answer)]:
            return found[-1].upper()
    if alone := _ALONE.match(answer):
        return alone.group(1).upper()
    in_parentheses = set(_IN_PARENTHESES.findall(answer))
    return str(in_parentheses.pop()) if len(in_parentheses) == 1 else None


def _accepted(reference: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    """The references of which any is right; a single one stands for itself."""
    return list(reference) if isinstance(reference, list | tuple) else [reference]


def _plain(text: Any) -> str:  # noqa: ANN401 - a text or a number
    """A text without letter case, repeated white space, quotes and emphasis around it, and its full stop."""
    folded = " ".join(unicodedata.normalize("NFKC", str(text)).casefold().split())
    return folded.strip(_QUOTES).rstrip(".").strip(_QUOTES)


def _number(reference: Any) -> float | None:  # noqa: ANN401 - any JSON value
    if isinstance(reference, bool):
        return None
    return float(reference) if isinstance(reference, int | float) else last_number(str(reference))


def _text_error(_prompt: str, reference: Any) -> str | None:  # noqa: ANN401
    for one in _accepted(reference) or [None]:
        if isinstance(one, bool) or not isinstance(one, str | int | float) or not str(one).strip():
            return "its reference is not a text"
    return None


def _numeric_error(prompt: str, reference: Any) -> str | None:  # noqa: ANN401
    if error := _text_error(prompt, reference):
        return error
    return next(
        (
            f"its reference {str(one)[:40]!r} holds no number that is clear"
            for one in _accepted(reference)
            if _number(one) is None
        ),
        None,
    )


def _regex_error(prompt: str, reference: Any) -> str | None:  # noqa: ANN401
    if error := _text_error(prompt, reference):
        return error
    for one in _accepted(reference):
        if len(str(one)) > _MOST_PATTERN:
            return f"its pattern has more than {_MOST_PATTERN:,} characters"
        try:
            re.compile(str(one))
        except (re.error, RecursionError, OverflowError) as error:
            return f"its pattern {str(one)[:40]!r} is not a regular expression: {error}"
    return None


def _choice_error(prompt: str, reference: Any) -> str | None:  # noqa: ANN401
    if error := _text_error(prompt, reference):
        return error
    for one in _accepted(reference):
        if not re.fullmatch(r"\s*\(?[A-Za-z]\)?\s*", str(one)):
            return f"its reference {str(one)[:40]!r} is not one letter"
    return None


def _classroom_error(prompt: str, _reference: Any) -> str | None:  # noqa: ANN401
    return None if recognised(prompt) is not None else "it is not a question of the classroom"


RULES: Final[Mapping[str, AnswerRule]] = {
    rule.name: rule
    for rule in (
        AnswerRule(
            "exact",
            "the whole answer, but for letter case, white space, quotes around it and a full stop",
            _exact,
            _text_error,
        ),
        AnswerRule("numeric", "the last number of the answer, within a tolerance", _numeric, _numeric_error),
        AnswerRule("regex", "a regular expression that is found somewhere in the answer", _regex, _regex_error),
        AnswerRule("choice", "the letter that the answer chooses", _choice, _choice_error),
        AnswerRule(
            "classroom",
            "the result that an answer to a question of the classroom ends with",
            _classroom,
            _classroom_error,
        ),
    )
}
"""Every rule by its name."""
