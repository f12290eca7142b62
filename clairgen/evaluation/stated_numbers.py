r"""Numbers as answers write them: `1,234`, `$5`, `-3`, `1/2`, `1 1/2`, `½`, `\frac{1}{2}`, `50%`, `1.5e3`, `1.5 \times 10^3`.

The last one of a text counts. A comma is read as a separator of thousands only where three digits follow, and never as a decimal
comma. A percent sign is not counted: `50%` is 50. Exponents of units (`m^2`), times and ratios (`12:30`) are no numbers. Time is
linear in the text.
"""

import math
import re
import unicodedata
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
_THOUSANDS: Final = lazy_pattern(r"(?<=\d)(?:['’_\u2009\u202f]|\\,|\{,\})(?=\d{3}(?!\d))", re.ASCII)
_VULGAR: Final = lazy_pattern("[¼-¾⅐-⅞]")
_SHORT_FRACTION: Final = lazy_pattern(r"\\[dt]?frac ?(\d) ?(\d)", re.ASCII)
_TEN: Final = r"(?<![\d.,])10(?:\^\{?(?P<power>[-−+]?\d{1,3})\}?|(?P<raised>[⁻⁺]?[⁰¹²³⁴-⁹]{1,3}))(?!\d)"
_TIMES_TEN: Final = lazy_pattern(rf"(?<=\d)[ ]?(?:×|·|\*|x|\\times|\\cdot)[ ]?{_TEN}", re.ASCII)
_TEN_ALONE: Final = lazy_pattern(_TEN, re.ASCII)
_POWER: Final = lazy_pattern(r"(?<![\w.,])(\d{1,9})\^\{?(\d{1,2})\}?(?!\d)", re.ASCII)
_NO_NUMBER: Final = lazy_pattern(r"\^\{?[-−+]?\d{1,9}\}?|(?<![\d.:])\d{1,4}(?::\d{1,4}){1,2}(?![\d:])", re.ASCII)
_RAISED: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺−", "0123456789-+-")


def last_number(text: str) -> float | None:
    """The last number of a text; None where there is none, or it is too large to be one."""
    found = deque(_NUMBER.finditer(_plainer(text)), maxlen=1)
    value = _value(found[0]) if found else None
    return value if value is not None and math.isfinite(value) else None


def number_words(value: float) -> str:
    """A number for people and for JSON."""
    return f"{value:.15g}"


def _plainer(text: str) -> str:
    """A text with fractions and powers as `_NUMBER` reads them, and without digits that are no number."""
    text = _THOUSANDS.sub(",", text)
    text = _VULGAR.sub(lambda found: f" {unicodedata.normalize('NFKC', found.group()).replace('⁄', '/')}", text)
    text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = _TIMES_TEN.sub(lambda found: f"e{_exponent(found)}", text)
    text = _TEN_ALONE.sub(lambda found: f"1e{_exponent(found)}", text)
    text = _POWER.sub(lambda found: f"{int(found[1]) ** int(found[2])}", text)
    return _NO_NUMBER.sub(" ", text)


def _exponent(found: re.Match[str]) -> str:
    return (found["power"] or found["raised"]).translate(_RAISED)


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
