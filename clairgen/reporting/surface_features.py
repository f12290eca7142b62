"""Surface features of an answer: what a reward model could learn to count instead of judging quality.

Each is a number that takes no understanding of the text. Counts are per answer; openers and closers are 0 or 1; the word lists
are English.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from clairgen.patterns import lazy_pattern

_BEGINNING = 80
_END = 200


def _counted(pattern: str, flags: re.RegexFlag = re.MULTILINE) -> Callable[[str], float]:
    found = lazy_pattern(pattern, flags)
    return lambda text: float(sum(1 for _ in found.finditer(text)))


def _begins(pattern: str) -> Callable[[str], float]:
    beginning = lazy_pattern(rf"\W*(?:{pattern})\b", re.IGNORECASE)
    return lambda text: float(beginning.match(text[:_BEGINNING]) is not None)


def _ends(pattern: str) -> Callable[[str], float]:
    end = lazy_pattern(pattern, re.IGNORECASE)
    return lambda text: float(end.search(text[-_END:]) is not None)


_OF_TEXT: Mapping[str, Callable[[str], float]] = MappingProxyType(
    {
        "characters": lambda text: float(len(text)),
        "words": lambda text: float(len(text.split())),
        "paragraphs": lambda text: float(len([part for part in text.split("\n\n") if part.strip()])),
        "bullets": _counted(r"^[ \t]*[-*+•] +\S"),
        "numbered items": _counted(r"^[ \t]*\d{1,3}[.)] +\S"),
        "headings": _counted(r"^#{1,6} +\S"),
        "bold": _counted(r"\*\*(?=\S)[^*\n]+\*\*|__(?=\S)[^_\n]+__"),
        "code fences": _counted(r"^[ \t]*(?:```|~~~)"),
        "inline code": _counted(r"(?<!`)`[^`\n]+`(?!`)"),
        "table rows": _counted(r"^[ \t]*\|.*\|[ \t]*$"),
        "links": _counted(r"https?://"),
        "emoji": _counted("[\u2600-\u27bf\U0001f300-\U0001faff]"),
        "exclamation marks": lambda text: float(text.count("!")),
        "question marks": lambda text: float(text.count("?")),
        "parentheses": lambda text: float(text.count("(")),
        "dashes": lambda text: float(text.count("—") + text.count(" - ") + text.count(" – ")),
        "quotation marks": _counted('["“”«»]'),
        "digits": _counted(r"\d"),
        "opens by agreeing": _begins(
            "sure|certainly|of course|absolutely|definitely|great|good|excellent|happy to|i'd be (?:happy|glad)|thanks?|yes"
        ),
        "opens with here is": _begins("here(?:'s|’s| is| are)"),
        "closes with an offer": _ends(
            r"let me know|hope (?:this|that|it) helps|feel free to|happy to help|further (?:questions|assistance)|anything else"
        ),
        "closes by summing up": _ends(r"\b(?:in (?:conclusion|summary|short)|overall,|to sum up|to summari[sz]e)"),
    }
)

_WORD = lazy_pattern(r"[a-z]+(?:'[a-z]+)?")
_LISTS = {
    "hedges": "may might could perhaps maybe possibly probably likely seem seems appear appears suggest suggests generally "
    "typically usually often sometimes tend tends roughly somewhat arguably depends",
    "intensifiers": "very really truly extremely highly absolutely definitely clearly certainly incredibly always never",
    "apologies": "sorry apologise apologize apologies apology unfortunately",
    "first person": "i i'm i've i'll i'd my me",
}
_OF_WORDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {name: frozenset(_WORD.findall(listed)) for name, listed in _LISTS.items()}
)

FEATURES: Sequence[str] = (*_OF_TEXT, *_OF_WORDS)
"""Names of the features, in the order in which `surface_features` returns them."""


def surface_features(text: str) -> tuple[float, ...]:
    """The features of an answer."""
    words = _WORD.findall(text.lower().replace("’", "'"))
    return (
        *(measure(text) for measure in _OF_TEXT.values()),
        *(float(sum(map(listed.__contains__, words))) for listed in _OF_WORDS.values()),
    )
