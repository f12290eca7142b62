r"""Numbers as answers write them: `1,234`, `$5`, `-3`, `1/2`, `1 1/2`, `\frac{1}{2}`, `50%`, `1.5e3`; the last one counts.

A comma is read as a separator of thousands only where three digits follow, and never as a decimal comma. A percent sign is not
counted: `50%` is 50. Time is linear in the text.
"""

import math
import re
from collections import deque
from typing import Final

from clairgen.patterns import lazy_pattern

_DIGITS: Final = r"(?:\d{1,3}(?:,\d{3}){1,10}(?![\d,])|\d{1,400}(?!\d))"
_PLAIN: Final = rf"(?:{_DIGITS}(?:\.\d{{1,400}})?|\.\d{{1,400}})(?:[eE][+-]?\d{{1,3}}(?!\d))?"
_SIGN: Final = r"(?:(?<![\w.)\]}])[-−–])?[ ]?[$€£]?"
_NUMBER: Final = lazy_pattern(
    rf"(?P<sign>{_SIGN})(?:"
    rf"(?:(?P<whole>\d{{1,9}})[ ]?)?\\[dt]?frac\{{(?P<over>[-−]?\d{{1,15}})\}}\{{(?P<under>\d{{1,15}})\}}"
    rf"|(?<![\d/.,])(?:(?P<mixed>\d{{1,9}})[ ])?(?P<top>\d{{1,15}})[ ]?/[ ]?(?P<bottom>\d{{1,15}})(?![\d/.,]\d|\d|/)"
    rf"|(?<![\d.])(?P<plain>{_PLAIN}))",
    re.ASCII,
)


def last_number(text: str) -> float | None:
    """The last number of a text; None where there is none, or it is too large to be one."""
    found = deque(_NUMBER.finditer(text), maxlen=1)
    value = _value(found[0]) if found else None
    return value if value is not None and math.isfinite(value) else None


def number_words(value: float) -> str:
    """A number for people and for JSON."""
    return f"{value:.15g}"


def _value(found: re.Match[str]) -> float | None:
    groups = found.groupdict()
    negative = any(mark in groups["sign"] for mark in "-−–")
    if (plain := groups["plain"]) is not None:
        value = float(plain.replace(",", ""))
    else:
        over, under, whole = (
            (groups["over"], groups["under"], groups["whole"])
            if groups["over"] is not None
            else (groups["top"], groups["bottom"], groups["mixed"])
        )
        if int(under) == 0:
            return None
        value = float(whole or 0) + float(over.replace("−", "-")) / float(under)
    return -value if negative else value
