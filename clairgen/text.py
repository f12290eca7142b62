"""Whether a text can be encoded, and the white space around it."""

import re
from typing import Final

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
