"""How much the two answers of a pair differ: token Jaccard, character Levenshtein and length ratio (Section 3, Table 1).

The paper does not say what a token is, so the tokeniser is a named choice and its name stands with every number. On
published pairs of one of its kinds, Penn Treebank words come closest to the paper's figures.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from rapidfuzz.distance import Levenshtein

from clairgen.errors import ConfigError
from clairgen.records import Contrast

DEFAULT_TOKENISER: Final = "treebank"

METRICS_VERSION: int = 1
"""Raised with every change that can give another number, so that stored pairs can be measured again."""

_AFTER_FINAL_PERIOD = "])}>\"'"
_JOINED_WORDS = ("cannot", "d'ye", "gimme", "gonna", "gotta", "lemme", "more'n", "wanna")

_OPENING_QUOTE = re.compile(r"([ (\[{<])(?:\"|'')")
_COLON_OR_COMMA = re.compile(r"([:,])(\D)")
_LAST_COLON_OR_COMMA = re.compile(r"([:,])$")
_QUOTE_BEFORE_SPACE = re.compile(r"([^'])' ")
_SHORT_ENDING = re.compile(r"([^' ])('[sSmMdD]?) ")
_LONG_ENDING = re.compile(r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ")
_JOINED = re.compile(
    r"\b(can(?=not\b)|d(?='ye\b)|gim(?=me\b)|gon(?=na\b)|got(?=ta\b)|lem(?=me\b)|more(?='n\b)|wan(?=na\s))"
    r"(not|'ye|me|na|ta|'n)",
    re.IGNORECASE,
)
_IT = (re.compile(r" ('t)(is)\b", re.IGNORECASE), re.compile(r" ('t)(was)\b", re.IGNORECASE))


def token_jaccard(chosen: str, rejected: str, tokeniser: str = DEFAULT_TOKENISER) -> float:
    """Tokens that both answers have over tokens that either has, as sets: from 0 to 1, and 1 for two without a token."""
    split = _tokeniser(tokeniser)
    ours, theirs = set(split(chosen)), set(split(rejected))
    common = len(ours & theirs)
    either = len(ours) + len(theirs) - common
    return common / either if either else 1.0


def character_levenshtein(chosen: str, rejected: str) -> int:
    """The fewest insertions, deletions and replacements of one Unicode code point that turn one answer into the other."""
    return Levenshtein.distance(chosen, rejected)


def length_ratio(chosen: str, rejected: str) -> float | None:
    """Code points of chosen over those of rejected; None when rejected is empty."""
    return len(chosen) / len(rejected) if rejected else None


def contrast(chosen: str, rejected: str, tokeniser: str = DEFAULT_TOKENISER) -> Contrast:
    """All measures of one pair."""
    return Contrast(
        levenshtein=character_levenshtein(chosen, rejected),
        jaccard=token_jaccard(chosen, rejected, tokeniser),
        length_ratio=length_ratio(chosen, rejected),
        tokeniser=tokeniser,
    )


def treebank_words(text: str) -> list[str]:
    """The words of a text by the rules of the Penn Treebank, case kept, the whole text taken as one sentence.

    These are the steps of Robert MacIntyre's sed script as NLTK's TreebankWordTokenizer orders them, whose tokens these
    are. To separate is to put spaces around; whitespace splits in the end.

    1. A double quote that starts the text, or one (or two single ones) after a space or an opening bracket, becomes ``;
       every `` is separated.
    2. A colon or comma is separated unless a digit follows; of two in a row only the first is.
    3. `...` and each of ; @ # $ % & are separated. Then the period that ends the text, if no other period stands before
       it, with the closing brackets and quotes after it. Then each of ? ! and a single quote that a space follows.
    4. Brackets and `--` are separated. The double quotes that are left become '' and are separated, as is every ''.
    5. Before a space, 's 'm 'd ' and then 'll 're 've n't (not in mixed case) leave their word.
    6. In any case cannot, d'ye, gimme, gonna, gotta, lemme, more'n, wanna, 'tis and 'twas become two words.
    """
    text = _with_opening_quotes(text)
    text = _LAST_COLON_OR_COMMA.sub(r" \1 ", _COLON_OR_COMMA.sub(r" \1 \2", text))
    text = _separated(text, "...", *";@#$%&")
    text = _with_final_period(text)
    text = _separated(text, "?", "!")
    text = _QUOTE_BEFORE_SPACE.sub(r"\1 ' ", text)
    text = _separated(text, *"[](){}<>", "--")
    text = f" {text} ".replace("''", " '' ").replace('"', " '' ")
    text = _LONG_ENDING.sub(r"\1 \2 ", _SHORT_ENDING.sub(r"\1 \2 ", text))
    return _with_joined_words_apart(text).split()


def _with_opening_quotes(text: str) -> str:
    if text.startswith('"'):
        text = "``" + text[1:]
    return _OPENING_QUOTE.sub(r"\1 `` ", text.replace("``", " `` "))


def _separated(text: str, *marks: str) -> str:
    for mark in marks:
        text = text.replace(mark, f" {mark} ")
    return text


def _with_final_period(text: str) -> str:
    ended = text.rstrip()
    sentence = ended.rstrip(_AFTER_FINAL_PERIOD)
    if len(sentence) < 2 or not sentence.endswith(".") or sentence[-2] == ".":
        return text
    return f"{sentence[:-1]} .{ended[len(sentence) :]} "


def _with_joined_words_apart(text: str) -> str:
    lower = text.lower()
    if any(word in lower for word in _JOINED_WORDS):
        text = _JOINED.sub(r" \1 \2 ", text)
    for pattern in _IT:
        text = pattern.sub(r" \1 \2 ", text)
    return text


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


TOKENISERS: Mapping[str, Callable[[str], list[str]]] = MappingProxyType(
    {"treebank": treebank_words, "whitespace": str.split, "word": _words}
)
"""The named ways to cut a text into tokens: Penn Treebank words, what whitespace parts, and runs of `\\w`; case is kept."""


def _tokeniser(name: str) -> Callable[[str], list[str]]:
    if name not in TOKENISERS:
        raise ConfigError(f"there is no tokeniser {name!r}; choose one of {', '.join(TOKENISERS)}")
    return TOKENISERS[name]
