"""Parser of a reply that scores one answer by a rubric: a number for each criterion, or by name why there is none.

The prompt asks for the reasoning, then the identifier `{scores}`, then one line for each criterion. Models also write a JSON
object, a table, markup around the names, or leave the identifier out. Nothing is guessed: a reply that lacks a criterion, names
one that the rubric does not have, or gives a number outside the scale is refused as a whole.
"""

import json
import re
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile

from clairgen.conversations import encodable
from clairgen.parsing.sections import Identifier
from clairgen.patterns import lazy_pattern
from clairgen.records import ParseStatus
from clairgen.thinking import without_thinking

RUBRIC_PARSER_VERSION: int = 2
"""Raised with every change that can give another result, so that stored replies can be parsed again."""

_SCORES = Identifier("scores")
_REASONING = Identifier("teacher_reasoning")
_TAIL = 20_000
_OBJECT = lazy_pattern(r'^[ \t]*+(?:[`~]{3,}+[ \t]*+\w*+[ \t]*+)?(?=\{\s*+")', re.MULTILINE)
_OBJECTS_READ = 4
_LINE = lazy_pattern(
    r"(?:[-•+–][ \t]+|[0-9]{1,2}[.)][ \t]+)?(?P<name>[^:=|：]{1,120}?)(?:[ \t]*[:=|：]|[ \t]+[-–—](?=[ \t]))(?P<value>.*)"
)
_MARKUP = lazy_pattern(r"[*`~#>{}\[\]\"“”]+")
_NOTE = lazy_pattern(r"\([^()]{0,100}\)\s*\Z")
_NUMBER = lazy_pattern(r"[+-]?[0-9]{1,9}(?:\.[0-9]{1,9})?")
_TOP = lazy_pattern(r"[ \t]*(?:/|out of)[ \t]*(?P<top>[0-9]{1,9}(?:\.[0-9]{1,9})?)(?![0-9])", re.IGNORECASE)
_BEFORE_REMARK = ",;:.|–—-"
_VALUE_KEYS = frozenset({"score", "rating", "value", "points"})
_GROUP_KEYS = frozenset({"scores", "ratings", "criteria"})


@dataclass(frozen=True, slots=True)
class Scale:
    """A criterion's name, with the lowest and the highest number that a judge may give for it."""

    name: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RubricReply:
    """The scores by criterion, None unless the status is OK, and the reasoning, None where there is none."""

    scores: Mapping[str, float] | None
    status: ParseStatus
    reasoning: str | None = None


class _Members(list[tuple[str, object]]):
    """The members of a JSON object, in order; a name may be there twice."""


class _RefusedError(Exception):
    """A reply that cannot be used, with the reason by name."""

    def __init__(self, status: ParseStatus) -> None:
        super().__init__(status)
        self.status = status


def parse_rubric_reply(reply: str, rubric: Sequence[Scale]) -> RubricReply:
    """The score of every criterion in a judge's reply; it never raises.

    The last header `{scores}` counts; without one, the lines with which the reply ends, or a JSON object. Only the last part
    of a very long reply is read.
    """
    text = without_thinking(reply)
    if text is None:
        return RubricReply(None, ParseStatus.UNCLOSED_THINKING)
    start = len(text)
    entries: Sequence[tuple[str, object]] = ()
    try:
        start, entries = _found(text, rubric)
        scores = _scores(entries, rubric)
    except _RefusedError as refusal:
        return RubricReply(None, refusal.status, _reasoning(text[:start], entries, rubric))
    return RubricReply(scores, ParseStatus.OK, _reasoning(text[:start], entries, rubric))


def criterion_key(name: str) -> str:
    """A criterion's name as replies are compared with it: its letters and digits alone, in lower case."""
    return "".join(character for character in name.casefold() if character.isalnum())


def _found(text: str, rubric: Sequence[Scale]) -> tuple[int, Sequence[tuple[str, object]]]:
    """Where the scores start in a reply, and the names and values that stand there."""
    cut = max(0, len(text) - _TAIL)
    near = text[cut:]
    headers = _SCORES.headers(near) or _SCORES.headers_in_line(near)
    if headers:
        start, end = headers[-1].start, headers[-1].end
        found = _last_object(near, end)
        lines = [entry for line in near[end:].splitlines() if (entry := _entry(line)) is not None]
        return cut + start, _of_group(found[1]) if found is not None else lines
    if last := _last_lines(near, {criterion_key(scale.name) for scale in rubric}):
        return cut + last[0][0], [entry for _, entry in last]
    if (found := _last_object(near, 0)) is not None:
        return cut + found[0], _of_group(found[1])
    raise _RefusedError(ParseStatus.NO_SCORES)


def _last_object(text: str, begin: int) -> tuple[int, _Members] | None:
    """The last JSON object that starts on a line of its own at `begin` or later; None without one.

    Raises _RefusedError where there is one and none can be read.
    """
    starts = list(_OBJECT.finditer(text, begin))[-_OBJECTS_READ:]
    decoder = json.JSONDecoder(
        object_pairs_hook=_Members, strict=False, parse_int=str, parse_float=str, parse_constant=str
    )
    for start in reversed(starts):
        try:
            members, _ = decoder.raw_decode(text, start.end())
        except (ValueError, RecursionError):
            continue
        return start.start(), members
    if starts:
        raise _RefusedError(ParseStatus.BROKEN_JSON)
    return None


