"""Parser of a judge's reply: which of two solutions the judge chose."""

import json
import re
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from clairgen.conversations import encodable
from clairgen.parsing.judge_language import FENCE, plain_letters, without_quotations
from clairgen.parsing.verdict_signs import Says, Sign, Strength, signs
from clairgen.patterns import lazy_pattern
from clairgen.thinking import without_thinking

VERDICT_PARSER_VERSION: int = 1
"""Raised with every change that can give another result, so that stored answers can be parsed again."""

_HEAD, _TAIL = 2_000, 10_000

_HEADER = lazy_pattern(r"[\s#*_`>{<\[\\]*+teacher[ _\\]{1,2}reasoning[}>\]\\*_`]*+:?[*_ ]*+", re.IGNORECASE)
_OBJECT_START = lazy_pattern(r'\s*+(?:[`~]{3,}+[ \t]*+\w*+)?\s*+(?=\{\s*+")')
_OBJECT = lazy_pattern(r'\{\s*+"')
_VERDICT_KEY = lazy_pattern(
    r"(?:final|best|better|chosen|preferred|winning)?(?:answer|verdict|choice|decision|winner|best|better|preference|preferred"
    r"|solution|studentsolution|student|pick|selection|selected|judge?ment|result|conclusion)"
)
_REASONING_KEY = lazy_pattern(r"(?:teacher)?(?:reasoning|explanation|rationale|analysis|thoughts?|reasons?)")
_MEMBER = lazy_pattern(
    r'"(?P<key>[a-z _]{4,24})"[ \t]*+:[ \t]*+"?(?P<value>\[?[12]\]?)"?\s*+(?=[,}]|\Z)', re.IGNORECASE
)
_VALUE = lazy_pattern(
    r"\W*+(?:the )?(?:(?:student)?[ _]?(?:solution|answer|student)[ _]?)?\W*+(?:(?P<first>1|one|first)|2|two|second)\W*+",
    re.IGNORECASE,
)
_MEMBERS_READ = 8


class VerdictStatus(StrEnum):
    """What the parser made of a judge's reply. Everything but OK names why there is no choice."""

    OK = "ok"
    NO_VERDICT = "no-verdict"
    CONTRADICTORY = "contradictory-verdict"
    TIE = "declared-tie"
    UNCLOSED_THINKING = "unclosed-thinking"
    BROKEN_JSON = "broken-json"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The solution that a judge chose, None unless the status is OK, and the reasoning, None where there is none."""

    choice: Literal[1, 2] | None
    status: VerdictStatus
    reasoning: str | None


def parse_verdict(answer: str, solutions: tuple[str, str] = ("", "")) -> Verdict:
    """The verdict in a judge's reply; it never raises.

    Of the strongest signs the last one counts; see `clairgen.parsing.verdict_signs`. `solutions` are the two texts that were
    judged: what the judge copies from them is no verdict. Of a very long reply only the start and the end are read.
    """
    text = without_thinking(answer)
    if text is None:
        return Verdict(None, VerdictStatus.UNCLOSED_THINKING, None)
    is_broken = False
    for start, is_whole in _object_starts(text):
        members = _members(text, start, solutions, is_whole=is_whole)
        verdict = _from_members(members or [])
        if verdict is not None:
            return verdict
        is_broken |= is_whole and members is None
    return _from_text(text, solutions, is_broken=is_broken)


def _from_text(text: str, solutions: tuple[str, str], *, is_broken: bool) -> Verdict:
    """The verdict by the strongest signs in a text; in an object that is not valid JSON, only by a sign on its own line."""
    cut = max(0, len(text) - _HEAD - _TAIL)
    near = f"{text[:_HEAD]}{text[_HEAD + cut :]}"
    plain = without_quotations(plain_letters(near), solutions)
    sign = _deciding(signs(plain), plain)
    if is_broken and not (sign and sign.alone):
        return Verdict(None, VerdictStatus.BROKEN_JSON, None)
    if sign is None:
        return Verdict(None, VerdictStatus.NO_VERDICT, None)
    moved = cut if sign.start >= _HEAD else 0
    return _verdict(sign.says, _reasoning(text, sign.start + moved, sign.end + moved, is_alone=sign.alone))


def _verdict(says: Says, reasoning: str | None) -> Verdict:
    match says:
        case Says.FIRST:
            return Verdict(1, VerdictStatus.OK, reasoning)
        case Says.SECOND:
            return Verdict(2, VerdictStatus.OK, reasoning)
        case Says.TIE:
            return Verdict(None, VerdictStatus.TIE, reasoning)
        case Says.BOTH:
            return Verdict(None, VerdictStatus.CONTRADICTORY, reasoning)


def _deciding(found: list[Sign], plain: str) -> Sign | None:
    """The last of the strongest signs; mere hints count only if all agree and one is in the last paragraph."""
    if not found:
        return None
    strongest = max(sign.strength for sign in found)
    last = [sign for sign in found if sign.strength is strongest][-1]
    if strongest is not Strength.HINT:
        return last
    solutions = [sign for sign in found if sign.says is not Says.TIE] or found
    last_paragraph = plain.rstrip().rfind("\n\n")
    if len({sign.says for sign in solutions}) > 1 or last.says is Says.BOTH or last.start < last_paragraph:
        return None
    return last


def _reasoning(text: str, start: int, end: int, *, is_alone: bool) -> str | None:
    """The text above the verdict's line, or else below it; the whole text where the verdict is part of a sentence."""
    if is_alone:
        above = _without_header(text[: text.rfind("\n", 0, start) + 1])
        text = above or text[end:].partition("\n")[2]
    return _without_header(text) or None


