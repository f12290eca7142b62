"""The filter `revision_mention`: chosen answers that mention that they are a revision, which the reviser must not (Appendix A).

Each phrase is one that a reviser says of an answer, not one that an answer may say of its subject: "the revised answer", but
not "the revised treaty". A phrase that is also in the rejected answer is no mention, and neither is one where the task itself
asks for a text to be revised.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Marking
from clairgen.filters.text import phrase_pattern, prose, straight
from clairgen.patterns import lazy_pattern

_LISTS = {
    "corrected": "corrected, revised, reworded, rephrased, amended",
    "improved": "improved, refined, enhanced, updated, rewritten, reworked, polished, edited, modified, clarified, fixed, "
    "refactored",
    "revised": "<corrected>, <improved>",
    "answer": "answer, response, solution, explanation, reply",
    "text": "<answer>, version, approach, code, program, script, function, text, draft, essay, calculations?, implementation, "
    "snippet, query, paragraph, passage, sentence, wording, reasoning, analysis, output",
    "few": r"([\w-]+\W? )?([\w-]+\W? )?([\w-]+\W? )?",
    "clarity": "clarity, correctness, accuracy, readability, engagement, conciseness, coherence, flow, grammar",
    "changes": "corrections, revisions, improvements, changes, edits, adjustments",
    "have": "'ve, have",
    "lately": "also, slightly, just, now, carefully",
    "original": "original, previous, initial, first, earlier",
    "mine": "your, my, the student's, the student",
}
_PHRASES = (
    # Here's a corrected and feasible approach
    r"here('s| is| are) <few><revised>,?( (and |but |more )?[\w-]+)?( [\w-]+)? <text>\b",
    # this enhanced code; in this corrected solution
    r"(this|these|my|your|our) (more |newly )?<revised> ([\w-]+ )?([\w-]+ )?<text>\b",
    # the revised solution; but a polished solution is what a company sells
    r"(the|an?) (newly )?<corrected> (and [\w-]+ )?<answer>\b",
    r"the <revised> (and [\w-]+ )?(answer|response|explanation)\b",
    # with the corrected approach; but the revised version of a treaty is history
    r"the <corrected> (approach|calculations?|code|program|script|wording|reasoning)\b",
    r"the <corrected> version\b(?! of (?!your|the <text>))",
    r"(an?|the) <few><revised> (and [\w-]+ )?version of (your|the|this|my) ([\w-]+ )?<answer>\b",
    r"in (this|the) <revised> version,",
    # enhanced for clarity and correctness
    r"<revised> (for|to (improve|enhance|increase|ensure)) ([\w-]+ )?<clarity>\b",
    # I've corrected the date; I have improved your answer; I have made a few changes
    r"i(<have>| <have>) (<lately> )?<corrected> (the|your|this|it|some|a few|and|my)\b",
    r"i(<have>| <have>) (<lately> )?<improved> (and [\w-]+ )?(it|(the|your|this) ([\w-]+ )?(<text>|<clarity>))\b",
    r"i(<have>| <have>) (<lately> )?<improved>[.!]? *$",
    r"i(<have>| <have>) made (some|a few|several|minor|the following|small|slight|these) ([\w-]+ )?<changes>\b",
    # your original answer; the student's solution
    r"<mine> (own )?<original> ([\w-]+ )?<answer>\b",
    r"the (original|previous|earlier) (student )?(answer|response|explanation)\b",
    r"the student's (answer|solution|response|explanation)\b",
    r"(corrected_)?student_solution\b|corrected student('s)? solution\b",
    # this revision makes clearer; but the revision of a law is law
    r"(this|my) (revision|rewrite)\b(?! (of|to) the\b)|these (revisions|corrections|edits)\b",
    r"(the|this|your|my) ([\w-]+ )?<text> (has|have) (now )?been ([\w-]+ )?<revised>\b",
    r"(after|upon) (reviewing|revising|revision of) (the|your|my) ([\w-]+ )?<answer>\b",
    r"(korrigierte|überarbeitete|verbesserte)[nrs]? (antwort|fassung|version|lösung)\b",
    r"(version|réponse|solution) (corrigée|révisée|améliorée)\b",
    r"(versión|respuesta|solución) (corregida|revisada|mejorada)\b",
)
_REVISED = tuple(word.strip() for name in ("corrected", "improved") for word in _LISTS[name].split(","))
_NEAR_REVISED = ("here's ", "here is ", "here are ", "version of ", " been ")
_NEXT_TO_REVISED = (
    *((f"{before} ", "") for before in ("this", "these", "my", "your", "our", "more", "newly", "the", "a", "an", "ve")),
    *((f"{before.strip()} ", "") for before in _LISTS["lately"].split(",")),
    *(("", after) for after in (" for ", " to ", " student", "_student")),
)
"""In every phrase with a word for revised is one of those texts, or one of these before or after that word."""
_WITHOUT = [one for one in _PHRASES if not re.search("<(revised|corrected|improved)>", one)]
# What phrases have in common stands before them once, which makes the search faster.
_MENTION, _MENTION_WITHOUT = (
    phrase_pattern((rf"\b(?=\w)({'|'.join(phrases)})",), _LISTS) for phrases in (_PHRASES, _WITHOUT)
)
_SIGNS: Mapping[str, Sequence[str]] = {
    "made": ("ve ",),
    **dict.fromkeys(("original", "previous", "earlier"), ("your ", "my ", "own ", "the ")),
    **dict.fromkeys(("initial", "first"), ("your ", "my ", "own ")),
    "student": ("the ",),
    "student_solution": ("",),
    "revision": ("this ", "my ", "these ", "after ", "upon "),
    "rewrite": ("this ", "my "),
    **dict.fromkeys(("corrections", "edits"), ("these ",)),
    **dict.fromkeys(("reviewing", "revising"), ("after ", "upon ")),
    **dict.fromkeys(("korrigierte", "überarbeitete", "verbesserte"), ("",)),
    **dict.fromkeys(("corrigée", "révisée", "améliorée", "corregida", "revisada", "mejorada"), ("",)),
}
"""In every other phrase is one of these words, and before it one of what stands here after it."""
_LABEL = phrase_pattern(
    (r"^[ \t#*_>-]*(<revised> ([\w-]+ )?<text>|<changes> made|key (corrections|revisions))[ \t*_]*(:|$)",),
    _LISTS,
    re.IGNORECASE | re.MULTILINE,
)
_SPEAKS_OF_CORRECTION = phrase_pattern((r"\b<corrected>\b|\bcorrections?\b|\brevisions?\b|\bstudent\b",), _LISTS)

_TASKS = {
    "revise": "correct, revise, rewrite, re-write, improve, edit, fix, polish, refine, enhance, amend",
    "revised": "corrected, revised, improved, edited, rewritten, polished, refined, enhanced",
    "it": "the, this, that, these, my, your, our, it, any, all, each, following, below, given, errors?, mistakes?, grammar, "
    "spelling, sentence",
    "text": "version, text, sentence, code, draft, essay, paragraph, answer, prompt, letter, email",
    "find": "find, spot, check, identify, detect, any, contains?",
    "better": "better, clearer, shorter, (more|less) (concise|formal|readable|engaging|professional|natural)",
}
_ASKS_FOR_REVISION = phrase_pattern(
    (
        r"\b<revise> ([\w-]+ )?<it>\b",
        r"\b<revised> ([\w-]+ )?<text>\b",
        r"\b(rewrite|rephrase|paraphrase|proofread|revise|reword|debug)\b",
        r"\bmake (it|this|that) (sound )?<better>\b",
        r"\b<find> ([\w-]+ )?([\w-]+ )?([\w-]+ )?([\w-]+ )?(errors?|mistakes?|typos?|bugs?)\b",
        r"\bcorrected (if|where)\b|\bgrammatical(ly)?\b|\bsuggestions? (for|to|on)\b",
    ),
    _TASKS,
)
_ASKS_FOR_CHANGE = lazy_pattern(r"\b(?:modify|update|extend|refactor|optimi[sz]e|change|adapt|expand|simplify|add)\b")
_PHRASES_COMPARED = 200
"""So many different phrases are looked for in the rejected answer, which keeps the filter linear in the text."""
_OPENING = lazy_pattern(r"^(?:here(?:'s| is| are) )?(?:in )?(?:(?:an?|the|my|your|this|these) )?")


def mentions_revision(candidate: Candidate) -> Fault | None:
    """The chosen answer calls itself a revision; the value is the phrase."""
    pair = candidate.pair
    phrases = dict.fromkeys(_phrases(pair.chosen.text))
    if not phrases:  # as nearly always, so that the task need not be looked at
        return None
    task = straight(" ".join(message.content for message in candidate.prompt))
    if _ASKS_FOR_REVISION.search(task):
        return None
    asks_for_change = _ASKS_FOR_CHANGE.search(task) is not None
    students: str | None = None
    for phrase in islice(phrases, _PHRASES_COMPARED):
        # A task that asks for a change may get "the updated code"; but it asked for no correction.
        if asks_for_change and not _SPEAKS_OF_CORRECTION.search(phrase):
            continue
        # The student's words may open differently: "Here is the revised prompt" for "Here's a revised prompt".
        students = straight(pair.rejected.text) if students is None else students
        if _OPENING.sub("", phrase) not in students:
            return Fault("mentions-revision", phrase)
    return None


def _phrases(chosen: str) -> Iterator[str]:
    said = prose(chosen)
    yield from (match[0] for match in _mentions(straight(said)))
    yield from (straight(match[0]).strip(" #*_>-:") for match in _LABEL.finditer(said))


def _mentions(said: str) -> Iterator[re.Match[str]]:
    """What `_MENTION` finds: it takes long, and in most answers are not even the words that a phrase needs."""
    if _has_revised(said):
        yield from _MENTION.finditer(said)
    elif _has_sign(said):
        yield from _MENTION_WITHOUT.finditer(said)


def _has_revised(said: str) -> bool:
    words = list(filter(said.__contains__, _REVISED))
    if words and any(map(said.__contains__, _NEAR_REVISED)):
        return True
    joined = (f"{before}{word}{after}" for word in words for before, after in _NEXT_TO_REVISED)
    return any(map(said.__contains__, joined))


def _has_sign(said: str) -> bool:
    joined = (f"{before}{sign}" for sign in filter(said.__contains__, _SIGNS) for before in _SIGNS[sign])
    return any(map(said.__contains__, joined))


REVISION_MENTION = Filter(
    name="revision_mention",
    options=Marking,
    summary="Revisions that openly say that they are one, where the task asked for none.",
    prepare=always(mentions_revision),
    only_revisions=True,
)
