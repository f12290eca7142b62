"""Parser of a reviser's reply: the corrected solution and the reviser's reasoning."""

import json
import re
from bisect import bisect_left
from dataclasses import dataclass

from clairgen.conversations import encodable
from clairgen.parsing.sections import Header, Identifier
from clairgen.parsing.wrapping import without_separators, without_wrapping
from clairgen.patterns import lazy_pattern
from clairgen.records import ParseStatus
from clairgen.thinking import without_thinking

PARSER_VERSION: int = 1
"""Raised with every change that can give another result, so that stored answers can be parsed again."""

_SOLUTION = Identifier("corrected_student_solution")
_REASONING = Identifier("teacher_reasoning")
_PROMPT = (
    "is to minimally improve a student's answer",
    "identifiers to structure your answer",
    "\n{student_solution}:",
)
_OBJECT_START = lazy_pattern(r'(?:[`~]{3,}+[ \t]*+\w*+)?\s*+(?=\{\s*+")')
_OBJECT_WITH_IDENTIFIER = lazy_pattern(
    r'(?=\{\s*+"(?:teacher[ _]?reasoning|corrected[ _]?student[ _]?solution)")', re.IGNORECASE
)
_OBJECTS = json.JSONDecoder(strict=False, parse_int=str, parse_float=str, parse_constant=str)


@dataclass(frozen=True, slots=True)
class Revision:
    """What the parser found; `solution` is None unless the status is OK, `reasoning` is None where there is none."""

    status: ParseStatus
    solution: str | None
    reasoning: str | None


def parse_revision(answer: str, rejected: str) -> Revision:
    """The corrected solution in a reviser's reply, unchanged except for leading and trailing whitespace; it never raises.

    The last header with something under it counts; see `clairgen.parsing.sections`. `rejected` is the target's answer: a fence
    around the whole solution, or a rule below it, is the reviser's only if the target's answer has none.
    """
    text = without_thinking(answer, rejected)
    if text is None:
        return Revision(ParseStatus.UNCLOSED_THINKING, None, None)
    if _OBJECT_START.match(text):
        return _from_object(text, rejected) or _from_headers(text, rejected) or _without_solution(text)
    return _from_headers(text, rejected) or _from_object(text, rejected) or _without_solution(text)


def _from_headers(text: str, rejected: str) -> Revision | None:
    """The revision under the last header of the best kind in the reply; None without any header."""
    headers = _of_the_best_kind(_SOLUTION.headers(text)) or _SOLUTION.headers_in_line(text)
    if not headers:
        return None
    reasonings = _REASONING.headers(text)
    header, end = _last_with_a_section(text, headers, reasonings)
    reasoning = _reasoning(text, header, end, reasonings)
    return _checked(without_wrapping(text[header.end : end], text[: header.end], rejected), reasoning, rejected)


def _of_the_best_kind(headers: list[Header]) -> list[Header]:
    exact = [header for header in headers if header.sure and header.exact]
    return exact or [header for header in headers if header.sure] or headers


def _last_with_a_section(text: str, headers: list[Header], reasonings: list[Header]) -> tuple[Header, int]:
    """The last header and the end of its section; an earlier header if nothing follows the last one."""
    stops = sorted(
        [*_SOLUTION.closings(text), *(header.start for header in reasonings if header.sure and header.exact)]
    )
    last = headers[-1]
    reasoned = max((header.start for header in reasonings if header.start < last.start), default=0)
    end = len(text)
    for header in (header for header in reversed(headers) if header.start >= reasoned):
        end = _first_from(stops, header.end, end)
        if text[header.end : end].strip():
            return header, end
        end = header.start
    return last, last.end


def _first_from(positions: list[int], start: int, otherwise: int) -> int:
    index = bisect_left(positions, start)
    return min(positions[index], otherwise) if index < len(positions) else otherwise


def _reasoning(text: str, solution: Header, solution_end: int, reasonings: list[Header]) -> str | None:
    """The text under the reasoning's header, before the solution or else after it; without a header, all before the solution."""
    start, end = 0, solution.start
    if reasonings:
        start = reasonings[0].end
        if start > solution.start:
            start = max(start, solution_end)
            end = len(text)
    end = _first_from(_REASONING.closings(text), start, end)
    return without_separators(text[start:end]) or None


def _from_object(text: str, rejected: str) -> Revision | None:
    """The revision in a JSON object that has the identifiers as keys; None without such an object."""
    for sections in (_sections(text, start) for start in _object_starts(text)):
        if sections and "correctedstudentsolution" in sections:
            reasoning, solution = sections.get("teacherreasoning"), sections["correctedstudentsolution"]
            reasoning = encodable(reasoning).strip() or None if isinstance(reasoning, str) else None
            if not isinstance(solution, str | None):
                return Revision(ParseStatus.SOLUTION_NOT_TEXT, None, reasoning)
            return _checked(without_wrapping(encodable(solution or ""), "", rejected), reasoning, rejected)
    return None


def _object_starts(text: str) -> list[int]:
    """Where an object with the identifiers may start: the first that starts with one, and the one that starts the text."""
    return [match.end() for match in (_OBJECT_WITH_IDENTIFIER.search(text), _OBJECT_START.match(text)) if match]


def _sections(text: str, start: int) -> dict[str, object] | None:
    """The members of the object that starts there, by the letters of their keys; None when it is not valid JSON."""
    try:
        members, _ = _OBJECTS.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return {re.sub(r"[\W_]", "", key).casefold(): value for key, value in members.items()}


def _checked(solution: str, reasoning: str | None, rejected: str) -> Revision:
    if not solution:
        return Revision(ParseStatus.EMPTY_SOLUTION, None, reasoning)
    if any(part in f"\n{solution}" and part not in f"\n{rejected}" for part in _PROMPT):
        return Revision(ParseStatus.ECHOED_PROMPT, None, reasoning)
    return Revision(ParseStatus.OK, solution, reasoning)


def _without_solution(text: str) -> Revision:
    """The result for a reply without a solution, with a status that says what is there instead."""
    if any(_sections(text, start) is None for start in _object_starts(text)):
        status = ParseStatus.BROKEN_JSON
    elif any(part in f"\n{text}" for part in _PROMPT):
        status = ParseStatus.ECHOED_PROMPT
    elif _SOLUTION.is_mentioned(text):
        status = ParseStatus.HEADER_ONLY_IN_REASONING
    else:
        status = ParseStatus.NO_SOLUTION_HEADER
    return Revision(status, None, None)
