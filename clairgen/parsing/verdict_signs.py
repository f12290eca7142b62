"""Signs of a judge's verdict: each mention of a solution that may be the choice, what it says, and how surely.

The judge prompt asks for `[1]` or `[2]`, but an index, a footnote and a heading look the same. So every mention that may be
the choice is a sign with a strength, and `parsing.verdict` decides between the signs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum

from clairgen.parsing.judge_language import COLON, DRESS, LABEL, MARK
from clairgen.parsing.verdict_context import AROUND, Context
from clairgen.patterns import lazy_pattern

_NO_CHOICE = r"(?:it(?:'s| is) )?(?:an? )?(?:tied?|draw|both|neither|equal)"
_FIRST = {"1", "one", "first", "1st", "former"}
_NAMED = lazy_pattern(
    rf"(?:(?<![\w)\]]){MARK}(?![\w(\[])"
    r"|\b(?:student|solution|answer|response|option|candidate|submission|number)(?:'s)?"
    r"(?:[ _#]{1,3}(?:solution|answer|response))?[ _#]{1,3}(?P<number>[12]|one|two)\b"
    r"|\bthe[ ](?P<ordinal>first|second|1st|2nd|former|latter)\b(?:[ ]student\b)?)"
    r"(?:'s)?(?:[ ](?:solution|answer|response|submission|option|version|work|one)\b)?",
    re.IGNORECASE,
)
_OTHER_MARK = lazy_pattern(
    rf"[ ]*+(?:(?:,|/|&|\||and/or\b|or\b|and\b)[ ]*+)?(?:(?:maybe|perhaps|possibly)[ ])?{MARK}"
    r"(?![ ]+(?:is|was|has|lacks|does)\b)",
    re.IGNORECASE,
)
_BOXED = lazy_pattern(r"\\(?:boxed|fbox)[ ]*(?:\\text(?:bf)?[ ]*)?\[?[ ]?(?P<digit>[12])(?!\w)[ ]?\]?")

_DIGIT_LINE = lazy_pattern(rf"{DRESS}(?P<digit>[12]){DRESS}")
_LABELLED_DIGIT = lazy_pattern(
    rf"{LABEL}(?:{COLON}|>)[ ]*[\"'(]*(?P<digit>[12])(?=[\"')]*+[ ]*+(?:(?:[.;!][ ]*+)?$|</|(?:because|since)\b))",
    re.IGNORECASE | re.MULTILINE,
)
_TIE_LINE = lazy_pattern(rf"{DRESS}{_NO_CHOICE}{DRESS}", re.IGNORECASE)
_LABELLED_TIE = lazy_pattern(
    rf"{LABEL}{COLON}{DRESS}{_NO_CHOICE}\b(?=[\"')]*[ ]*(?:[.;,!(–—-]|$|because\b))", re.IGNORECASE | re.MULTILINE
)
_TIE = lazy_pattern(
    r"\bequally (?:good|strong|valid|well|matched|deserving|best)\b|\b(?:is|it's|as|call it|declare) an? (?:tie|draw)\b"
    r"|\ba tie between\b|\bneither (?:\w+ ){0,3}(?:better|best|stronger)\b|\bno clear (?:winner|difference)\b"
    r"|\b(?:ranked|rated) (?:both )?equal(?:ly)?\b|\bof equal quality\b|\btoo close to call\b"
    r"|\b(?:cannot|can't) (?:decide|choose|pick)\b",
    re.IGNORECASE,
)
_THEN_BUT = lazy_pattern(r"[^.\n]{0,60}\b(?:but|however|yet|except)\b", re.IGNORECASE)


class Says(Enum):
    """What a sign says: one of the solutions, that they tie, or both of them where one was asked for.

    A hint that speaks against a solution counts as BOTH: it decides nothing and agrees with nothing.
    """

    FIRST = 1
    SECOND = 2
    TIE = 3
    BOTH = 4


class Strength(IntEnum):
    """How surely a sign is the verdict; of the strongest signs in an answer the last one counts.

    HINT is a mark inside a sentence, or a solution called "more correct", which counts only if nothing disagrees. WORDS is a
    sentence that says which is best. LABELLED_WORDS is `Winner: Student 2`, or a number alone. MARK is `[1]` where its line,
    its label or its sentence leaves no other meaning.
    """

    HINT = 1
    WORDS = 2
    LABELLED_WORDS = 3
    MARK = 4


@dataclass(frozen=True, slots=True)
class Sign:
    """A mention from position `start` to `end` that may be the choice.

    `alone` is whether only a label is on its line as well. `heading` is whether it may head a section about that solution.
    """

    start: int
    end: int
    says: Says
    strength: Strength
    alone: bool = False
    heading: bool = False


def signs(plain: str) -> list[Sign]:
    """All signs in a text of plain letters, in order, except marks that head a section about each of the solutions."""
    end = len(plain.rstrip(" \t\n.!?,\"'_`~)>|#$-"))
    found = [*_named_signs(plain, end), *_digit_signs(plain, end), *_tie_signs(plain)]
    if len({sign.says for sign in found if sign.heading}) > 1:
        found = [sign for sign in found if not sign.heading]
    return sorted(found, key=lambda sign: sign.start)


def _named_signs(plain: str, end: int) -> Iterator[Sign]:
    """Signs where a solution is named, by its mark or in words."""
    read_to = 0
    for match in _NAMED.finditer(plain):
        start, stop = match.span()
        if start < read_to:
            continue
        other = _OTHER_MARK.match(plain, stop) if match["mark"] else None
        if other is not None and other["mark"] != match["mark"]:
            read_to = other.end()
            yield from _joint_signs(start, read_to, Context.around(plain, start, read_to, end))
            continue
        context = Context.around(plain, start, stop, end)
        strength = _strength_of_mark(context) if match["mark"] else _strength_of_words(context)
        if strength is not None:
            is_blamed = strength is Strength.HINT and context.is_faulted
            says = Says.BOTH if is_blamed else _said(match["mark"] or match["number"] or match["ordinal"])
            yield Sign(start, stop, says, strength, context.is_alone, bool(match["mark"]) and context.is_heading)


def _strength_of_mark(context: Context) -> Strength | None:
    if context.is_rejected or context.is_condition_or_link:
        return None
    if context.is_bare or context.is_explained or context.is_labelled or context.is_concluded:
        return Strength.MARK
    if context.is_called_best or (context.is_last and not context.is_reference):
        return Strength.WORDS
    return None if context.is_code else Strength.HINT


def _strength_of_words(context: Context) -> Strength | None:
    if context.is_rejected or context.is_question:
        return None
    if context.is_labelled:
        return Strength.LABELLED_WORDS
    if context.is_called_best:
        return Strength.MARK if context.is_correction else Strength.WORDS
    if context.is_picked or (context.is_bare and context.is_last):
        return Strength.WORDS
    return Strength.HINT if context.is_called_better else None


def _joint_signs(start: int, stop: int, context: Context) -> Iterator[Sign]:
    """What a mention of both marks together says: a tie, or both where one was asked for; mostly nothing."""
    answered = context.without_either
    is_answer = answered.is_bare or (answered.is_labelled and not answered.is_duty)
    if context.is_called_tie:
        yield Sign(start, stop, Says.TIE, Strength.MARK if is_answer else Strength.WORDS)
    elif is_answer:
        yield Sign(start, stop, Says.BOTH, Strength.MARK)


def _digit_signs(plain: str, end: int) -> Iterator[Sign]:
    """Signs that are a number without square brackets: boxed, labelled, or alone on the first or the last line."""
    for match in _BOXED.finditer(plain):
        context = Context.around(plain, *match.span(), end)
        if context.is_last or context.is_labelled or context.is_bare:
            yield Sign(*match.span(), _said(match["digit"]), Strength.MARK, context.is_alone)
    for match in _LABELLED_DIGIT.finditer(plain):
        context = Context.around(plain, *match.span("digit"), end)
        if context.is_labelled:
            yield Sign(*match.span("digit"), _said(match["digit"]), Strength.LABELLED_WORDS, context.is_alone)
    for start, line in _outer_lines(plain):
        if bare := _DIGIT_LINE.fullmatch(line):
            yield Sign(start, start + len(line), _said(bare["digit"]), Strength.LABELLED_WORDS, alone=True)


def _tie_signs(plain: str) -> Iterator[Sign]:
    """Signs that the judge sees no better solution."""
    for match in _TIE.finditer(plain):
        strength = Strength.HINT if _THEN_BUT.match(plain, match.end()) else Strength.WORDS
        yield Sign(*match.span(), Says.TIE, strength)
    for match in _LABELLED_TIE.finditer(plain):
        yield Sign(*match.span(), Says.TIE, Strength.MARK)
    for start, line in _outer_lines(plain):
        if _TIE_LINE.fullmatch(line):
            yield Sign(start, start + len(line), Says.TIE, Strength.MARK)


def _said(name: str) -> Says:
    return Says.FIRST if name.casefold() in _FIRST else Says.SECOND


def _outer_lines(plain: str) -> list[tuple[int, str]]:
    """The first and the last line that are not blank, with their positions."""
    text = plain.strip()
    start = len(plain) - len(plain.lstrip())
    head, tail = text.partition("\n")[0], text.rpartition("\n")[2]
    return [(start, head[:AROUND]), (start + len(text) - len(tail), tail[:AROUND])]
