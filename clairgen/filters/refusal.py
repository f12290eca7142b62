"""The filter `refusal`: answers that decline to answer, in the phrases of models from several vendors.

Only the first sentences count. A refusal that turns ("However, here is ...") and then goes on at length is a hedge, and passes.
"""

import re
from collections.abc import Iterator
from itertools import islice

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Marking
from clairgen.filters.text import phrase_pattern, prose
from clairgen.patterns import lazy_pattern

_BEGINNING = 500
_SENTENCES = 3
_GOES_ON = 500
"""With at least as many characters after the turn, the answer is given after all."""

_LISTS = {
    "cannot": "cannot, can't, can not, could not, am unable to, 'm unable to, am not able to, 'm not able to, won't, will not, "
    "shouldn't",
    "really": "ethically, actually, really, simply, currently, be able to, in good conscience, personally, directly",
    "do": "assist, provide, fulfil+, comply, create, write, generate, produce, engage, support, answer, give, offer, share, "
    "discuss, participate, respond, complete, reproduce, advise, "
    r"recommend(?![^.!?]*\benough), browse, access, open, view, translate, "
    "summari[sz]e, perform, execute, do (that|this|so), turn, endorse, encourage, promote, condone, facilitate, display, "
    r"send, tell you(?! how), make, satisfy, accommodate, help(?! (but|falling|feeling|myself|thinking|wondering|it\b))",
    "barred": "not comfortable, not going to(?! lie), not willing to, not permitted to, not allowed to, not designed to, "
    "prohibited from",
    "must": "must, have to, need to, 'll have to, will have to, would have to",
    "dont": "do not, don't, would not, wouldn't",
    "wrong": "not appropriate, inappropriate, not ethical, unethical, irresponsible",
    "access": "(real-time |real time )?access, capability, ability, capacity",
    "politely": "respectfully, politely",
}
_PHRASES = (
    r"i ?<cannot> (<really> )?<do>\b",
    r"i('m| am) <barred>\b",
    r"i <dont> feel (comfortable|right)\b",
    r"i ?<must> (<politely> )?(decline|refuse)\b",
    r"i (<politely> )?(decline|refuse) to\b",
    r"i('d| would) (rather|prefer) not\b",
    r"i <dont> (have )+(currently )?(the |any )?(direct )?<access> to(?! (feel|think|experience|have|form))",
    r"(that|this|it)('s| is| would be) (not something i can|something i can't|against my)\b",
    r"(this|your|that) request (violates|goes against|is against|cannot be)\b",
    r"it('s| is| would be) <wrong> (or [\w ]+ )?(for me )?to <do>\b",
    r"ich kann ([\wäöüß]+ ){0,4}nicht (helfen|bereitstellen|erfüllen|weiterhelfen)\b",
    r"je ne (peux|suis) pas (en mesure de |vous |t')?(aider|fournir|répondre|créer|écrire)",
    r"no puedo (ayudar|proporcionar|ofrecer|cumplir|crear|escribir|responder)",
)
_PHRASES_WITHOUT_SPACES = (
    r"(抱歉|对不起|不好意思).{0,20}?(无法|不能)|申し訳(ありません|ございません)が.{0,40}?(できません|できかねます)"
)
_REFUSAL = phrase_pattern((rf"\b({'|'.join(_PHRASES)})", _PHRASES_WITHOUT_SPACES), _LISTS)
"""In lower case. What the phrases have in common stands before them once, which makes the search fast."""
_SIGNS = (
    *("against", "violates", "cannot", "appropriate", "ethical", "irresponsible", "nicht", "peux", "suis", "puedo"),
    *("抱歉", "对不起", "不好意思", "申し訳"),
)
_SIGNS_OF_SPEAKERS = ("not", "n't", "unable", "prohibited", "decline", "refuse")
_SPEAKER = lazy_pattern(r"i(?<!\wi)(?:\b|am|can|could|have|must|need|should|will|won|would)")
"""In every phrase is one of the signs, or one of those of speakers and `i`; in most answers is neither, which need no search."""
_TURN = lazy_pattern(
    r"\b(?:but|however|that said|nevertheless|nonetheless|instead|with that in mind|still)\b,? (?:[\w' ]{0,40}? )?"
    r"(?:here(?:'s| is| are)|i can|i could|i'll|i will|i'd be|let me|let's|for the purpose|we can|you can)\b"
    r"|\bhere (?:is|are) (?:a|an|some|the)\b",
    re.IGNORECASE,
)
_LETTER_OR_SPEECH = lazy_pattern(
    r"^\W*(?:(?i:dear\b|(?:subject|to|from):)|[A-Z][\w'.]*(?: [A-Z]?[\w'.]+){0,3}\*{0,2}:)|^[\"“«]"
)
_WHILE = lazy_pattern(r"\b(?:while|although|though|even if)(?: [\w',]+){0,6} *$", re.IGNORECASE)
_SENTENCE_END = lazy_pattern(r"(?<=[.!?。！])\s*\n?|\n+")


def refuses(candidate: Candidate) -> Fault | None:
    """The reason says which answer declines; the value is the phrase."""
    pair = candidate.pair
    if phrase := refusal_in(pair.chosen.text):
        return Fault("chosen-refuses", phrase)
    phrase = refusal_in(pair.rejected.text)
    return Fault("rejected-refuses", phrase) if phrase else None


def refusal_in(answer: str) -> str | None:
    """The phrase with which an answer declines in its first sentences; None for an answer that goes on to answer."""
    # \u0130 is the one letter that lower case makes two of.
    text = answer.strip().replace("\u2019", "'").replace("\u0130", "I")
    beginning = text[:_BEGINNING]
    if not _may_refuse(beginning.lower()) or _LETTER_OR_SPEECH.match(text):
        return None
    beginning = _first_sentences(prose(beginning))
    found = _REFUSAL.search(beginning.lower())
    if found is None or _said_in_passing(beginning[: found.start()]):
        return None
    phrase = beginning[found.start() : found.end()]
    rest = text[text.find(phrase) + len(phrase) :]
    turn = _TURN.search(rest)
    if turn is not None and len(rest) - turn.end() >= _GOES_ON:
        return None
    return phrase


def _may_refuse(lowered: str) -> bool:
    if any(map(lowered.__contains__, _SIGNS)):
        return True
    return any(map(lowered.__contains__, _SIGNS_OF_SPEAKERS)) and _SPEAKER.search(lowered) is not None


def _first_sentences(text: str) -> str:
    return " ".join(islice(filter(str.strip, _sentences(text)), _SENTENCES))


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for end in _SENTENCE_END.finditer(text):
        yield text[start : end.start()]
        start = end.end()
    yield text[start:]


def _said_in_passing(before: str) -> bool:
    """Whether what follows is quoted speech, or the subordinate half of a sentence ("While I can't ..., I can ...")."""
    return before.count('"') % 2 == 1 or before.count("“") > before.count("”") or bool(_WHILE.search(before))


REFUSAL = Filter(
    name="refusal",
    options=Marking,
    summary="Pairs with an answer that declines to answer.",
    prepare=always(refuses),
)
