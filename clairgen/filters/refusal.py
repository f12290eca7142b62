"""The filter `refusal`: answers that decline to answer, in the phrases of models from several vendors.

Only the first sentences count. A refusal that turns ("However, here is ...") and then goes on at length is a hedge, and passes.
"""

import re

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Marking
from clairgen.filters.text import phrase_pattern, prose

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
_REFUSAL = phrase_pattern(
    (
        r"\bi ?<cannot> (<really> )?<do>\b",
        r"\bi('m| am) <barred>\b",
        r"\bi <dont> feel (comfortable|right)\b",
        r"\bi ?<must> (<politely> )?(decline|refuse)\b|\bi (<politely> )?(decline|refuse) to\b",
        r"\bi('d| would) (rather|prefer) not\b",
        r"\bi <dont> (have )+(currently )?(the |any )?(direct )?<access> to(?! (feel|think|experience|have|form))",
        r"\b(that|this|it)('s| is| would be) (not something i can|something i can't|against my)\b",
        r"\b(this|your|that) request (violates|goes against|is against|cannot be)\b",
        r"\bit('s| is| would be) <wrong> (or [\w ]+ )?(for me )?to <do>\b",
        r"\bich kann ([\wäöüß]+ ){0,4}nicht (helfen|bereitstellen|erfüllen|weiterhelfen)\b",
        r"\bje ne (peux|suis) pas (en mesure de |vous |t')?(aider|fournir|répondre|créer|écrire)",
        r"\bno puedo (ayudar|proporcionar|ofrecer|cumplir|crear|escribir|responder)",
        r"(抱歉|对不起|不好意思).{0,20}?(无法|不能)|申し訳(ありません|ございません)が.{0,40}?(できません|できかねます)",
    ),
    _LISTS,
    re.IGNORECASE,
)
_TURN = re.compile(
    r"\b(?:but|however|that said|nevertheless|nonetheless|instead|with that in mind|still)\b,? (?:[\w' ]{0,40}? )?"
    r"(?:here(?:'s| is| are)|i can|i could|i'll|i will|i'd be|let me|let's|for the purpose|we can|you can)\b"
    r"|\bhere (?:is|are) (?:a|an|some|the)\b",
    re.IGNORECASE,
)
_LETTER_OR_SPEECH = re.compile(
    r"^\W*(?:(?i:dear\b|(?:subject|to|from):)|[A-Z][\w'.]*(?: [A-Z]?[\w'.]+){0,3}\*{0,2}:)|^[\"“«]"
)
_WHILE = re.compile(r"\b(?:while|although|though|even if)(?: [\w',]+){0,6} *$", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?。！])\s*\n?|\n+")


def refuses(candidate: Candidate) -> Fault | None:
    """The reason says which answer declines; the value is the phrase."""
    pair = candidate.pair
    if phrase := refusal_in(pair.chosen.text):
        return Fault("chosen-refuses", phrase)
    phrase = refusal_in(pair.rejected.text)
    return Fault("rejected-refuses", phrase) if phrase else None


def refusal_in(answer: str) -> str | None:
    """The phrase with which an answer declines in its first sentences; None for an answer that goes on to answer."""
    text = answer.strip().replace("\u2019", "'")
    if _LETTER_OR_SPEECH.match(text):
        return None
    beginning = _first_sentences(prose(text[:_BEGINNING]))
    found = _REFUSAL.search(beginning)
    if found is None or _said_in_passing(beginning[: found.start()]):
        return None
    rest = text[text.find(found[0]) + len(found[0]) :]
    turn = _TURN.search(rest)
    if turn is not None and len(rest) - turn.end() >= _GOES_ON:
        return None
    return found[0]


def _first_sentences(text: str) -> str:
    sentences = [part for part in _SENTENCE_END.split(text) if part.strip()]
    return " ".join(sentences[:_SENTENCES])


def _said_in_passing(before: str) -> bool:
    """Whether what follows is quoted speech, or the subordinate half of a sentence ("While I can't ..., I can ...")."""
    return before.count('"') % 2 == 1 or before.count("“") > before.count("”") or bool(_WHILE.search(before))


REFUSAL = Filter(
    name="refusal",
    options=Marking,
    summary="Pairs with an answer that declines to answer.",
    prepare=always(refuses),
)
