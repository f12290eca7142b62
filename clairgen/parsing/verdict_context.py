"""The text around a possible verdict, and what it says of it: that it is one, a mere reference, or its opposite."""

import re
from dataclasses import dataclass

from clairgen.parsing.judge_language import BEST, COLON, DRESS, LABEL, SOLUTION
from clairgen.patterns import lazy_pattern

AROUND = 120
"""Characters before and after that are looked at, which keeps reading linear in the text."""

_TO_MARK = r"\s*[\"'`($_\s]*\Z"
_VERB = (
    r"(?:choose|chose|choosing|pick|picked|select|selected|prefer|favou?r|declare|recommend|opt for|vote for|vote is for"
    r"|(?:go|going|went|side|stick) with|settle (?:on|for)|lean(?:ing)? towards?|answer(?: with)?)"
)
_ADVERBS = r"(?:(?:\w{2,14}ly|the|a|an|my|overall|still|also|far|much|thus|just|by|hence|in|on|balance|fact|to|be|as),?[ ]+){0,4}"
_IS = r"(?:is|was|are|seems|appears|remains|feels|looks|would be|stands out|comes out)"
_AFTER_LABEL = lazy_pattern(rf"{LABEL}(?:{COLON}|>|[ _#~]*\n){_TO_MARK}", re.IGNORECASE)
_AFTER_FOREIGN_LABEL = lazy_pattern(
    rf"(?:\b(?:correct|right|expected|true|not|\w+'s?)|(?:student|solution)[ _]+[12])[ ]+{LABEL}{COLON}{_TO_MARK}",
    re.IGNORECASE,
)
_AFTER_DUTY = lazy_pattern(r"\b(?:must|should|has to) be\b\W*\Z", re.IGNORECASE)
_AFTER_VERB = lazy_pattern(rf"(?<!not )(?<!n't )\b{_VERB}[ ]+(?:the[ ])?(?:{SOLUTION}[ ])?[\"'`(]*\Z", re.IGNORECASE)
_AFTER_TURN = lazy_pattern(
    r"\b(?:no|wait|actually|correction|sorry|scratch that|on reflection|on second thoughts?)[,.:;!–—-]+[^\[\n.]{0,25}\s*\Z",
    re.IGNORECASE,
)
_AFTER_SO = lazy_pattern(
    r"\b(?:so|therefore|thus|hence|overall|in (?:conclusion|summary|short)|finally|ultimately)\b[\s,:–—-]*(?:it is|it's)?\s*\Z",
    re.IGNORECASE,
)
_AFTER_SENTENCE = lazy_pattern(r"[.!?:;–—>→-][\s\"'(]*\Z")
_AFTER_MAKING = lazy_pattern(r"\b(?:makes?|making|consider|find|judge|rate|rank|deem)[ ]+(?:the[ ])?\Z", re.IGNORECASE)
_AFTER_REFUSAL = lazy_pattern(
    r"(?:\][ ]*>+[ ]*|\b(?:not|than|over|versus|vs\.?|beats?|outperforms|surpasses|unlike|instead of|against"
    r"|compared (?:to|with)|neither|nor|else|otherwise|if|whether|either|unless)[ ]+(?:\w+[ ]+){0,2}[\"'(]*)\Z",
    re.IGNORECASE,
)
_AFTER_CONCESSION = lazy_pattern(r"\b(?:although|though|while|is|was)\s+(?:\w+\s+){0,2}\Z", re.IGNORECASE)
_AFTER_IN = lazy_pattern(
    r"(?:=|\b(?:in|of|from|by|to|like|as|for|at|see|cit(?:es|ing)|between|source|reference))[ ]+(?:the )?\Z",
    re.IGNORECASE,
)
_AFTER_EITHER = lazy_pattern(r"\b(?:either|both)[ ]+\Z", re.IGNORECASE)

_THEN_END = lazy_pattern(r"[ ]*[\"')`]*[ ]*(?:[.!;,:–—]|\n|\Z)")
_THEN_WHY = lazy_pattern(
    r"[ _\"'`)]*(?:[:.,;–—-]+(?=\s|\Z)|(?=(?:because|since|as|for|due)\b))(?!\s*(?:https?:|www\.|<))", re.IGNORECASE
)
_THEN_LINK = lazy_pattern(r":?[ ]*(?:https?:|www\.|<\w)", re.IGNORECASE)
_THEN_IF = lazy_pattern(r"\s*if\b", re.IGNORECASE)
_THEN_QUESTION = lazy_pattern(r"[^.!?\n]*+\?")
_THEN_FAULT = lazy_pattern(
    r"[ ]+(?:\w+ly[ ]+)?(?:(?:is|was)[ ]+(?:\w+ly[ ]+)?(?:not|wrong|incorrect|worse|weaker|inferior|less)"
    r"|does not|doesn't|isn't|has|contains|makes|lacks|misses|fails|ignores|forgets|omits|gets)\b",
    re.IGNORECASE,
)
_THEN_BEST = lazy_pattern(
    rf"[\"')]{{0,2}},?[ ]+(?P<is>{_IS}[ ]+)?{_ADVERBS}"
    rf"(?:(?:{BEST}|ranked (?:first|higher)|rated higher)(?:[ ]+{SOLUTION})?"
    r"(?=[ ]*(?:\Z|[.,;:!)\n\"'–—-]|(?:than|because|since|as|due|overall|here|and|given|by|with|but|of the two|so"
    r"|for (?:these|this|that|the|me|its))\b))"
    r"|(?P<wins>wins?|won|prevails|takes (?:it|the win)|has the edge|gets my vote|outperforms|beats|surpasses"
    r"|(?:on top|ahead)(?=[ ]*[.,;!\n]|[ ]*\Z))\b)",
    re.IGNORECASE,
)
_THEN_MORE = lazy_pattern(rf"[\"')]{{0,2}},?[ ]+{_IS}[ ]+{_ADVERBS}(?:more|clearer|better|best)\b", re.IGNORECASE)
_THEN_TIE = lazy_pattern(
    r"[ ]+(?:(?:are|were|is)\b[^.\n\[]{0,40}?\b(?:equal|equally|tied|a tie|identical|the same)|tie)\b", re.IGNORECASE
)

