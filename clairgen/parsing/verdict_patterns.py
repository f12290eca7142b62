"""The forms in which a judge says which of two solutions is best.

The judge prompt asks for `[1]` or `[2]`, but an index, a footnote and a heading look the same. So every place that may tell
the choice is a sign with a strength, and `parsing.verdict` decides between the signs. Around a sign only a bounded stretch
is looked at, so reading is linear in the text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum

_AROUND = 120
_LETTERS = str.maketrans("*{}\u00a0\r’‘“”［］【】１２", "     ''\"\"[][]12")
_ESCAPE = re.compile(r"\\(?=[_\[\](){}])")

_FIRST = {"1", "one", "first", "1st", "former"}
_DRESS = r"[\s>#\"'_`~.()|•+:$!-]*"
_MARK = r"\[{1,2}[ ]?(?P<mark>[12])[ ]?\]{1,2}"
_BEST = r"(?:best|better|superior|stronger|strongest|preferable|preferred|winner|winning|favou?rite)"
_SOLUTION = r"(?:solution|answer|response|submission|option|candidate|choice|student|one)"
_LABEL = (
    rf"(?<![\w'])(?:(?:final|overall|chosen|{_BEST})[ _-]+)?"
    rf"(?:answer|verdict|choice|decision|conclusion|pick|selection|judge?ment|preference|{_BEST})"
    rf"(?:[ ]+{_SOLUTION})?(?:[ ]+(?:here|overall|of the two))?"
)
_COLON = r"[ _\"]*(?:[:=→–—]|->|=>|\b(?:is|was|would be|will be|must be|should be|has to be)\b:?)"
_TO_MARK = r"\s*[\"'`($_\s]*\Z"
_VERB = (
    r"(?:choose|chose|choosing|pick|picked|select|selected|prefer|favou?r|declare|recommend|opt for|vote for|vote is for"
    r"|(?:go|going|went|side|stick) with|settle (?:on|for)|lean(?:ing)? towards?|answer(?: with)?)"
)
_ADVERBS = r"(?:(?:\w{2,14}ly|the|a|an|my|overall|still|also|far|much|thus|just|by|hence|in|on|balance|fact|to|be|as),?[ ]+){0,4}"
_IS = r"(?:is|was|are|seems|appears|remains|feels|looks|would be|stands out|comes out)"
_NO_CHOICE = r"(?:it(?:'s| is) )?(?:an? )?(?:tied?|draw|both|neither|equal)"

_NAMED = re.compile(
    rf"(?:(?<![\w)\]]){_MARK}(?![\w(\[])"
    r"|\b(?:student|solution|answer|response|option|candidate|submission|number)(?:'s)?"
    r"(?:[ _#]{1,3}(?:solution|answer|response))?[ _#]{1,3}(?P<number>[12]|one|two)\b"
    r"|\bthe[ ](?P<ordinal>first|second|1st|2nd|former|latter)\b(?:[ ]student\b)?)"
    r"(?:'s)?(?:[ ](?:solution|answer|response|submission|option|version|work|one)\b)?",
    re.IGNORECASE,
)
_OTHER_MARK = re.compile(
    rf"[ ]*(?:,|/|&|\||and/or\b|or\b|and\b)?[ ]*(?:(?:maybe|perhaps|possibly)[ ])?{_MARK}(?![ ]+(?:is|was|has|lacks|does)\b)",
    re.IGNORECASE,
)
_BOXED = re.compile(r"\\(?:boxed|fbox)[ ]*(?:\\text(?:bf)?[ ]*)?\[?[ ]?(?P<digit>[12])(?!\w)[ ]?\]?")

_AFTER_LABEL = re.compile(rf"{_LABEL}(?:{_COLON}|>|[ _#~]*\n){_TO_MARK}", re.IGNORECASE)
_AFTER_FOREIGN_LABEL = re.compile(
    rf"(?:\b(?:correct|right|expected|true|not|\w+'s?)|(?:student|solution)[ _]+[12])[ ]+{_LABEL}{_COLON}{_TO_MARK}",
    re.IGNORECASE,
)
_AFTER_DUTY = re.compile(r"\b(?:must|should|has to) be\b\W*\Z", re.IGNORECASE)
_AFTER_VERB = re.compile(rf"(?<!not )(?<!n't )\b{_VERB}[ ]+(?:the[ ])?(?:{_SOLUTION}[ ])?[\"'`(]*\Z", re.IGNORECASE)
_AFTER_TURN = re.compile(
    r"\b(?:no|wait|actually|correction|sorry|scratch that|on reflection|on second thoughts?)[,.:;!–—-]+[^\[\n.]{0,25}\s*\Z",
    re.IGNORECASE,
)
_AFTER_SO = re.compile(
    r"\b(?:so|therefore|thus|hence|overall|in (?:conclusion|summary|short)|finally|ultimately)\b[\s,:–—-]*(?:it is|it's)?\s*\Z",
    re.IGNORECASE,
)
_AFTER_SENTENCE = re.compile(r"[.!?:;–—>→-][\s\"'(]*\Z")
_AFTER_MAKING = re.compile(r"\b(?:makes?|making|consider|find|judge|rate|rank|deem)[ ]+(?:the[ ])?\Z", re.IGNORECASE)
_AFTER_REFUSAL = re.compile(
    r"(?:\][ ]*>+[ ]*|\b(?:not|than|over|versus|vs\.?|beats?|outperforms|surpasses|unlike|instead of|against"
    r"|compared (?:to|with)|neither|nor|else|otherwise|if|whether|either|unless)[ ]+(?:\w+[ ]+){0,2}[\"'(]*)\Z",
    re.IGNORECASE,
)
_AFTER_CONCESSION = re.compile(r"\b(?:although|though|while|is|was)\s+(?:\w+\s+){0,2}\Z", re.IGNORECASE)
_AFTER_IN = re.compile(
    r"(?:=|\b(?:in|of|from|by|to|like|as|for|at|see|cit(?:es|ing)|between|source|reference))[ ]+(?:the )?\Z",
    re.IGNORECASE,
)
_AFTER_EITHER = re.compile(r"\b(?:either|both)[ ]+\Z", re.IGNORECASE)

_THEN_END = re.compile(r"[ ]*[\"')`]*[ ]*(?:[.!;,:–—]|\n|\Z)")
_THEN_WHY = re.compile(
    r"[ _\"'`)]*(?:[:.,;–—-]+(?=\s|\Z)|(?=(?:because|since|as|for|due)\b))(?!\s*(?:https?:|www\.|<))", re.IGNORECASE
)
_THEN_LINK = re.compile(r":?[ ]*(?:https?:|www\.|<\w)", re.IGNORECASE)
_THEN_IF = re.compile(r"\s*if\b", re.IGNORECASE)
_THEN_BUT = re.compile(r"[^.\n]{0,60}\b(?:but|however|yet|except)\b", re.IGNORECASE)
_THEN_QUESTION = re.compile(r"[^.!?\n]*+\?")
_THEN_FAULT = re.compile(
    r"[ ]+(?:\w+ly[ ]+)?(?:(?:is|was)[ ]+(?:\w+ly[ ]+)?(?:not|wrong|incorrect|worse|weaker|inferior|less)"
    r"|does not|doesn't|isn't|has|contains|makes|lacks|misses|fails|ignores|forgets|omits|gets)\b",
    re.IGNORECASE,
)
_THEN_BEST = re.compile(
    rf"[\"')]{{0,2}},?[ ]+(?P<is>{_IS}[ ]+)?{_ADVERBS}"
    rf"(?:(?:{_BEST}|ranked (?:first|higher)|rated higher)(?:[ ]+{_SOLUTION})?"
    r"(?=[ ]*(?:\Z|[.,;:!)\n\"'–—-]|(?:than|because|since|as|due|overall|here|and|given|by|with|but|of the two|so"
    r"|for (?:these|this|that|the|me|its))\b))"
    r"|(?P<wins>wins?|won|prevails|takes (?:it|the win)|has the edge|gets my vote|outperforms|beats|surpasses"
    r"|(?:on top|ahead)(?=[ ]*[.,;!\n]|[ ]*\Z))\b)",
    re.IGNORECASE,
)
_THEN_MORE = re.compile(rf"[\"')]{{0,2}},?[ ]+{_IS}[ ]+{_ADVERBS}(?:more|clearer|better|best)\b", re.IGNORECASE)
_THEN_TIE = re.compile(
    r"[ ]+(?:(?:are|were|is)\b[^.\n\[]{0,40}?\b(?:equal|equally|tied|a tie|identical|the same)|tie)\b", re.IGNORECASE
)

_BARE = re.compile(_DRESS)
_LABEL_LINE = re.compile(rf"{_DRESS}(?:{_LABEL}{_COLON})?{_DRESS}", re.IGNORECASE)
_VERDICT_LINE = re.compile(rf"{_DRESS}(?:{_LABEL}{_COLON})?{_DRESS}(?:\[{{0,2}}[12]\]{{0,2}})?{_DRESS}", re.IGNORECASE)
_DIGIT_LINE = re.compile(rf"{_DRESS}(?P<digit>[12]){_DRESS}")
_LABELLED_DIGIT = re.compile(
    rf"{_LABEL}(?:{_COLON}|>)[ ]*[\"'(]*(?P<digit>[12])(?=[\"')]*[ ]*(?:[.;!]?[ ]*$|</|(?:because|since)\b))",
    re.IGNORECASE | re.MULTILINE,
)
_TIE_LINE = re.compile(rf"{_DRESS}{_NO_CHOICE}{_DRESS}", re.IGNORECASE)
_LABELLED_TIE = re.compile(
    rf"{_LABEL}{_COLON}{_DRESS}{_NO_CHOICE}\b(?=[\"')]*[ ]*(?:[.;,!(–—-]|$|because\b))", re.IGNORECASE | re.MULTILINE
)
_TIE = re.compile(
    r"\bequally (?:good|strong|valid|well|matched|deserving|best)\b|\b(?:is|it's|as|call it|declare) an? (?:tie|draw)\b"
    r"|\ba tie between\b|\bneither (?:\w+ ){0,3}(?:better|best|stronger)\b|\bno clear (?:winner|difference)\b"
    r"|\b(?:ranked|rated) (?:both )?equal(?:ly)?\b|\bof equal quality\b|\btoo close to call\b"
    r"|\b(?:cannot|can't) (?:decide|choose|pick)\b",
    re.IGNORECASE,
)


class Says(Enum):
    """What a sign tells: one of the solutions, that they tie, or both of them where one was asked for.

    A hint that speaks against a solution counts as BOTH: it decides nothing and agrees with nothing.
    """

    FIRST = 1
    SECOND = 2
    TIE = 3
    BOTH = 4


class Strength(IntEnum):
    """How surely a sign is the verdict; of the strongest signs in an answer the last one counts.

    HINT is a mark inside a sentence, or a solution called "more correct": believed only where nothing disagrees. WORDS is a
    sentence that says which is best. LABELLED_WORDS is `Winner: Student 2`, or a number alone. MARK is `[1]` where its line,
    its label or its sentence leaves nothing else to mean.
    """

    HINT = 1
    WORDS = 2
    LABELLED_WORDS = 3
    MARK = 4


@dataclass(frozen=True, slots=True)
class Sign:
    """A place from `start` to `end` that may tell the choice.

    `alone` is whether only a label stands on its line as well. `heading` is whether it may head a section about that solution.
    """

    start: int
    end: int
    says: Says
    strength: Strength
    alone: bool = False
    heading: bool = False


def plain_letters(text: str) -> str:
    """The text with spaces for emphasis, braces and escapes and with plain quotes, every position unchanged."""
    return _ESCAPE.sub(" ", text.translate(_LETTERS))


def is_verdict_line(line: str) -> bool:
    """Whether nothing but a verdict stands there, perhaps with its label: `Answer: [1]`."""
    return _VERDICT_LINE.fullmatch(line) is not None


def signs(plain: str) -> list[Sign]:
    """All signs in a text of plain letters, in their order; marks that head a section about each solution are none."""
    end = len(plain.rstrip(" \t\n.!?,\"'_`~)>|#$-"))
    found = [*_named_signs(plain, end), *_digit_signs(plain, end), *_tie_signs(plain)]
    if len({sign.says for sign in found if sign.heading}) > 1:
        found = [sign for sign in found if not sign.heading]
    return sorted(found, key=lambda sign: sign.start)


@dataclass(frozen=True, slots=True)
class _Place:
    """What stands near a sign, and whether the sign ends the answer."""

    before: str
    after: str
    is_last: bool

    @property
    def line_before(self) -> str:
        return self.before.rpartition("\n")[2]

    @property
    def line_after(self) -> str:
        return self.after.partition("\n")[0]

    @property
    def is_bare(self) -> bool:
        return bool(_BARE.fullmatch(self.line_before) and _BARE.fullmatch(self.line_after))

    @property
    def is_alone(self) -> bool:
        return bool(_LABEL_LINE.fullmatch(self.line_before) and _BARE.fullmatch(self.line_after))

    @property
    def is_explained(self) -> bool:
        """Whether the line starts with the mark and goes on with its reason: `[1]: it is complete`, `[2] because`."""
        return bool(_BARE.fullmatch(self.line_before) and _THEN_WHY.match(self.after))

    @property
    def is_labelled(self) -> bool:
        return bool(_AFTER_LABEL.search(self.before)) and not _AFTER_FOREIGN_LABEL.search(self.before)

    @property
    def is_concluded(self) -> bool:
        """Whether what leads to the mark announces a choice: "I pick [1]", "no, [2]", "so [1]."; or it is a last sentence."""
        if _AFTER_VERB.search(self.before) or _AFTER_TURN.search(self.before):
            return True
        if _AFTER_SO.search(self.before) and _THEN_END.match(self.after):
            return True
        return self.is_last and _AFTER_SENTENCE.search(self.before) is not None

    @property
    def is_called_best(self) -> bool:
        best = _THEN_BEST.match(self.after)
        if best is None or _THEN_QUESTION.match(self.after) or _AFTER_CONCESSION.search(self.before):
            return False
        return bool(best["is"] or best["wins"] or _AFTER_MAKING.search(self.before))

    @property
    def is_heading(self) -> bool:
        if self.is_last or self.is_labelled or _AFTER_TURN.search(self.before):
            return False
        return self.is_bare or self.is_explained


def _place(plain: str, start: int, stop: int, end: int) -> _Place:
    return _Place(plain[max(0, start - _AROUND) : start], plain[stop : stop + _AROUND], stop >= end)


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
            yield from _joint_signs(start, read_to, _place(plain, start, read_to, end))
            continue
        place = _place(plain, start, stop, end)
        strength = _strength_of_mark(place) if match["mark"] else _strength_of_words(place)
        if strength is not None:
            is_blamed = strength is Strength.HINT and _THEN_FAULT.match(place.after)
            says = Says.BOTH if is_blamed else _said(match["mark"] or match["number"] or match["ordinal"])
            yield Sign(start, stop, says, strength, place.is_alone, bool(match["mark"]) and place.is_heading)


def _strength_of_mark(place: _Place) -> Strength | None:
    if _AFTER_REFUSAL.search(place.before) or _THEN_IF.match(place.after) or _THEN_LINK.match(place.after):
        return None
    if place.is_bare or place.is_explained or place.is_labelled or place.is_concluded:
        return Strength.MARK
    if place.is_called_best or (place.is_last and not _AFTER_IN.search(place.before)):
        return Strength.WORDS
    return None if place.before.rstrip(" ").endswith(("`", "=")) else Strength.HINT


def _strength_of_words(place: _Place) -> Strength | None:
    if _AFTER_REFUSAL.search(place.before) or _THEN_QUESTION.match(place.after):
        return None
    if place.is_labelled:
        return Strength.LABELLED_WORDS
    if place.is_called_best:
        return Strength.MARK if _AFTER_TURN.search(place.before) else Strength.WORDS
    if _AFTER_VERB.search(place.before) or (place.is_bare and place.is_last):
        return Strength.WORDS
    return Strength.HINT if _THEN_MORE.match(place.after) else None


def _joint_signs(start: int, stop: int, place: _Place) -> Iterator[Sign]:
    """What a mention of both marks together tells: a tie, or both where one was asked for; mostly nothing."""
    answered = _Place(_AFTER_EITHER.sub("", place.before), place.after, place.is_last)
    is_answer = answered.is_bare or (answered.is_labelled and not _AFTER_DUTY.search(answered.before))
    if _THEN_TIE.match(place.after):
        yield Sign(start, stop, Says.TIE, Strength.MARK if is_answer else Strength.WORDS)
    elif is_answer:
        yield Sign(start, stop, Says.BOTH, Strength.MARK)


def _digit_signs(plain: str, end: int) -> Iterator[Sign]:
    """Signs that are a number without square brackets: boxed, labelled, or alone on the first or the last line."""
    for match in _BOXED.finditer(plain):
        place = _place(plain, *match.span(), end)
        if place.is_last or place.is_labelled or place.is_bare:
            yield Sign(*match.span(), _said(match["digit"]), Strength.MARK, place.is_alone)
    for match in _LABELLED_DIGIT.finditer(plain):
        place = _place(plain, *match.span("digit"), end)
        if place.is_labelled:
            yield Sign(*match.span("digit"), _said(match["digit"]), Strength.LABELLED_WORDS, place.is_alone)
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
    return [(start, head[:_AROUND]), (start + len(text) - len(tail), tail[:_AROUND])]
