"""Small questions about texts that several readers ask: can it be written, and where does a model's thinking end."""

import re

_THINKING = re.compile(r"\s*+<think(?:ing)?>", re.IGNORECASE)
_THOUGHT = re.compile(r"</think(?:ing)?>", re.IGNORECASE)


def is_encodable(text: str) -> bool:
    """Whether a text can be sent and stored: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def without_thinking(answer: str, student: str = "") -> str | None:
    """The answer after the blocks that a reasoning model thinks in; None when one that starts it is never closed.

    Some servers swallow the opening tag. A closing tag alone then ends the thinking, unless the student wrote of it too.
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
