"""Answers with a mistake, made up: something in the question misread, or a slip of the pen in a right answer."""

import re
from random import Random

from clairgen.data.classroom.questions import Question, is_sound
from clairgen.data.classroom.styles import STUDENT, STYLES, Style

_ENDS = re.compile(r"(\d+(?::\d+)?|[A-Za-z]+)\.$")
_WORD = re.compile(r"[A-Za-z]{2,}")
_LEADING = re.compile(r"(?<!\d)\d(?=\d)")


def mistaken(question: Question, style: Style, random: Random) -> str:
    """An answer in a style that is not sound: as often misread as slipped."""
    while True:
        text = _misread(question, style, random) if random.random() < 0.5 else _slipped(question, style, random)
        if text is not None and not is_sound(question, text):
            return text


def style_of(question: Question, text: str) -> Style:
    """The style that an answer, right or wrong, is worded in; a student's when it is none that is known."""
    return next((style for style in STYLES.values() if style.is_of(question.kind, text)), STUDENT[0])


def _misread(question: Question, style: Style, random: Random) -> str | None:
    """The answer to a question of the kind in which one digit or word of this one is another; None when there is none."""
    fields = dict(question.kind.fields(question.prompt) or {})
    slot = random.choice(sorted(fields))
    fields[slot] = _altered(fields[slot], random, question.kind.drawn(random).get(slot, ""))
    try:
        return style.text(question.kind, question.kind.worked(fields))
    except (LookupError, ValueError):  # what came of it is no question of this kind
        return None


def _slipped(question: Question, style: Style, random: Random) -> str:
    """The right answer with one digit or word of a step, or its result, exchanged for another."""
    text, body = question.answer(style), question.working.steps
    result = _ENDS.search(text)
    source = " ".join((question.kind.fields(question.prompt) or {}).values())
    if result and random.random() < 0.6:
        return text[: result.start()] + _altered(result[0], random, source)
    steps = list(body)
    place = random.randrange(len(steps))
    steps[place] = _altered(steps[place], random, source)
    return text.replace(", ".join(body), ", ".join(steps), 1)


def _altered(text: str, random: Random, source: str) -> str:
    """`text` with one digit, or else one word, exchanged; words come from `source`."""
    digits = [match.start() for match in re.finditer(r"\d", text)]
    if digits:
        place = random.choice(digits)
        leads = _LEADING.match(text, place) is not None
        digit = random.choice([d for d in "0123456789"[leads:] if d != text[place]])
        return text[:place] + digit + text[place + 1 :]
    words, others = list(_WORD.finditer(text)), _WORD.findall(source)
    if not words or not others:
        return text
    word = random.choice(words)
    exchanged: str = random.choice(others)
    return text[: word.start()] + exchanged + text[word.end() :]
