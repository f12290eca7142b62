"""JSON in the bodies of servers, and the texts in it, however odd their bytes are: no paid answer is lost for them."""

import json
from typing import Any

import orjson

_DECISIVE = (
    *(b'"choices"', b'"message"', b'"content"', b'"finish_reason"', b'"delta"', b'"error"', b'"index"'),
    *(b'"data"', b'"probs"', b'"score"'),
)
_MOST_DECISIVE = _DECISIVE[:4]
_MOST_DIGITS = 4000
_SHORT_BYTES = 1000  # in a longer body each search takes a microsecond
_TEXT_PARTS = frozenset({"text", "output_text"})


def parsed_json(body: bytes) -> tuple[Any, bool]:
    """The JSON of a body, None if it is not JSON, and whether bytes that are not UTF-8 were replaced.

    A raw newline in a string, a lone surrogate, NaN, a number of any length or a byte that is not UTF-8 is read over.
    """
    try:
        return orjson.loads(body), False
    except orjson.JSONDecodeError:
        pass
    text = body.decode("utf-8-sig", "replace")
    repaired = "\ufffd" in text and not is_utf8(body)
    try:
        return json.loads(text, strict=False, parse_int=_number), repaired
    except (ValueError, RecursionError):
        return None, False


def repeated_key(body: bytes) -> str | None:
    """A key that one object in a body has twice, among those that decide about an answer; readers disagree which one counts."""
    sought = _DECISIVE if len(body) < _SHORT_BYTES else _MOST_DECISIVE
    if all(body.count(key) < 2 for key in sought):  # as nearly always
        return None
    found: list[str] = []

    def seen(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        found.extend(name for name in set(names) if names.count(name) > 1 and f'"{name}"'.encode() in _DECISIVE)
        return dict(pairs)

    try:
        json.loads(body.decode("utf-8-sig", "replace"), strict=False, parse_int=str, object_pairs_hook=seen)
    except (ValueError, RecursionError):
        return None
    return found[0] if found else None


def is_utf8(body: bytes) -> bool:
    """Whether all bytes are text."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_text(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which no database stores."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def raw_text(content: Any) -> str:  # noqa: ANN401 - parsed JSON
    """The text of an answer, or of a piece of it, with what it has of surrogate pairs; empty if there is none.

    Of a list of parts only texts count: `thinking` and `reasoning` parts are not the answer.
    """
    if isinstance(content, list):
        return "".join(_part(part) for part in content)
    return content if isinstance(content, str) else ""


def text_of(content: Any) -> tuple[str, bool]:  # noqa: ANN401 - parsed JSON
    """The text of a whole answer, and whether half a surrogate pair in it, which no database stores, became U+FFFD."""
    text = raw_text(content)
    if text.isascii():
        return text, False
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole, whole != text


def _number(digits: str) -> int | float:
    """A whole number; Python refuses to convert one of thousands of digits, which is infinite for all that is done with it."""
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def _part(part: Any) -> str:  # noqa: ANN401 - parsed JSON
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type", "text") not in _TEXT_PARTS:
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else ""