def _without_header(text: str) -> str:
    """The text without the header of the reasoning, and without one half of a fence that the verdict's line has split."""
    header = _HEADER.match(text)
    text = text[header.end() if header else 0 :].strip()
    fences = list(FENCE.finditer(text))
    if len(fences) % 2 and fences[0].start() == 0:
        return text[fences[0].end() :].strip()
    if len(fences) % 2 and fences[-1].end() == len(text):
        return text[: fences[-1].start()].strip()
    return text


def _object_starts(text: str) -> list[tuple[int, bool]]:
    """Where a JSON object with the verdict may start, and whether the reply starts with it."""
    starts = [(whole.end(), True) for whole in [_OBJECT_START.match(text)] if whole]
    last = deque(_OBJECT.finditer(text), maxlen=1)
    return [*starts, *((start.start(), False) for start in last)]


def _members(text: str, start: int, solutions: tuple[str, str], *, is_whole: bool) -> list[tuple[str, object]] | None:
    """All members of the object that starts there, inner ones first; None when it is not valid JSON.

    Of an object that is not valid, only members that are a verdict count. An object that the reply does not start with has
    to end it, and must not be a student's.
    """
    members: list[tuple[str, object]] = []
    decoder = json.JSONDecoder(object_pairs_hook=members.extend, strict=False, parse_int=str, parse_float=str)
    try:
        _, stop = decoder.raw_decode(text, start)
    except (ValueError, RecursionError):
        found = list(_MEMBER.finditer(text, start)) if is_whole else []
        return [
            (match["key"], match["value"]) for match in found if _VERDICT_KEY.fullmatch(_letters(match["key"]))
        ] or None
    is_theirs = any(text[start:stop] in solution for solution in solutions)
    return members if is_whole or not (is_theirs or text[stop:].strip(" \t\r\n`~}.*")) else []


def _from_members(members: list[tuple[str, object]]) -> Verdict | None:
    """The verdict under the last key of a verdict whose value can be read."""
    verdicts = [value for key, value in members if _VERDICT_KEY.fullmatch(_letters(key))]
    reasons = [value for key, value in members if _REASONING_KEY.fullmatch(_letters(key)) and isinstance(value, str)]
    reasoning = encodable(reasons[-1]).strip() or None if reasons else None
    for value in reversed(verdicts[-_MEMBERS_READ:]):
        says = _said_by(value[0] if isinstance(value, list) and len(value) == 1 else value)
        if says is not None:
            return _verdict(says, reasoning)
    return None


def _said_by(value: object) -> Says | None:
    if not isinstance(value, str):
        return None
    if match := _VALUE.fullmatch(value):
        return Says.FIRST if match["first"] else Says.SECOND
    plain = plain_letters(value[-_TAIL:])
    sign = _deciding(signs(plain), plain)
    return sign.says if sign else None


def _letters(key: str) -> str:
    return re.sub(r"[\W_0-9]", "", key).casefold()
