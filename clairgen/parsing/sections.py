"""The forms in which models write an identifier: where it heads a section, where a section ends, what wraps one.

The reviser prompt asks for `{teacher_reasoning}` and `{corrected_student_solution}`. Everything here is linear in the text:
runs are matched possessively, and no pattern looks at the same character twice.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_BETWEEN_WORDS = r"(?:\\{0,2}_|-|[ \t]{1,2})?"
_LINE_START = r"^[ \t\u00a0\ufeff>]*+(?:(?:\d{1,3}[.)]|[-*+•])[ \t]+)?+"
_IN_LINE = r"(?:(?<=[.!?。])[\"'”’)*]*+[ \t]|(?<=</teacher_reasoning>))"
_OPENED = r"(?P<opened>[#*_`~{\[<(\\【「 \t]*+)"
_CLOSED = r"(?![^\W_])(?P<closed>(?:[ \t]*+\\{0,2}[}\])>】」])*+)"
_TAG_START = "<[{(\\"
_EMPHASIS = "*_`~"
_GOES_ON_A_SENTENCE = ",.;!?)'’/&|…"
_PLAIN_FENCES = {"", "md", "markdown", "plain", "plaintext", "text", "txt"}

_FENCE = re.compile(r"^[ \t]*+(?P<mark>`{3,}+|~{3,}+)(?P<info>[^`\n]*+)$", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*+-{3,}+[ \t\r]*+$", re.MULTILINE)


class Identifier:
    """One of the prompt's identifiers, with the patterns that find it in an answer."""

    def __init__(self, name: str) -> None:
        words = _BETWEEN_WORDS.join(word.replace("student", r"student(?:['’]s)?") for word in name.split("_"))
        named = f"{_OPENED}(?P<name>{words}){_CLOSED}"
        self._at_line_start = re.compile(_LINE_START + named, re.IGNORECASE | re.MULTILINE)
        self._in_line = re.compile(_IN_LINE + named, re.IGNORECASE)
        self._closing_tag = re.compile(rf"/[ \t]*+({words})[ \t]*+[>\]}})]", re.IGNORECASE)
        self._mention = re.compile(name.replace("_", r"\\{0,2}_"), re.IGNORECASE)

    def headers(self, text: str) -> list["Header"]:
        """Every place where this identifier may head a section, in order; not where a sentence merely names it."""
        closings = self.closings(text)
        found = (_header(text, match, closings) for match in self._at_line_start.finditer(text))
        return [header for header in found if header is not None]

    def headers_in_line(self, text: str) -> list["Header"]:
        """Headers with markup that follow a sentence in its line, with a colon or as a tag: for answers in one line."""
        closings = self.closings(text)
        found = (_header(text, match, closings) for match in self._in_line.finditer(text) if match["opened"].strip())
        return [header for header in found if header is not None and header.sure]

    def closings(self, text: str) -> list[int]:
        """Where closing tags of this identifier start, such as `</teacher_reasoning>`."""
        slashes = [match.start() for match in self._closing_tag.finditer(text)]
        return [_run_start(text, slash) for slash in slashes if slash > 0 and text[slash - 1] in _TAG_START]

    def is_mentioned(self, text: str) -> bool:
        """Whether the identifier stands anywhere in the text, as the prompt spells it."""
        return self._mention.search(text) is not None


@dataclass(frozen=True, slots=True)
class Header:
    """A header that starts at `start`, its section at `end`.

    `exact` is whether its words are joined as in the prompt, not by spaces. `sure` is whether it stands alone on its line
    or has a colon or a closing tag; one that is not sure has markup and is followed by what looks like a new sentence.
    """

    start: int
    end: int
    exact: bool
    sure: bool


def _header(text: str, match: re.Match[str], closings: list[int]) -> Header | None:
    opened, exact = match["opened"].strip(), not any(character.isspace() for character in match["name"])
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
    """Where the header's line goes on after its own emphasis and colon, and whether there was a colon.

    Only as much emphasis is taken as the header opened: what follows may itself start with bold text.
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


def without_wrapping(section: str, before: str, rejected: str) -> str:
    """The solution without a fence or a rule that the reviser put around it; what the answer itself needs stays.

    `before` is what precedes the section and `rejected` the student's answer, which together show whose markup it is.
    """
    solution = section.strip()
    if _is_open(before):
        solution = _without_dangling_fence(solution)
    return _unfenced(_without_trailing_rule(solution, rejected), rejected).strip()


def without_separators(section: str) -> str:
    """The reasoning without the rule and the fence lines that lead over to the solution."""
    reasoning = section.strip()
    for _ in range(2):
        head, _, last = reasoning.rpartition("\n")
        if _RULE.fullmatch(last) or (_FENCE.fullmatch(last) and not _is_open(head)):
            reasoning = head.rstrip()
    return reasoning


def _without_trailing_rule(solution: str, rejected: str) -> str:
    """A last line of hyphens goes, unless it closes what other rules or a fence opened, or the student ended so too."""
    head, _, last = solution.rpartition("\n")
    if _RULE.fullmatch(last) is None or _RULE.search(head) or _is_open(head):
        return solution
    return solution if _RULE.fullmatch(rejected.rstrip().rpartition("\n")[2]) else head.rstrip()


def _unfenced(solution: str, rejected: str) -> str:
    """A fence around the whole solution goes, unless it names a language or the student's answer was fenced as well."""
    fences = _whole_fence(solution)
    if fences is None or _info(fences[0]) not in _PLAIN_FENCES or _whole_fence(rejected.strip()) is not None:
        return solution
    return solution[fences[0].end() : fences[1].start()]


def _whole_fence(text: str) -> tuple[re.Match[str], re.Match[str]] | None:
    """The first and the last line of a fence that holds the whole text."""
    fences = list(_FENCE.finditer(text))
    if len(fences) < 2 or fences[0].start() > 0 or fences[-1].end() < len(text):
        return None
    *inner, outer = _depths(fences)
    return (fences[0], fences[-1]) if outer == 0 and all(inner) else None


def _without_dangling_fence(solution: str) -> str:
    """The solution without the second half of a fence that was opened before it."""
    fences = list(_FENCE.finditer(solution))
    depths = list(_depths(fences))
    if not depths or depths[-1] == 0:
        return solution
    if fences[-1].end() == len(solution) and not _info(fences[-1]) and depths[-1] == 1:
        return solution[: fences[-1].start()].rstrip()
    return solution[fences[0].end() :] if fences[0].start() == 0 and not _info(fences[0]) else solution


def _is_open(text: str) -> bool:
    """Whether a fence in the text is not closed in it."""
    depth = 0
    for depth in _depths(_FENCE.finditer(text)):  # noqa: B007 - the last depth counts
        pass
    return depth > 0


def _depths(fences: Iterable[re.Match[str]]) -> Iterator[int]:
    """How many fences are open after each fence line; unlike Markdown, models nest fences and close each of them."""
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
