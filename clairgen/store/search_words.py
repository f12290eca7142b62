"""What somebody types to search, as an expression of FTS5: words, "phrases" and beginnings of words*; nothing typed is an error.

Chinese and Japanese are written without spaces, so each of their characters counts as a word, in texts and in searches.
"""

from dataclasses import dataclass
from typing import Final

from clairgen.patterns import lazy_pattern

SHORTEST_BEGINNING: Final = 3
"""Characters of a word's beginning: a shorter one has to be looked for in too many words."""
_MOST_PARTS: Final = 32

_PARTS = lazy_pattern(r'"([^"]*)"?(\*?)|([^\s"]+)')
_WORDS = lazy_pattern(r"[^\W_]+")
_UNSPACED = lazy_pattern(
    "[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


@dataclass(frozen=True, slots=True)
class SearchWords:
    """What is searched for, which takes longer if it `has_beginning`; `fault` says what is wrong with what was typed."""

    expression: str
    has_beginning: bool = False
    fault: str | None = None


def search_words(typed: str) -> SearchWords:
    """The expression for what was typed. Its words may stand in any of a pair's texts, in any order."""
    parts: list[str] = []
    has_beginning = False
    for phrase, star, word in _PARTS.findall(encodable(typed).replace("\0", " ")):
        text = spaced(phrase or word)
        words = _WORDS.findall(text)
        if not words:
            continue
        has_beginning |= (begins := bool(star) or text.rstrip().endswith("*"))
        if begins and len(words[-1]) < SHORTEST_BEGINNING:
            return SearchWords(
                "", fault=f"the beginning of a word has at least {SHORTEST_BEGINNING} characters: {words[-1]}*"
            )
        parts.append(f'"{text}"' + (" *" if begins else ""))
    if len(set(parts)) > _MOST_PARTS:
        return SearchWords("", fault=f"a search has at most {_MOST_PARTS} words and phrases")
    if not parts:
        return SearchWords("", fault="there is no word to search for: letters and digits are compared, signs are not")
    return SearchWords(" AND ".join(dict.fromkeys(parts)), has_beginning)


def spaced(text: str) -> str:
    """A text with spaces around each character of a script that is written without them."""
    return text if text.isascii() else _UNSPACED.sub(r" \g<0> ", text)


def encodable(text: str) -> str:
    """A text without halves of surrogate pairs, which SQLite cannot take."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
