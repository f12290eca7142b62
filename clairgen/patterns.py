"""Regular expressions that are compiled when they are first used: a command uses few of all, which take long to compile.

Also where they need not be tried, since trying one at every place of a text takes longer than all else that is done with it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast


def lazy_pattern(source: str | Callable[[], str], flags: int = 0) -> re.Pattern[str]:
    """A pattern, or what returns its source, compiled at its first use. Its methods are those of a compiled pattern."""
    return cast("re.Pattern[str]", _LazyPattern(source, flags))


def matches_at_signs(pattern: re.Pattern[str], text: str, signs: Sequence[str]) -> Iterator[re.Match[str]]:
    """What `pattern.finditer(text)` gives for a pattern whose matches begin with one of `signs`, tried only there.

    The signs are in lower case; the pattern may ignore it.
    """
    folded, places, end = _as_ignoring_case(text), list[int](), 0
    for sign in signs:
        place = folded.find(sign)
        while place >= 0:
            places.append(place)
            place = folded.find(sign, place + 1)
    for place in sorted(places):
        if place >= end and (match := pattern.match(text, place)):
            end = match.end()
            yield match


def matches_on_lines_with(pattern: re.Pattern[str], text: str, sign: str) -> Iterator[re.Match[str]]:
    """The same for a pattern that matches from the start of a line, never beyond it, and has `sign` in every match."""
    folded = _as_ignoring_case(text)
    place = folded.find(sign)
    while place >= 0:
        if match := pattern.match(text, folded.rfind("\n", 0, place) + 1):
            yield match
        end_of_line = folded.find("\n", place)
        place = folded.find(sign, end_of_line) if end_of_line >= 0 else -1


def _as_ignoring_case(text: str) -> str:
    """A text with its ASCII letters, and all that `re.IGNORECASE` takes for one, in lower case; each character in its place."""
    if not text.isascii():
        for other, letter in ("\u0130", "i"), ("\u0131", "i"), ("\u017f", "s"), ("\u212a", "k"):
            text = text.replace(other, letter)
    return text.lower()


class _LazyPattern:
    """Takes over the methods of the compiled pattern at the first use, so that later ones are as fast as the pattern's own."""

    def __init__(self, source: str | Callable[[], str], flags: int) -> None:
        self._source = source
        self._flags = flags

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the pattern has
        source = self._source if isinstance(self._source, str) else self._source()
        compiled = re.compile(source, self._flags)
        for method in ("search", "match", "fullmatch", "finditer", "findall", "sub", "split"):
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)