_BARE = lazy_pattern(DRESS)
_LABEL_LINE = lazy_pattern(rf"{DRESS}(?:{LABEL}{COLON})?{DRESS}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Context:
    """The text before and after a mention, and whether nothing but punctuation follows it in the whole answer."""

    before: str
    after: str
    is_last: bool

    @classmethod
    def around(cls, plain: str, start: int, stop: int, end: int) -> "Context":
        """The context of `plain[start:stop]` in a text whose last word ends at `end`."""
        return cls(plain[max(0, start - AROUND) : start], plain[stop : stop + AROUND], stop >= end)

    @property
    def is_bare(self) -> bool:
        """Whether it is alone on its line."""
        return bool(_BARE.fullmatch(self._line_before) and _BARE.fullmatch(self._line_after))

    @property
    def is_alone(self) -> bool:
        """Whether only a label is on its line as well."""
        return bool(_LABEL_LINE.fullmatch(self._line_before) and _BARE.fullmatch(self._line_after))

    @property
    def is_explained(self) -> bool:
        """Whether the line starts with the mark and continues with its reason: `[1]: it is complete`, `[2] because`."""
        return bool(_BARE.fullmatch(self._line_before) and _THEN_WHY.match(self.after))

    @property
    def is_labelled(self) -> bool:
        """Whether a label of the verdict precedes it, as in `Answer: [1]`, and not one of something else."""
        return bool(_AFTER_LABEL.search(self.before)) and not _AFTER_FOREIGN_LABEL.search(self.before)

    @property
    def is_duty(self) -> bool:
        """Whether a rule precedes it: "the answer must be"."""
        return _AFTER_DUTY.search(self.before) is not None

    @property
    def is_picked(self) -> bool:
        """Whether a verb of choosing precedes it: "I pick"."""
        return _AFTER_VERB.search(self.before) is not None

    @property
    def is_correction(self) -> bool:
        """Whether the judge takes something back before it: "no, wait:"."""
        return _AFTER_TURN.search(self.before) is not None

    @property
    def is_concluded(self) -> bool:
        """Whether a choice is announced before it: "I pick [1]", "no, [2]", "so [1]."; or it is a last sentence."""
        if self.is_picked or self.is_correction:
            return True
        if _AFTER_SO.search(self.before) and _THEN_END.match(self.after):
            return True
        return self.is_last and _AFTER_SENTENCE.search(self.before) is not None

    @property
    def is_called_best(self) -> bool:
        """Whether what follows says that it is the best, and neither asks nor concedes that."""
        best = _THEN_BEST.match(self.after)
        if best is None or self.is_question or _AFTER_CONCESSION.search(self.before):
            return False
        return bool(best["is"] or best["wins"] or _AFTER_MAKING.search(self.before))

    @property
    def is_called_better(self) -> bool:
        """Whether what follows says that it is more of something: "is clearer"."""
        return _THEN_MORE.match(self.after) is not None

    @property
    def is_faulted(self) -> bool:
        """Whether what follows names a fault of it."""
        return _THEN_FAULT.match(self.after) is not None

    @property
    def is_called_tie(self) -> bool:
        """Whether what follows says of several solutions that they are equal."""
        return _THEN_TIE.match(self.after) is not None

    @property
    def is_heading(self) -> bool:
        """Whether it may head a section about that solution."""
        if self.is_last or self.is_labelled or self.is_correction:
            return False
        return self.is_bare or self.is_explained

    @property
    def is_rejected(self) -> bool:
        """Whether the words before it speak of the other side: "rather than", "unlike", "if"."""
        return _AFTER_REFUSAL.search(self.before) is not None

    @property
    def is_question(self) -> bool:
        """Whether its sentence ends in a question mark."""
        return _THEN_QUESTION.match(self.after) is not None

    @property
    def is_condition_or_link(self) -> bool:
        """Whether an `if` follows it, or the address of a footnote."""
        return _THEN_IF.match(self.after) is not None or _THEN_LINK.match(self.after) is not None

    @property
    def is_reference(self) -> bool:
        """Whether it is named as a source or a location: "in [1]", "see [2]"."""
        return _AFTER_IN.search(self.before) is not None

    @property
    def is_code(self) -> bool:
        """Whether it continues code or an equation."""
        return self.before.rstrip(" ").endswith(("`", "="))

    @property
    def without_either(self) -> "Context":
        """The same without an "either" or "both" before it."""
        return Context(_AFTER_EITHER.sub("", self.before), self.after, self.is_last)

    @property
    def _line_before(self) -> str:
        return self.before.rpartition("\n")[2]

    @property
    def _line_after(self) -> str:
        return self.after.partition("\n")[0]
