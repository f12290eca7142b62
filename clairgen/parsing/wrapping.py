"""Fences and rules around a solution: those that the reviser put there are removed, those of the answer itself stay."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from clairgen.patterns import lazy_pattern

PLAIN_FENCES: Final = frozenset({"", "md", "markdown", "plain", "plaintext", "text", "txt"})
"""What a fence may name after its mark that is not a language of code."""

_FENCE = lazy_pattern(r"^[ \t]*+(?P<mark>`{3,}+|~{3,}+)(?P<info>[^`\n]*+)$", re.MULTILINE)
_RULE = lazy_pattern(r"^[ \t]*+-{3,}+[ \t\r]*+$", re.MULTILINE)


def without_wrapping(section: str, before: str, rejected: str) -> str:
    """The solution without a fence or a rule that the reviser put around it; markup of the answer itself stays.

    `before` is the text before the section and `rejected` the target's answer, which together show whose markup it is.
    """
    solution = section.strip()
    if _is_open(before):
        solution = _without_dangling_fence(solution)
    return _unfenced(_without_trailing_rule(solution, rejected), rejected).strip()


def without_separators(section: str) -> str:
    """The reasoning without a rule and fence lines at its end, which separate it from the solution."""
    reasoning = section.strip()
    for _ in range(2):
        head, _, last = reasoning.rpartition("\n")
        if _RULE.fullmatch(last) or (_FENCE.fullmatch(last) and not _is_open(head)):
            reasoning = head.rstrip()
    return reasoning


def _without_trailing_rule(solution: str, rejected: str) -> str:
    """Without a last line of hyphens, unless other rules or an open fence precede it, or the target's answer ends so too."""
    head, _, last = solution.rpartition("\n")
    if _RULE.fullmatch(last) is None or _RULE.search(head) or _is_open(head):
        return solution
    return solution if _RULE.fullmatch(rejected.rstrip().rpartition("\n")[2]) else head.rstrip()


def _unfenced(solution: str, rejected: str) -> str:
    """Without a fence around the whole solution, unless it names a language or the target's answer is fenced as well."""
    fences = _whole_fence(solution)
    if fences is None or _info(fences[0]) not in PLAIN_FENCES or _whole_fence(rejected.strip()) is not None:
        return solution
    return solution[fences[0].end() : fences[1].start()]


def _whole_fence(text: str) -> tuple[re.Match[str], re.Match[str]] | None:
    """The first and the last line of a fence around the whole text; None without one."""
    fences = _fences(text)
    if len(fences) < 2 or fences[0].start() > 0 or fences[-1].end() < len(text):
        return None
    *inner, outer = _depths(fences)
    return (fences[0], fences[-1]) if outer == 0 and all(inner) else None


def _without_dangling_fence(solution: str) -> str:
    """The solution without the other half of a fence that was opened before it."""
    fences = _fences(solution)
    depths = list(_depths(fences))
    if not depths or depths[-1] == 0:
        return solution
    if fences[-1].end() == len(solution) and not _info(fences[-1]) and depths[-1] == 1:
        return solution[: fences[-1].start()].rstrip()
    return solution[fences[0].end() :] if fences[0].start() == 0 and not _info(fences[0]) else solution


def _fences(text: str) -> list[re.Match[str]]:
    return list(_FENCE.finditer(text)) if "```" in text or "~~~" in text else []


def _is_open(text: str) -> bool:
    """Whether a fence in the text is not closed in it."""
    depth = 0
    for depth in _depths(_fences(text)):  # noqa: B007 - the last depth counts
        pass
    return depth > 0


def _depths(fences: Iterable[re.Match[str]]) -> Iterator[int]:
    """The number of open fences after each fence line; unlike Markdown, models nest fences and close each of them."""
    opened: list[str] = []
    for fence in fences:
        mark, info = fence.groups()
        if opened and mark.startswith(opened[-1]) and (not info or info.isspace()):
            opened.pop()
        else:
            opened.append(mark)
        yield len(opened)


def _info(fence: re.Match[str]) -> str:
    return fence["info"].strip().casefold()
