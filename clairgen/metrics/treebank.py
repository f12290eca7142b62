"""Penn Treebank words, as NLTK's TreebankWordTokenizer splits them, with a fast way to the set of them."""

import re
from collections.abc import Iterable
from typing import Final

from clairgen.patterns import lazy_pattern

_AFTER_FINAL_PERIOD = "])}>\"'"
_SPACES = (
    "\t\n\v\f\r \x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""White space after which a text ends, as Unicode has it; NLTK 3.10 no longer counts U+001C to U+001F there, as Python does."""
_JOINED_WORDS = ("cannot", "d'ye", "gimme", "gonna", "gotta", "lemme", "more'n", "wanna")

_OPENING_QUOTE = lazy_pattern(r"([ (\[{<])(?:\"|'')")
_COLON_OR_COMMA = lazy_pattern(r"([:,])(\D)")
_LAST_COLON_OR_COMMA = lazy_pattern(r"([:,])$")
_QUOTE_BEFORE_SPACE = lazy_pattern(r"([^'])' ")
_SHORT_ENDING = lazy_pattern(r"([^' ])('[sSmMdD]?) ")
_LONG_ENDING = lazy_pattern(r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ")
_JOINED = lazy_pattern(
    r"\b(can(?=not\b)|d(?='ye\b)|gim(?=me\b)|gon(?=na\b)|got(?=ta\b)|lem(?=me\b)|more(?='n\b)|wan(?=na\s))"
    r"(not|'ye|me|na|ta|'n)",
    re.IGNORECASE,
)
_IT = (lazy_pattern(r" ('t)(is)\b", re.IGNORECASE), lazy_pattern(r" ('t)(was)\b", re.IGNORECASE))

_MOST_PIECES: Final = 100_000
_LONGEST_PIECE: Final = 40


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
    ended = text.rstrip(_SPACES)
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


_SIMPLE = lazy_pattern(
    r"(?!.*(?:cannot|gimme|gonna|gotta|lemme|wanna|\.\.\.|--))([(\[]?)([^\s`\"',:;@#$%&?!\[\](){}<>]+)([)\]]?)([,:;?!]?)",
    re.IGNORECASE,
)
"""A piece with nothing to split but brackets around it and a mark after it, as are nine of ten in a text."""


class _Pieces(dict[str, tuple[str, ...]]):
    """The words of each piece of text between spaces or line breaks, split once and then looked up.

    The rules depend only on a piece and its neighbors: a space, or a line break, which is then part of the key. A word is put
    after the piece so that it does not end the sentence. `whole` are the pieces that are one word.
    """

    def __init__(self) -> None:
        super().__init__()
        self.whole: set[str] = set()

    def __missing__(self, piece: str) -> tuple[str, ...]:
        words = (piece,) if piece.isalnum() and piece.lower() not in _JOINED_WORDS else self._split(piece)
        if len(piece) <= _LONGEST_PIECE:
            if len(self) + len(self.whole) >= _MOST_PIECES:
                self.clear()
                self.whole.clear()
            if words == (piece,):
                self.whole.add(piece)
            else:
                self[piece] = words
        return words

    def _split(self, piece: str) -> tuple[str, ...]:
        simple = _SIMPLE.fullmatch(piece.strip("\n"))
        if simple:
            return tuple(filter(None, simple.groups()))
        before, after = "" if piece[:1] == "\n" else " ", "" if piece[-1:] == "\n" else " "
        return tuple(treebank_words(f"{before}{piece}{after}x")[:-1])


_PIECES = _Pieces()


def treebank_set(text: str) -> set[str]:
    """The set of `treebank_words(text)`, several times as fast, since natural text repeats the same pieces."""
    ended = text.rstrip(_SPACES)
    last = max(ended.rfind(" "), ended.rfind("\n"))
    if last < 0 or text[0] in "\"'":  # a quote that starts the text has a rule of its own
        return set(treebank_words(text))
    words = set(text[: last + 1].replace("\n", "\n \n").split(" "))
    several = words - _PIECES.whole
    words -= several
    words.update(*map(_PIECES.__getitem__, several), _last_words(text[last:]))
    return words


def _last_words(end: str) -> Iterable[str]:
    """The words of a text's last piece and the whitespace around it; most are a word and a period."""
    piece = end.strip(_SPACES)
    simple = _SIMPLE.fullmatch(piece[:-1]) if piece[-1:] == "." and piece[-2:-1] != "." else None
    return (*filter(None, simple.groups()), ".") if simple else treebank_words(end)
