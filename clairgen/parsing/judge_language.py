"""How judges write: the vocabulary of a verdict, as parts of patterns, and what a judge quotes rather than says.

Runs are matched possessively (`*+`), so that no two of them share characters and reading stays linear in the text.
"""

import re
from collections.abc import Iterator

from clairgen.parsing.wrapping import PLAIN_FENCES
from clairgen.patterns import lazy_pattern

FENCE = lazy_pattern(r"^[ \t>]*+(?P<mark>`{3,}+|~{3,}+)(?P<info>[^`\n]*+)$", re.MULTILINE)
"""A line that opens or closes a fence."""
_QUOTED = lazy_pattern(r'`[^`\n]{1,400}`|(?<!\w)"(?=\S)[^"\n]{1,400}"(?!\w)|^[ \t]*+>.*$', re.MULTILINE)
_REFERENCES = lazy_pattern(
    r"^(?:[^\w\n]|_)*+(?:references|sources|footnotes|citations|bibliography)(?:[^\w\n]|_)*+\n(?:\s*+\[\d\]:?[ \t]++\S.*+)++",
    re.IGNORECASE | re.MULTILINE,
)
_INSTRUCTION = lazy_pattern(r"contain \[1\] if .{1,60}? best, else \[2\]|\banswer \[1\] or \[2\]", re.IGNORECASE)
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


def without_quotations(plain: str, solutions: tuple[str, str]) -> str:
    """The text with spaces for code, quotations, references and the judge's instruction; all positions stay the same."""
    plain = _without_copies(_without_code(plain), solutions)
    for quotation in (_INSTRUCTION, _QUOTED, _REFERENCES):
        plain = quotation.sub(lambda match: _blank(match.group()), plain)
    return plain


def _blank(quotation: str) -> str:
    """As many spaces, with line ends kept; but a quotation that is only a verdict stays."""
    return quotation if is_verdict_line(quotation) else re.sub(r"[^\n]", " ", quotation)


def _without_code(plain: str) -> str:
    """The text with spaces for what is in closed fences, except a fence around the whole answer."""
    parts: list[str] = []
    position = 0
    for first, last in _closed_fences(plain):
        around = plain[: first.start()] + plain[last.end() :]
        is_around_all = not around.strip() and first["info"].strip().casefold() in PLAIN_FENCES
        inside = plain[first.end() : last.start()]
        parts += [plain[position : first.end()], inside if is_around_all else _blank(inside)]
        position = last.start()
    return "".join([*parts, plain[position:]])


def _closed_fences(plain: str) -> Iterator[tuple[re.Match[str], re.Match[str]]]:
    """The first and the last line of each outermost fence; unlike Markdown, models nest fences and close each of them."""
    opened: list[re.Match[str]] = []
    for fence in FENCE.finditer(plain):
        if opened and fence["mark"].startswith(opened[-1]["mark"]) and not fence["info"].strip():
            first = opened.pop()
            if not opened:
                yield first, fence
        else:
            opened.append(fence)


def _without_copies(plain: str, solutions: tuple[str, str]) -> str:
    """The text with spaces for blocks of lines that are also in a solution, except lines that are only a verdict."""
    copied = {_stripped(line) for solution in solutions for line in plain_letters(solution).split("\n")}
    lines = plain.split("\n")
    block: list[int] = []
    for number in range(len(lines) + 1):
        stripped = _stripped(lines[number]) if number < len(lines) else None
        if stripped is not None and (not stripped or stripped in copied):
            block.append(number)
            continue
        if not all(is_verdict_line(lines[index]) for index in block):
            for index in block:
                lines[index] = " " * len(lines[index])
        block = []
    return "\n".join(lines)


def _stripped(line: str) -> str:
    return line.strip(" \t>\"'-+•")
