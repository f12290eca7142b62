r"""Numbers as answers write them: `1,234`, `$5`, `-3`, `1/2`, `1 1/2`, `½`, `\frac{1}{2}`, `50%`, `1.5e3`, `1.5 \times 10^3`,
`1.5 million`, `5k`.

The last one of a text counts. A comma is read as a separator of thousands only where groups of three digits follow; points
separate thousands where there are several (`1.234.567`). A percent sign is not counted: `50%` is 50. Exponents of units (`m^2`),
times and ratios (`12:30`) are no numbers. What may be several numbers is unclear and read as none: `1.2.3`, `3,14`, `2,3,5`,
`1.234,56`, `5M`, `300K` (thousands or kelvins), `3 hundredths`, `2 thousand 5 hundred`. Time is linear in the text.
"""

import math
import re
import unicodedata
from collections import deque
from typing import Final

from clairgen.patterns import lazy_pattern

_THOUSANDS_APART: Final = r"\d{1,3}(?:,\d{3}){1,10}(?!,?\d)"
_DIGITS: Final = rf"(?:{_THOUSANDS_APART}|\d{{1,400}}(?!\d))"
_PLAIN: Final = rf"(?:{_DIGITS}(?:\.\d{{1,400}})?|\.\d{{1,400}})(?:[eE][+-]?\d{{1,3}}(?!\d))?"
_SIGN: Final = r"(?:(?<![\w.)\]}])[-−–])?[ ]?[$€£]?"
_SCALES: Final = {
    "hundred": 1e2,
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "trillion": 1e12,
    "dozen": 12.0,
    "k": 1e3,
}
_SCALE: Final = (
    r"(?P<scale>k(?![A-Za-z0-9])|(?:[ -]?(?i:hundred|thousand|million|billion|trillion|dozen)s?(?![A-Za-z])){1,3})?"
    r"(?P<unclear_scale>(?:[KMBT]|(?i:bn|mn|mio|mrd))(?![A-Za-z0-9])|[ -]?(?i:ten|hundred|thousand|million|billion)ths?\b)?"
)
_NUMBER: Final = lazy_pattern(
    rf"(?P<sign>{_SIGN})(?:"
    r"(?<![\d.])(?P<unclear>(?:\d{1,400}(?:\.\d{1,400}){2,10}(?:,\d{1,400})?|\d{1,3}(?:\.\d{3}){1,10},\d{1,400})(?![.,]?\d)"
    rf"|(?<![\d,])(?!{_THOUSANDS_APART})\d{{1,400}}(?:,\d{{1,400}}){{1,400}}(?!\d)(?:[eE][+-]?\d{{1,3}})?)"
    r"|(?:"
    rf"(?:(?P<whole>\d{{1,9}})[ ]?)?\\[dt]?frac\{{(?P<over>[-−]?\d{{1,15}})\}}\{{(?P<under>\d{{1,15}})\}}"
    rf"|(?<![\d/.,])(?:(?P<mixed>\d{{1,9}})[ ])?(?P<top>\d{{1,15}})[ ]?/[ ]?(?P<bottom>\d{{1,15}})(?![\d/.,]\d|\d|/)"
    rf"|(?<![\d.])(?P<plain>{_PLAIN})){_SCALE})",
    re.ASCII,
)
_SCALE_WORDS: Final = lazy_pattern(r"[A-Za-z]+")
_POINTS: Final = lazy_pattern(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,10}(?![.,]?\d)", re.ASCII)
_BETWEEN_PARTS: Final = lazy_pattern(r",?[ ]?(?:and)?[ ]?")
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
    """The last number of a text; None where there is none, or it is unclear, or too large to be one."""
    plainer = _plainer(text)
    found = _last_two(plainer)
    value = None if not found or _is_sum(found, plainer) else _value(found[-1])
    return value if value is not None and math.isfinite(value) else None


def is_unclear(text: str) -> bool:
    """Whether a text without a last number ends with what may be one: `1.2.3`, `5M`, `1/0`."""
    return bool(_last_two(_plainer(text)))


def number_words(value: float) -> str:
    """A number for people and for JSON."""
    return f"{value:.15g}"


def _last_two(text: str) -> deque[re.Match[str]]:
    return deque(_NUMBER.finditer(text), maxlen=2)


def _is_sum(found: deque[re.Match[str]], text: str) -> bool:
    """Whether the last two numbers are parts of one, such as `2 thousand 5 hundred`."""
    if len(found) < 2 or not all(one["scale"] for one in found):
        return False
    return _BETWEEN_PARTS.fullmatch(text[found[0].end() : found[1].start()]) is not None


def _plainer(text: str) -> str:
    """A text with fractions and powers as `_NUMBER` reads them, and without digits that are no number."""
    text = _THOUSANDS.sub(",", text)
    text = _POINTS.sub(lambda found: found.group().replace(".", ""), text)
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
    if groups["unclear"] is not None or groups["unclear_scale"] is not None:
        return None
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
    for word in _SCALE_WORDS.findall(groups["scale"] or ""):
        value *= _SCALES[word.lower().removesuffix("s")]
    return -value if negative else value
