"""Where a message or a chunk of a stream has its text and its thoughts, and where no text may be, since it would be lost."""

import json
from collections.abc import Mapping
from typing import Any

from clairgen.errors import RetryableError
from clairgen.inference.json_bodies import raw_text
from clairgen.patterns import lazy_pattern

REASONING = ("reasoning_content", "reasoning", "thinking")
"""Fields of a message, or of a delta, that hold what the model thought before it answered."""
OF_A_DELTA = frozenset({"content", "role", "refusal", "tool_calls", "function_call", *REASONING})
"""Fields of a delta that are known; one that has none of them is looked at closely."""
_ELSEWHERE = frozenset({"delta", "content", "text", "response", "output_text"})
_NO_TEXT = lazy_pattern(
    r"id$|^(object|model|type|created|finish_reason|stop_reason|service_tier|system_fingerprint|obfuscation|name|index)$"
)
"""Names of fields that hold a text and never one of the answer."""
_NOT_THE_MODEL = frozenset({"user", "system", "developer", "tool", "function"})
_NOT_THE_ANSWER = lazy_pattern(
    r"think|reason|image|audio|video|file|document|refusal|tool|reference|citation|signature|search|source|grounding|annotation|meta"
)
"""Types of parts, and fields, that are not the text of an answer."""
_DEEPEST = 3
_THOUGHT_PARTS = lazy_pattern(r"think|reason")
"""Types of parts that hold thoughts."""
_INSIDE_THOUGHTS = ("thinking", "reasoning", "reasoning_content", "text", "content", "summary")
"""Where a part or an object with thoughts has them, in the order in which it is looked there."""


def unreadable(why: str) -> RetryableError:
    """A stream that holds something that may be a part of the answer and cannot be read."""
    return RetryableError("unreadable-stream", f"the stream cannot be read: {why}", status=200, billed=True)


def thoughts_of(message: Mapping[str, Any]) -> str:
    """What the model thought, where a message or a delta has it apart from its text: a field, or parts of its content.

    Of several fields the first with a text counts, since servers send the same thoughts under two names. Halves of surrogate
    pairs stay.
    """
    fields = (_inside(message.get(name)) for name in (*REASONING, "reasoning_details"))
    return next(filter(None, fields), "") or thoughts_in_parts(message.get("content"))


def thoughts_in_parts(content: Any) -> str:  # noqa: ANN401 - parsed JSON
    """The thoughts in a list of parts, such as Mistral's; empty for anything else."""
    parts = content if isinstance(content, list) else ()
    return "".join(
        _inside(part)
        for part in parts
        if isinstance(part, dict) and _THOUGHT_PARTS.search(str(part.get("type", "")).lower()) is not None
    )


def _inside(value: Any, depth: int = 0) -> str:  # noqa: ANN401 - parsed JSON
    if isinstance(value, str) or depth > _DEEPEST:
        return value if isinstance(value, str) else ""
    if isinstance(value, list):
        return "".join(_inside(one, depth + 1) for one in value)
    if not isinstance(value, dict):
        return ""
    return next(filter(None, (_inside(value.get(name), depth + 1) for name in _INSIDE_THOUGHTS)), "")


def content_of(message: dict[str, Any]) -> str:
    """The text of a delta or a message. Raises RetryableError for one in a form that is not known, which would be lost."""
    content = message.get("content")
    if content is not None and not isinstance(content, str | list):
        raise unreadable(f"a piece of its text is {json.dumps(content)[:100]}, not a text")
    for part in content if isinstance(content, list) else ():
        kind = part.get("type", "text") if isinstance(part, dict) else "text"
        if not raw_text([part]) and part not in ("", None) and not _is_known_part(part, str(kind)):
            raise unreadable(f"a part of it is {json.dumps(part)[:100]}, which is not known")
    if content and str(message.get("role")) in _NOT_THE_MODEL:
        raise unreadable(f"a piece of it is said by the role {message['role']!r}, not by the model")
    return raw_text(content)


def _is_known_part(part: Any, kind: str) -> bool:  # noqa: ANN401 - parsed JSON
    """Whether a part without a text is one that has none, or is not the answer."""
    return _NOT_THE_ANSWER.search(kind.lower()) is not None or (isinstance(part, dict) and part.get("text") == "")


def require_known(fields: dict[str, Any]) -> None:
    """Raise RetryableError for a choice or a delta that has a text where none belongs."""
    if (name := next((name for name in fields if _may_hold_text(name, fields[name])), None)) is not None:
        raise unreadable(f"a piece of it has a text in the field {name[:40]!r}, which is not known")


def _may_hold_text(name: str, value: Any, depth: int = 0) -> bool:  # noqa: ANN401 - parsed JSON
    """Whether a field that is not known may hold a piece of the answer: a text, or something with a `content`."""
    if _NO_TEXT.search(name) or _NOT_THE_ANSWER.search(name) or depth > _DEEPEST:
        return False
    if isinstance(value, str):
        return bool(value) and (depth == 0 or name == "content")
    if isinstance(value, list):
        return any(_may_hold_text(name, one, depth + 1) for one in value[:8])
    return isinstance(value, dict) and any(_may_hold_text(key, one, depth + 1) for key, one in value.items())


def text_outside(chunk: dict[str, Any]) -> str | None:
    """The field of a chunk without choices that may hold a piece of the answer all the same."""
    named = (name for name, value in chunk.items() if name in _ELSEWHERE or not isinstance(value, str))
    return next((name for name in named if _may_hold_text(name, chunk[name])), None)
