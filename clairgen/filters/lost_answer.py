"""The filter `lost_answer`: the rejected answer has a result or code, and its revision has neither it nor another instead."""

import re

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Marking
from clairgen.filters.text import fenced, prose
from clairgen.patterns import lazy_pattern, matches_at_signs

_NUMBER = r"[-−]?[$€£]?\s?\d[\d,.\u202f ]*+(?:/\d++)?"
_STATED = lazy_pattern(
    r"\\boxed\{(?P<box>[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+)\}|^####[ \t]*+(?P<hash>\S[^\n]*)$"
    r"|\b(?:answer|result|total|sum|product|solution|value)\b[^\n.:=?]{0,60}?(?:\bis|\bare|:|=|\bequals)\s*+\**+\s*+"
    rf"(?P<said>{_NUMBER})"
    rf"|(?:=|≈)\s*+\**+(?P<equals>{_NUMBER})[^\n=]{{0,30}}\Z",
    re.IGNORECASE | re.MULTILINE,
)
_STATED_SIGNS = (r"\boxed{", "####", "answer", "result", "total", "sum", "product", "solution", "value", "=", "≈")
"""Each match begins with one of them."""
_SHORT = 60
_LIST_MARK = lazy_pattern(r"^[ \t>*#-]*+(?:step )?\d++[.):]", re.IGNORECASE | re.MULTILINE)
_ANY_NUMBER = lazy_pattern(
    r"\d|[½¼¾²³π∞√]|\b(?:zero|none|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|"
    r"fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion|half|once|twice|dozen|infinity|infinite)\b",
    re.IGNORECASE,
)
_CODE_LINE = lazy_pattern(
    r"^\s*(?:[^\s*#>-].*[=()\[\]{}].*;|[^\s*#>-].*\)\s*\{|\}[;,)]*|(?:def|function|fn|func)\b.*\(.*|class \w+\s*[:({].*"
    r"|import [\w.{*]+.*|from [\w.]+ import .*|(?:const|let|var) \w+ ?=.*|#include\b.*|using [\w. ]+;"
    r"|(?:if|for|while|with|elif) .*(?: in |[=<>!]=|[<>(]).*:|\w[\w.\[\]]* ?[+*/-]?= ?\S+\(.*|[\w.]+\(.*\);?"
    r"|(?:SELECT|INSERT|UPDATE|CREATE|DELETE|FROM|WHERE) .*|(?:print|console\.log|printf|echo)\b ?[(\"'].*"
    r"|</?[a-z][\w-]*(?: [^>]*)?>.*)\s*$"
)
_PLAIN = ("text", "txt", "plaintext", "plain", "markdown", "md")
_FEW_CODE_LINES = 3
_LONGEST_CODE_LINE = 300
_LINES_LOOKED_FOR = 200
"""So many lines of code are looked for inside the lines of the revision, which keeps the filter linear in the text."""


def loses_answer(candidate: Candidate) -> Fault | None:
    """The result or the code is gone and nothing is in its place; the value is what was lost."""
    pair = candidate.pair
    if not pair.chosen.text.strip():
        return None
    lost = _lost_code(pair.rejected.text, pair.chosen.text) or _lost_result(pair.rejected.text, pair.chosen.text)
    return Fault("lost-answer", lost) if lost else None


def _lost_code(rejected: str, chosen: str) -> str | None:
    blocks = [block for tag, block in fenced(rejected) if (tag and tag not in _PLAIN) or _code_lines(block)]
    if not blocks and _code_lines(rejected) < _FEW_CODE_LINES:
        return None
    if fenced(chosen) or _code_lines(chosen):
        return None
    return None if _any_mostly_kept(blocks, chosen) else "code"  # if it is, only the fence was removed


def _lost_result(rejected: str, chosen: str) -> str | None:
    result = final_result(rejected)
    if result is None or result in chosen:
        return None
    if _STATED.search(chosen) or _ANY_NUMBER.search(_LIST_MARK.sub("", chosen)):
        return None
    return result


def final_result(answer: str) -> str | None:
    """The result that an answer states last: boxed, after `####`, as "the answer is 42", or as a short answer."""
    text = prose(answer).strip()
    stated = list(matches_at_signs(_STATED, text, _STATED_SIGNS))
    if stated:
        found = next(group for group in reversed(stated[-1].groups()) if group is not None)
        return found.strip(" .,*\u202f")
    if len(text) <= _SHORT and (number := re.search(_NUMBER, text)):
        return number[0].strip(" .,*\u202f")
    return None


def _code_lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if len(line) <= _LONGEST_CODE_LINE and _CODE_LINE.match(line))


def _lines(block: str) -> list[str]:
    return [line.strip() for line in block.splitlines() if line.strip()]


def _any_mostly_kept(blocks: list[str], chosen: str) -> bool:
    """Whether half of the lines of a block are in the revision, as lines of its own or inside of one."""
    kept = dict.fromkeys(_lines(chosen), True)
    looked_for = 0
    for lines in map(_lines, blocks):
        for line in lines:
            if line not in kept:
                kept[line] = looked_for < _LINES_LOOKED_FOR and line in chosen
                looked_for += 1
        if sum(kept[line] for line in lines) * 2 >= len(lines):
            return True
    return False


LOST_ANSWER = Filter(
    name="lost_answer",
    options=Marking,
    summary="Revisions without any result or code where the target's answer had one.",
    prepare=always(loses_answer),
    only_revisions=True,
)
