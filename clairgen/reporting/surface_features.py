"""Surface features of an answer: what a reward model could learn to count instead of judging quality.

Each is a number that takes no understanding of the text. Counts are per answer; openers and closers are 0 or 1; the word lists
are English.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from clairgen.patterns import lazy_pattern

_BEGINNING = 80
_END = 200


def _counted(pattern: str, *signs: str) -> Callable[[str], float]:
    """How often a pattern is found; each of its matches in ASCII contains one of `signs`, which few texts do."""
    found = lazy_pattern(pattern, re.MULTILINE)
    return lambda text: float(len(found.findall(text))) if _may_contain(text, signs) else 0.0


def _begins(pattern: str) -> Callable[[str], float]:
    beginning = lazy_pattern(rf"\W*(?:{pattern})\b", re.IGNORECASE)
    return lambda text: float(beginning.match(text[:_BEGINNING]) is not None)


def _ends(pattern: str, *signs: str) -> Callable[[str], float]:
    """Whether a pattern is in the last characters; each of its matches in ASCII contains one of `signs`, in lower case."""
    end = lazy_pattern(pattern, re.IGNORECASE)
    return lambda text: float(_may_contain(text[-_END:].lower(), signs) and end.search(text[-_END:]) is not None)


def _may_contain(text: str, signs: Sequence[str]) -> bool:
    return not text.isascii() or any(map(text.__contains__, signs))


def _digits(text: str) -> float:
    return float(sum(map(text.count, "0123456789")) if text.isascii() else len(_DIGIT.findall(text)))


def _words(text: str) -> list[str]:
    """Runs of letters a to z in lower case, with one apostrophe inside."""
    lowered = text.lower().replace("’", "'").encode("ascii", "replace").decode().translate(_LETTERS)
    if "'" not in lowered:
        return lowered.split()
    return [word for piece in lowered.split() for word in (_WORD.findall(piece) if "'" in piece else (piece,))]


_EMOJI = lazy_pattern("[\u2600-\u27bf\U0001f300-\U0001faff]")
_DIGIT = lazy_pattern(r"\d")

_OF_TEXT: Mapping[str, Callable[[str], float]] = MappingProxyType(
    {
        "characters": lambda text: float(len(text)),
        "leading white space": lambda text: float(len(text) - len(text.lstrip())),
        "trailing white space": lambda text: float(len(text) - len(text.rstrip())),
        "words": lambda text: float(len(text.split())),
        "paragraphs": lambda text: float(len([part for part in text.split("\n\n") if part.strip()])),
        "bullets": _counted(r"^[ \t]*[-*+•] +\S", "- ", "* ", "+ "),
        "numbered items": _counted(r"^[ \t]*\d{1,3}[.)] +\S", *"0123456789"),
        "headings": _counted(r"^#{1,6} +\S", "#"),
        "bold": _counted(r"\*\*(?=\S)[^*\n]+\*\*|__(?=\S)[^_\n]+__", "**", "__"),
        "code fences": _counted(r"^[ \t]*(?:```|~~~)", "```", "~~~"),
        "inline code": _counted(r"(?<!`)`[^`\n]+`(?!`)", "`"),
        "table rows": _counted(r"^[ \t]*\|.*\|[ \t]*$", "|"),
        "links": lambda text: float(text.count("http://") + text.count("https://")),
        "emoji": lambda text: 0.0 if text.isascii() else float(len(_EMOJI.findall(text))),
        "exclamation marks": lambda text: float(text.count("!")),
        "question marks": lambda text: float(text.count("?")),
        "parentheses": lambda text: float(text.count("(")),
        "dashes": lambda text: float(text.count("—") + text.count(" - ") + text.count(" – ")),
        "quotation marks": lambda text: float(sum(map(text.count, '"“”«»'))),
        "digits": _digits,
        "opens by agreeing": _begins(
            "sure|certainly|of course|absolutely|definitely|great|good|excellent|happy to|i'd be (?:happy|glad)|thanks?|yes"
        ),
        "opens with here is": _begins("here(?:'s|’s| is| are)"),
        "closes with an offer": _ends(
            r"let me know|hope (?:this|that|it) helps|feel free to|happy to help|further (?:questions|assistance)|anything else",
            *("let me know", "helps", "feel free to", "happy to help", "further ", "anything else"),
        ),
        "closes by summing up": _ends(
            r"\b(?:in (?:conclusion|summary|short)|overall,|to sum up|to summari[sz]e)",
            *("conclusion", "summary", "short", "overall,", "sum up", "summari"),
        ),
    }
)

_WORD = lazy_pattern(r"[a-z]+(?:'[a-z]+)?")
_LETTERS = "".join(chr(code) if chr(code).islower() or code == ord("'") else " " for code in range(128))
"""For `str.translate`: ASCII letters in lower case and apostrophes, and a space for everything else."""
_LISTS = {
    "hedges": "may might could perhaps maybe possibly probably likely seem seems appear appears suggest suggests generally "
    "typically usually often sometimes tend tends roughly somewhat arguably depends",
    "intensifiers": "very really truly extremely highly absolutely definitely clearly certainly incredibly always never",
    "apologies": "sorry apologise apologize apologies apology unfortunately",
    "first person": "i i'm i've i'll i'd my me",
}
_LIST_OF: Mapping[str, str] = MappingProxyType(
    {word: name for name, listed in _LISTS.items() for word in _WORD.findall(listed)}
)
"""The list of each word; no word is in two of them."""

FEATURES: Sequence[str] = (*_OF_TEXT, *_LISTS)
"""Names of the features, in the order in which `surface_features` returns them."""


def surface_features(text: str) -> tuple[float, ...]:
    """The features of an answer."""
    listed = Counter(map(_LIST_OF.get, _words(text)))
    return (*(measure(text) for measure in _OF_TEXT.values()), *(float(listed[name]) for name in _LISTS))
