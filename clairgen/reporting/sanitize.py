r"""Text from models, data sets and file names made safe for a terminal: what could act or hide is shown as an escape.

Whatever would move the cursor, recolour, retitle or answer back (C0, DEL, C1), reorder what is read (bidi controls),
break a line unseen (U+2028) or stand unseen in a word (zero-width and tag characters) becomes `\x1b`, `\u202e` and the
like, spelled as Python spells it. A backslash of the text's own stays single, because answers are full of LaTeX.
The result is text, never rich markup: wrap it in `rich.text.Text`, as `safe` does.
"""

import re

from rich.style import Style
from rich.text import Text

_ACTS_OR_HIDES = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad"
    r"\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f"
)
# Joiners are part of the spelling of Persian, Hindi and emoji families; beside ASCII or each other they only hide.
_SPELLED = r"[^\x00-\x7f\u200c\u200d]"
_STRAY_JOINER = rf"(?<!{_SPELLED})[\u200c\u200d]|[\u200c\u200d](?!{_SPELLED})"
_HOSTILE = re.compile(rf"[{_ACTS_OR_HIDES}]|{_STRAY_JOINER}")


def plain_text(text: str) -> str:
    """The text with newlines and tabs as they are, and every other character that acts or hides as a visible escape."""
    return _HOSTILE.sub(_escape, text)


def plain_line(text: str) -> str:
    """The same for what must stay on one line, such as a name: newlines and tabs are escaped too."""
    return plain_text(text).replace("\n", "\\n").replace("\t", "\\t")


def shortened(text: str, most: int = 300) -> str:
    """The plain line, cut after `most` characters."""
    line = plain_line(text[: most + 1])
    return line if len(text) <= most else f"{line[:most]}…"


def safe(text: str, style: str | Style = "") -> Text:
    """The plain text as a `Text` that rich prints letter for letter."""
    return Text(plain_text(text), style=style)


def safe_line(text: str, style: str | Style = "") -> Text:
    """The plain line as a `Text` that rich prints letter for letter."""
    return Text(plain_line(text), style=style)


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")