def _of_group(members: _Members) -> list[tuple[str, object]]:
    """The members of the object that holds the scores: one under `scores`, with what stands beside it, or the object itself."""
    for name, value in members:
        if criterion_key(name) in _GROUP_KEYS and isinstance(value, _Members):
            return [*((other, text) for other, text in members if other != name and isinstance(text, str)), *value]
    return members


def _last_lines(text: str, known: Collection[str]) -> list[tuple[int, tuple[str, str]]]:
    """The scores that a text ends with, a line each, from the first of a known criterion on, and where each starts."""
    found: deque[tuple[int, tuple[str, str]]] = deque()
    end = len(text)
    while end > 0:
        start = text.rfind("\n", 0, end) + 1
        line, entry = text[start:end], _entry(text[start:end])
        if entry is not None and _starts_with_number(entry[1]):
            found.appendleft((start, entry))
        elif line.strip(" \t\r-=_*`~|:"):
            break
        end = start - 1
    return list(dropwhile(lambda one: criterion_key(_NOTE.sub("", one[1][0])) not in known, found))


def _entry(line: str) -> tuple[str, str] | None:
    """The name and the value of a line such as `- **clear**: 4/5` or `| clear | 4 |`; None for any other line."""
    if line.lstrip().startswith("{"):
        return None
    match = _LINE.fullmatch(_MARKUP.sub("", line).strip(" \t\r|"))
    return None if match is None else (match["name"], match["value"].strip())


def _scores(entries: Sequence[tuple[str, object]], rubric: Sequence[Scale]) -> dict[str, float]:
    """Every criterion's score. Raises _RefusedError for one that is missing, unknown, given twice, or no number of its scale."""
    scales = {criterion_key(scale.name): scale for scale in rubric}
    found: dict[str, float] = {}
    for name, given in entries:
        value = _inner_value(given)
        scale = scales.get(criterion_key(name)) or scales.get(criterion_key(_NOTE.sub("", name)))
        if scale is None:
            if _starts_with_number(value):
                raise _RefusedError(ParseStatus.UNKNOWN_CRITERION)
            continue
        number = _number(value, scale)
        if found.setdefault(scale.name, number) != number:
            raise _RefusedError(ParseStatus.REPEATED_CRITERION)
    if not found:
        raise _RefusedError(ParseStatus.NO_SCORES)
    if len(found) < len(rubric):
        raise _RefusedError(ParseStatus.MISSING_CRITERION)
    return {scale.name: found[scale.name] for scale in rubric}


def _inner_value(value: object) -> object:
    """The value of an object such as `{"score": 4, "reason": "..."}`, which stands for the number in it."""
    if not isinstance(value, _Members):
        return value
    numbers = [inner for name, inner in value if criterion_key(name) in _VALUE_KEYS]
    return numbers[0] if len(numbers) == 1 else value


def _starts_with_number(value: object) -> bool:
    return isinstance(value, str) and _NUMBER.match(value.lstrip()) is not None


def _number(value: object, scale: Scale) -> float:
    """The number that a value states: `4`, `4/5`, `4 out of 5`, with or without a remark after it."""
    text = value.strip() if isinstance(value, str) else ""
    match = _NUMBER.match(text)
    if match is None:
        raise _RefusedError(ParseStatus.SCORE_NOT_A_NUMBER)
    rest = text[match.end() :]
    number = float(match[0])
    if top := _TOP.match(rest):
        if float(top["top"]) != scale.high:
            raise _RefusedError(ParseStatus.SCORE_OUT_OF_RANGE)
        rest = rest[top.end() :]
    if not _is_remark(rest):
        raise _RefusedError(ParseStatus.SCORE_NOT_A_NUMBER)
    if not scale.low <= number <= scale.high:
        raise _RefusedError(ParseStatus.SCORE_OUT_OF_RANGE)
    return number


def _is_remark(rest: str) -> bool:
    """Whether what follows a number leaves it as it is; `-5`, `,5`, `%` and ` or 5` do not."""
    rest = rest.lstrip()
    if not rest or rest[0] == "(":
        return True
    if rest[0] in _BEFORE_REMARK:
        return not rest[1:].lstrip()[:1].isdigit()
    return rest[0].isalpha() and not any(character.isdigit() for character in rest)


def _reasoning(before: str, entries: Sequence[tuple[str, object]], rubric: Sequence[Scale]) -> str | None:
    """The text before the scores without its own header; where there is none, the reasoning that stands among them."""
    text = before.strip().removesuffix("```json").removesuffix("```").strip()
    headers = _REASONING.headers(text)
    if headers and headers[0].start == 0:
        text = text[headers[0].end :].strip()
    scored = {criterion_key(scale.name) for scale in rubric}
    said = [
        value
        for name, value in entries
        if isinstance(value, str) and "reason" in name.casefold() and criterion_key(name) not in scored
    ]
    return text or (encodable(said[0]).strip() if said else "") or None
