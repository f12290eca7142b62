"""Texts from outside: whether they can be encoded, the white space around them, and JSON that says one thing only."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Final

_OUTSIDE: Final = re.compile(r"\A(?:[^\S\n]*\n)*(?: (?=\S))?")


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


def trimmed(text: str) -> str:
    """The text without blank lines and a single space before it, and without white space after it.

    Models of one family, or their servers, begin every answer with a space or a blank line, which says nothing. An indentation
    of the first line stays: code may begin with it.
    """
    text = text.rstrip()
    outside = _OUTSIDE.match(text) if text[:1].isspace() else None
    return text if outside is None else text[outside.end() :]


def strict_json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON value
    """The value of a JSON text. Raises ValueError, with the reason, also for what other readers pass over.

    That is a key that an object has twice, of which they keep the last, and the words NaN and Infinity, which JSON does not have.
    """
    words: list[str] = []

    def constant(word: str) -> float:
        words.append(word)
        return float(word)

    content = json.loads(text, object_pairs_hook=_object, parse_constant=constant)
    if words:
        raise ValueError(f"it has {words[0]}{_where_no_number(content)}, which is not JSON; write null")
    return content


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has the key {twice[:80]!r} twice in one object; keep one")
    return content


def _where_no_number(content: Any, key: str = "") -> str:  # noqa: ANN401 - any JSON value
    """Under which key a number is none, as ` under 'key'`."""
    if isinstance(content, float) and not math.isfinite(content):
        return f" under {key[:80]!r}" if key else ""
    entries = (
        content.items()
        if isinstance(content, dict)
        else [(key, one) for one in content]
        if isinstance(content, list)
        else []
    )
    return next((found for name, value in entries if (found := _where_no_number(value, name))), "")
