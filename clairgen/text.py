"""Whether a text can be encoded, and where a reasoning model's thinking ends."""

import re

_THINKING = re.compile(r"\s*+<think(?:ing)?>", re.IGNORECASE)
_THOUGHT = re.compile(r"</think(?:ing)?>", re.IGNORECASE)


def is_encodable(text: str) -> bool:
    """Whether a text can be sent and stored; one with half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def encodable(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which JSON can spell and UTF-8 cannot encode."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def without_thinking(answer: str, student: str = "") -> str | None:
    """The answer after the blocks of a reasoning model's thinking; None if a block at its start is never closed.

    Some servers omit the opening tag. A closing tag alone then ends the thinking, unless the student wrote it too.
    """
    position = 0
    while thinking := _THINKING.match(answer, position):
        thought = _THOUGHT.search(answer, thinking.end())
        if thought is None:
            return None
        position = thought.end()
    text = answer[position:]
    stray = _THOUGHT.search(text)
    if stray is None or "<think" in text[: stray.start()] or stray.group() in student:
        return text
    return text[stray.end() :]
