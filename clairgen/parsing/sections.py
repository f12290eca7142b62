"""Headers of sections: where an answer has one of the reviser prompt's identifiers, in the forms in which models write it.

The prompt asks for `{teacher_reasoning}` and `{corrected_student_solution}`. Everything here is linear in the text: runs are
matched possessively, and no pattern looks at the same character twice.
"""

import re
from collections import Counter
from dataclasses import dataclass

from clairgen.patterns import lazy_pattern, matches_on_lines_with

_BETWEEN_WORDS = r"(?:\\{0,2}_|-|[ \t]{1,2})?"
_LINE_START = r"^[ \t\u00a0\ufeff>]*+(?:(?:\d{1,3}[.)]|[-*+•])[ \t]+)?+"
_IN_LINE = r"(?:(?<=[.!?。])[\"'”’)*]*+[ \t]|(?<=</teacher_reasoning>))"
_OPENED = r"(?P<opened>[#*_`~{\[<(\\【「 \t]*+)"
_CLOSED = r"(?![^\W_])(?P<closed>(?:[ \t]*+\\{0,2}[}\])>】」])*+)"
_TAG_START = "<[{(\\"
_EMPHASIS = "*_`~"
_GOES_ON_A_SENTENCE = ",.;!?)'’/&|…"


class Identifier:
    """One of the prompt's identifiers, with the patterns that find it in an answer."""

    def __init__(self, name: str) -> None:
        words = _BETWEEN_WORDS.join(word.replace("student", r"student(?:['’]s)?") for word in name.split("_"))
        named = f"{_OPENED}(?P<name>{words}){_CLOSED}"
        self._first_word = name.split("_")[0]
        self._at_line_start = lazy_pattern(_LINE_START + named, re.IGNORECASE | re.MULTILINE)
        self._in_line = lazy_pattern(_IN_LINE + named, re.IGNORECASE)
        self._closing_tag = lazy_pattern(rf"/[ \t]*+({words})[ \t]*+[>\]}})]", re.IGNORECASE)
        self._mention = lazy_pattern(name.replace("_", r"\\{0,2}_"), re.IGNORECASE)

    def headers(self, text: str) -> list["Header"]:
        """All headers of this identifier, in order; a sentence that merely names it is not one."""
        closings = self.closings(text)
        matches = matches_on_lines_with(self._at_line_start, text, self._first_word)
        found = (_header(text, match, closings) for match in matches)
        return [header for header in found if header is not None]

    def headers_in_line(self, text: str) -> list["Header"]:
        """Headers with markup after a sentence on the same line, with a colon or as a tag: for answers without line breaks."""
        closings = self.closings(text)
        found = (_header(text, match, closings) for match in self._in_line.finditer(text) if match["opened"].strip())
        return [header for header in found if header is not None and header.sure]

    def closings(self, text: str) -> list[int]:
        """The positions at which closing tags of this identifier start, such as `</teacher_reasoning>`."""
        slashes = [match.start() for match in self._closing_tag.finditer(text)]
        return [_run_start(text, slash) for slash in slashes if slash > 0 and text[slash - 1] in _TAG_START]

    def is_mentioned(self, text: str) -> bool:
        """Whether the identifier is anywhere in the text, as the prompt spells it."""
        return self._mention.search(text) is not None


@dataclass(frozen=True, slots=True)
class Header:
    """A header from position `start` to `end`, where its section starts.

    `exact` is whether its words are joined as in the prompt, not by spaces. `sure` is whether it is alone on its line or has a
    colon or a closing tag; one that is not sure has markup, and what follows looks like a new sentence.
    """

    start: int
    end: int
    exact: bool
    sure: bool


def _header(text: str, match: re.Match[str], closings: list[int]) -> Header | None:
    opened, exact = match["opened"].strip(), len(match["name"].split()) == 1
    end, has_colon = _after_markup(text, match.end("closed"), opened)
    following = text[end : end + 1]
    is_tag = "<" in opened and bool(closings) and closings[-1] >= end
    if has_colon or is_tag or not following or following in "\r\n":
        return Header(match.start(), end, exact, sure=True)
    if opened and not following.islower() and following not in _GOES_ON_A_SENTENCE:
        return Header(match.start(), end, exact, sure=False)
    return None


def _run_start(text: str, position: int) -> int:
    while position > 0 and text[position - 1] in _TAG_START:
        position -= 1
    return position


def _after_markup(text: str, position: int, opened: str) -> tuple[int, bool]:
    """The position after the header's own emphasis and colon, and whether there was a colon.

    Only as much emphasis is skipped as the header opened: what follows may itself start with bold text.
    """
    unclosed, has_colon = Counter(opened), False
    while position < len(text):
        character = text[position]
        if character in _EMPHASIS and unclosed[character] > 0:
            unclosed[character] -= 1
        elif character in ":：–—" and not has_colon:
            has_colon = True
        elif character not in " \t":
            break
        position += 1
    return position, has_colon
