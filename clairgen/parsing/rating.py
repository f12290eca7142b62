"""Reading how a judge rates one answer: a number from 1 to 10 in double brackets, as in MT-Bench (arXiv 2306.05685)."""

import re
from dataclasses import dataclass, replace
from typing import Final

from clairgen.patterns import lazy_pattern
from clairgen.records import ParseStatus
from clairgen.thinking import separate

RATING_PARSER_VERSION: Final = 1
"""Raised whenever a stored reply may be read as another rating."""
LOWEST, HIGHEST = 1, 10
_BRACKETS: Final = lazy_pattern(r"\[\[([^\[\]]{0,40})\]\]")
_NUMBER: Final = lazy_pattern(r"\s*(?:rating:?\s*)?([0-9]{1,4}(?:[.][0-9]{1,4})?)(?:\s*/\s*10)?\s*", re.IGNORECASE)
_LABEL: Final = lazy_pattern(r"\A\{{0,2}teacher_reasoning\}{0,2}:?\s*")
_NOTHING_MORE: Final = lazy_pattern(r"[\s.*_`]*\Z")


@dataclass(frozen=True, slots=True)
class Rating:
    """What was read: `value` is None unless `status` is OK; `reasoning` is what stands before the rating, None without any."""

    value: float | None
    status: ParseStatus
    reasoning: str | None = None


def parse_rating(reply: str, rated: str) -> Rating:
    """The rating in a judge's reply about the answer `rated`.

    The one that ends the reply counts. Without one there, all others must be the same, and what the answer itself has in double
    brackets, which a judge may quote, is none.
    """
    found = separate(reply)
    if found.unclosed:
        return Rating(None, ParseStatus.UNCLOSED_THINKING)
    matches = list(_BRACKETS.finditer(found.answer))
    if matches and _NOTHING_MORE.match(found.answer, matches[-1].end()):
        before = _LABEL.sub("", found.answer[: matches[-1].start()].strip(" \n*_`"))
        return replace(_read(matches[-1][1]), reasoning=before or None)
    given = {match[1].strip() for match in matches if match[0] not in rated}
    if len(given) > 1:
        return Rating(None, ParseStatus.CONTRADICTORY_VERDICT)
    return _read(given.pop()) if given else Rating(None, ParseStatus.MISSING_SCORE)


def _read(text: str) -> Rating:
    number = _NUMBER.fullmatch(text)
    if number is None:
        return Rating(None, ParseStatus.SCORE_NOT_A_NUMBER)
    value = float(number[1])
    return Rating(value, ParseStatus.OK) if LOWEST <= value <= HIGHEST else Rating(None, ParseStatus.SCORE_OUT_OF_RANGE)
