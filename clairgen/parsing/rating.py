"""Reading how a judge rates one answer: a number from 1 to 10 in double brackets, as in MT-Bench (arXiv 2306.05685)."""

import re
from dataclasses import dataclass, replace
from typing import Final

from clairgen.patterns import lazy_pattern
from clairgen.records import ParseStatus
from clairgen.thinking import separate

RATING_PARSER_VERSION: Final = 2
"""Raised whenever a stored reply may be read as another rating."""
LOWEST, HIGHEST = 1, 10
_BRACKETS: Final = lazy_pattern(r"\[\[([^\[\]]{0,40})\]\]")
_NUMBER: Final = lazy_pattern(r"\s*(?:rating:?\s*)?([0-9]{1,4}(?:[.][0-9]{1,4})?)(?:\s*/\s*10)?\s*", re.IGNORECASE)
_LABELS: Final = lazy_pattern(
    r"\A\{{0,2}teacher_reasoning\}{0,2}:?\s*|(?:\A|\n)[ \t#*_`{]*(?:final |overall )?rating[}*_`]*:?\s*\Z",
    re.IGNORECASE,
)
_NOTHING_BETWEEN: Final = lazy_pattern(r"[\s.,;:|/*_`-]*")
_NOTHING_MORE: Final = lazy_pattern(r"[\s.*_`]*\Z")


@dataclass(frozen=True, slots=True)
class Rating:
    """What was read: `value` is None unless `status` is OK; `reasoning` is what stands before the rating, None without any."""

    value: float | None
    status: ParseStatus
    reasoning: str | None = None


def parse_rating(reply: str, rated: str) -> Rating:
    """The rating in a judge's reply about the answer `rated`.

    The one that ends the reply counts, unless another one stands right before it, or the answer itself has it, which a judge may
    quote, and the judge gives another. Without one at the end, all others must be the same, and those that the answer has are
    none.
    """
    found = separate(reply)
    if found.unclosed:
        return Rating(None, ParseStatus.UNCLOSED_THINKING)
    matches = list(_BRACKETS.finditer(found.answer))
    if matches and _NOTHING_MORE.match(found.answer, matches[-1].end()):
        *others, last = matches
        if any(_contradicts(one, last, found.answer, rated) for one in others):
            return Rating(None, ParseStatus.CONTRADICTORY_VERDICT)
        before = _LABELS.sub("", found.answer[: last.start()].strip(" \n*_`")).strip()
        return replace(_read(last[1]), reasoning=before or None)
    given = {match[1].strip() for match in matches if match[0] not in rated}
    if len(given) > 1:
        return Rating(None, ParseStatus.CONTRADICTORY_VERDICT)
    return _read(given.pop()) if given else Rating(None, ParseStatus.MISSING_SCORE)


def _contradicts(one: re.Match[str], last: re.Match[str], reply: str, rated: str) -> bool:
    """Whether a rating leaves it open if the last one, which is another, is the judge's."""
    if _read(one[1]).value == _read(last[1]).value:
        return False
    is_beside = _NOTHING_BETWEEN.fullmatch(reply, one.end(), last.start()) is not None
    return is_beside or (last[0] in rated and one[0] not in rated)


def _read(text: str) -> Rating:
    number = _NUMBER.fullmatch(text)
    if number is None:
        return Rating(None, ParseStatus.SCORE_NOT_A_NUMBER)
    value = float(number[1])
    return Rating(value, ParseStatus.OK) if LOWEST <= value <= HIGHEST else Rating(None, ParseStatus.SCORE_OUT_OF_RANGE)
