"""Texts as filters compare them: the text of a prompt, prose without its code, and lower-cased words."""

import re
from collections.abc import Mapping, Sequence

from clairgen.patterns import lazy_pattern
from clairgen.records import Message

_FENCE = lazy_pattern(r"[ \t]*(`{3,}|~{3,})[ \t]*([^\s`~]*)")
_INLINE_CODE = lazy_pattern(r"`[^`\n]+`")
_WORD = lazy_pattern(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


def prompt_text(prompt: Sequence[Message]) -> str:
    """All messages of a prompt except the system message, which all tasks of a run may share."""
    return "\n\n".join(message.content for message in prompt if message.role != "system")


def fenced(text: str) -> list[tuple[str, str]]:
    """The fenced blocks of a text, each with its language tag; a fence that is never closed reaches to the end."""
    return _split(text)[1]


def prose(text: str) -> str:
    """A text without its fenced and inline code."""
    if "```" in text or "~~~" in text:
        text = _split(text)[0]
    return _INLINE_CODE.sub(" ", text) if "`" in text else text


def _split(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The text outside the fences, and the blocks; line by line, since one pattern for all takes too long on some texts."""
    outside: list[str] = []
    blocks: list[tuple[str, list[str]]] = []
    mark = ""
    for line in text.splitlines(keepends=True):
        fence = _FENCE.match(line)
        if mark:
            if fence and fence[1].startswith(mark) and not line[fence.end() :].strip() and not fence[2]:
                mark = ""
            else:
                blocks[-1][1].append(line)
        elif fence and "`" not in line[fence.end(1) :]:
            mark = fence[1]
            blocks.append((fence[2].lower(), []))
        else:
            outside.append(line)
    return "".join(outside), [(tag, "".join(lines)) for tag, lines in blocks]


def words(text: str) -> list[str]:
    """Lower-cased runs of letters and digits; in Chinese and Japanese each character is a word."""
    return _WORD.findall(text.lower())


def shingles(tokens: Sequence[str], length: int) -> list[str]:
    """All runs of `length` words; one run if there are fewer words, none if there are none."""
    if not tokens:
        return []
    return [" ".join(tokens[start : start + length]) for start in range(max(1, len(tokens) - length + 1))]


def straight(text: str) -> str:
    """A text as phrases are compared: with straight apostrophes, in lower case, all whitespace a single space."""
    return " ".join(text.replace("\u2019", "'").lower().split())


_SLOT = lazy_pattern(r"<([a-z]+)>")


def phrase_pattern(templates: Sequence[str], lists: Mapping[str, str], flags: int = 0) -> re.Pattern[str]:
    """One pattern of all templates. `<name>` stands for any entry of `lists[name]`, which are separated by commas.

    An entry may be a pattern, and may contain other lists. Round brackets in a template group and never capture.
    """

    def alternatives(match: re.Match[str]) -> str:
        return "(?:" + "|".join(filled(entry.strip()) for entry in lists[match[1]].split(",")) + ")"

    def filled(template: str) -> str:
        return _SLOT.sub(alternatives, template)

    def whole() -> str:
        # A bracket becomes a group that does not capture, unless it is escaped or is already a special group.
        return re.sub(r"(?<!\\)\((?!\?)", "(?:", "|".join(filled(template) for template in templates))

    return lazy_pattern(whole, flags)
