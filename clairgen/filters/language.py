"""Language: whether both answers of a pair are written in the same one.

A script tells most languages apart; those in Latin and Cyrillic letters are told apart by their commonest short words. That
is less than a trained model knows: it answers for the languages listed and is silent otherwise. But it needs no package,
gives the same answer everywhere and errs towards silence, as a mark must. (py3langid needs numpy, lingua 96 MB, langdetect
draws at random and has rested since 2021.)
"""

import re
from bisect import bisect_right
from collections import Counter

from clairgen.filters.common_words import COMMON_WORDS
from clairgen.filters.text import prose
from clairgen.records import FilterAction, Finding, Pair

_LONG_ENOUGH = {"latin": 120, "cyrillic": 100, "arabic": 60}
_LONG_ENOUGH_ELSEWHERE = 40
"""Letters from which on a text is long enough to tell; a character says more in Chinese than in English."""
_MOST = 0.75
"""The share of its letters that makes a script a text's own."""
_COMMON = 0.12
"""The least share of a text's words that are a language's commonest."""
_MARGIN = 1.4
"""How many times more of them than of the next language's."""

_RANGES = (
    (0x41, "latin"), (0x250, ""), (0x370, "el"), (0x400, "cyrillic"), (0x530, "hy"), (0x590, "he"), (0x600, "arabic"),
    (0x780, ""), (0x900, "devanagari"), (0x980, "bn"), (0xA00, "pa"), (0xA80, "gu"), (0xB00, ""), (0xB80, "ta"), (0xC00, "te"),
    (0xC80, "kn"), (0xD00, "ml"), (0xD80, "si"), (0xE00, "th"), (0xE80, "lo"), (0xF00, ""), (0x1000, "my"), (0x10A0, "ka"),
    (0x1100, "ko"), (0x1200, "am"), (0x1380, ""), (0x1780, "km"), (0x1800, ""), (0x1E00, "latin"), (0x1F00, "el"), (0x2000, ""),
    (0x3040, "kana"), (0x3100, ""), (0x3400, "han"), (0xA000, ""), (0xAC00, "ko"), (0xD7B0, ""), (0xF900, "han"), (0xFB00, ""),
)  # fmt: skip
_STARTS = [start for start, _ in _RANGES]

_LANGUAGES_OF = {
    script: {
        word: [code for code, common in languages.items() if word in common]
        for word in frozenset[str]().union(*languages.values())
    }
    for script, languages in COMMON_WORDS.items()
}
_LETTERS = re.compile(r"[^\W\d_]+")
_LINK = re.compile(r"https?://\S+|www\.\S+")


def changes_language(pair: Pair, action: FilterAction) -> Finding | None:
    """The chosen answer is in another language than the rejected one; the value is such as `en->de`, or scripts."""
    if pair.chosen is None:
        return None
    before, after = language_of(pair.rejected.text), language_of(pair.chosen.text)
    if before is None or after is None or not _differ(before, after):
        return None
    return Finding("language", action, "language-changed", f"{before}->{after}")


def language_of(text: str) -> str | None:
    """The code of a text's language, the name of its script where that is all that can be told, or None.

    None is for short texts, code, and texts in several scripts.
    """
    runs = _LETTERS.findall(_LINK.sub(" ", prose(text)))
    letters = Counter[str]()
    for letter, count in Counter("".join(runs)).items():
        letters[_script(letter)] += count
    if letters["kana"] * 10 > letters["han"]:
        letters["ja"] = letters.pop("kana") + letters.pop("han", 0)
    script, count = max(letters.items(), key=lambda item: item[1], default=("", 0))
    if not script or count < _LONG_ENOUGH.get(script, _LONG_ENOUGH_ELSEWHERE) or count < _MOST * letters.total():
        return None
    if script == "han":
        return "zh"
    return _commonest(script, " ".join(runs).lower().split()) if script in COMMON_WORDS else script


def _commonest(script: str, tokens: list[str]) -> str:
    """The language whose commonest words a text is full of, else the script."""
    counts = dict.fromkeys(COMMON_WORDS[script], 0)
    for token, count in Counter(tokens).items():
        for code in _LANGUAGES_OF[script].get(token, ()):
            counts[code] += count
    shares = {code: count / len(tokens) for code, count in counts.items()}
    first, second = sorted(shares, key=lambda code: -shares[code])[:2]
    return first if shares[first] >= _COMMON and shares[first] >= _MARGIN * shares[second] else script


def _differ(before: str, after: str) -> bool:
    """Whether two languages are different ones for sure: an unknown one in Latin letters may be any of those."""
    return before != after and before not in COMMON_WORDS.get(after, {}) and after not in COMMON_WORDS.get(before, {})


def _script(letter: str) -> str:
    index = bisect_right(_STARTS, ord(letter)) - 1
    return _RANGES[index][1] if index >= 0 else ""
