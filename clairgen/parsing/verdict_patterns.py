"""The vocabulary of a judge's verdict, as parts of patterns: how judges label it, name the solutions and mark them up.

Runs are matched possessively (`*+`), so that no two of them share characters and reading stays linear in the text.
"""

import re

from clairgen.text import lazy_pattern

_LETTERS = str.maketrans("*{}\u00a0\r’‘“”［］【】１２", "     ''\"\"[][]12")
_ESCAPE = lazy_pattern(r"\\(?=[_\[\](){}])")

DRESS = r"[\s>#\"'_`~.()|•+:$!-]*+"
MARK = r"\[{1,2}[ ]?(?P<mark>[12])[ ]?\]{1,2}"
BEST = r"(?:best|better|superior|stronger|strongest|preferable|preferred|winner|winning|favou?rite)"
SOLUTION = r"(?:solution|answer|response|submission|option|candidate|choice|student|one)"
LABEL = (
    rf"(?<![\w'])(?:(?:final|overall|chosen|{BEST})[ _-]+)?"
    rf"(?:answer|verdict|choice|decision|conclusion|pick|selection|judge?ment|preference|{BEST})"
    rf"(?:[ ]+{SOLUTION})?(?:[ ]+(?:here|overall|of the two))?"
)
COLON = r"[ _\"]*(?:[:=→–—]|->|=>|\b(?:is|was|would be|will be|must be|should be|has to be)\b:?)"

_VERDICT_LINE = lazy_pattern(rf"{DRESS}(?:{LABEL}{COLON})?{DRESS}(?:\[{{0,2}}[12]\]{{0,2}}{DRESS})?", re.IGNORECASE)


def plain_letters(text: str) -> str:
    """The text with spaces for emphasis, braces and escapes and with plain quotes; all positions stay the same."""
    return _ESCAPE.sub(" ", text.translate(_LETTERS))


def is_verdict_line(line: str) -> bool:
    """Whether a line is nothing but a verdict, perhaps with its label: `Answer: [1]`."""
    return _VERDICT_LINE.fullmatch(line) is not None
