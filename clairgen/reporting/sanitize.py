r"""Untrusted text (model output, data sets, file names) made safe for a terminal: control characters become visible escapes.

Characters that move the cursor, change colors or the title, or make the terminal reply (C0, DEL, C1), that reorder text (bidi
controls), break lines invisibly (U+2028) or hide inside words (zero-width and tag characters) become Python escapes such as
`\x1b` or `\u202e`. A backslash that the text itself has stays single, because answers are full of LaTeX.
The result is text, never rich markup: wrap it in `rich.text.Text`, as `safe` does.
"""

import re

from rich.style import Style
from rich.text import Text

from clairgen.patterns import lazy_pattern

_ACTS_OR_HIDES = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad"
    r"\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f"
)
# Joiners are part of Persian and Hindi spelling and of emoji sequences; next to ASCII or each other they only hide text.
_SPELLED = r"[^\x00-\x7f\u200c\u200d]"
_STRAY_JOINER = rf"(?<!{_SPELLED})[\u200c\u200d]|[\u200c\u200d](?!{_SPELLED})"
_HOSTILE = lazy_pattern(rf"[{_ACTS_OR_HIDES}]|{_STRAY_JOINER}")


def plain_text(text: str) -> str:
    """The text with newlines and tabs unchanged and every other control or invisible character as a visible escape."""
    return _HOSTILE.sub(_escape, text)


def plain_line(text: str) -> str:
    """The same for text that must stay on one line, such as a name: newlines and tabs are escaped too."""
    return plain_text(text).replace("\n", "\\n").replace("\t", "\\t")


def shortened(text: str, most: int = 300) -> str:
    """The same, truncated to `most` characters."""
    line = plain_line(text[: most + 1])
    return line if len(text) <= most else f"{line[:most]}…"


def safe(text: str, style: str | Style = "") -> Text:
    """`plain_text` as a rich `Text`, which is printed literally."""
    return Text(plain_text(text), style=style)


def safe_line(text: str, style: str | Style = "") -> Text:
    """`plain_line` as a rich `Text`, which is printed literally."""
    return Text(plain_line(text), style=style)


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")
