"""Wrong answers, made up: mistakes of the sort that a student makes in each kind of question."""

from collections.abc import Callable
from random import Random

from clairgen.data.classroom.kinds import KINDS
from clairgen.data.classroom.questions import Question
from clairgen.data.classroom.tables import (
    CAPITALS,
    DAYS,
    DETERMINERS,
    MONTHS,
    NUMBER_WORDS,
    OPPOSITES,
    PLURALS,
    THINGS,
    VERBS,
    WORDS,
    typos,
)

_KIND = {kind.name: kind for kind in KINDS}


def with_core(answer: str, core: str, other: str) -> str:
    """The answer with its core exchanged, in the same style."""
    before, _, after = answer.rpartition(core)
    return before + other + after


def wrong_core(question: Question, random: Random) -> str:
    """The core of a plausible wrong answer."""
    while True:
        mistaken = _MISTAKES[question.kind](question, random)
        if mistaken != question.core:
            return mistaken


def style_of(question: Question, draft: str) -> int:
    """The index of the accepted answer that a draft, right or wrong, is worded as."""
    shared = [_shared_prefix(answer, draft) for answer in question.answers]
    return shared.index(max(shared))


def _shared_prefix(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _field(question: Question, name: str) -> str:
    return (_KIND[question.kind].fields(question.prompt) or {})[name]


def _misordered(items: list[str], random: Random, others: Callable[[], str]) -> list[str]:
    """Two neighbours swapped, an item replaced, doubled or lost, or all shuffled."""
    place = random.randrange(len(items) - 1)
    match random.randrange(6):
        case 0 | 1:
            items[place], items[place + 1] = items[place + 1], items[place]
        case 2:
            items[random.randrange(len(items))] = others()
        case 3:
            items[place] = items[place + 1]
        case 4:
            del items[place]
        case _:
            random.shuffle(items)
    return items


def _numbers_misordered(question: Question, random: Random) -> str:
    items = question.core.split(", ")
    if random.random() < 0.15:
        return _field(question, "numbers")
    return ", ".join(_misordered(items, random, lambda: str(random.randint(1, 99))))


def _words_misordered(question: Question, random: Random) -> str:
    if random.random() < 0.15:
        return _field(question, "words")
    return " ".join(_misordered(question.core.split(), random, lambda: random.choice(THINGS)))


def _letters_misordered(question: Question, random: Random) -> str:
    letters = question.core.split()
    match random.randrange(6):
        case 0:
            return " ".join(reversed(letters))
        case 1:
            return " ".join(reversed(random.choice(WORDS)))
        case _:
            return " ".join(_misordered(letters, random, lambda: random.choice("abcdeghiklmnoprstuw")))


def _misspelt(question: Question, random: Random) -> str:
    words = question.core.split()
    place = random.choice((0, 1, 1, 2, 3, 4, 4))
    if random.random() < 0.25:
        return _field(question, "words")
    if place in (1, 4):
        words[place] = random.choice(WORDS) if random.random() < 0.7 else random.choice(sorted(typos(words[place])))
    else:
        words[place] = random.choice(VERBS if place == 2 else DETERMINERS)
    return " ".join(words)


def _another_number(question: Question, random: Random) -> str:
    numbers = _field(question, "numbers").split(", ")
    return random.choice(numbers) if random.random() < 0.7 else str(random.randint(1, 99))


def _near_number(question: Question, random: Random) -> str:
    return str(max(1, int(question.core) + random.choice((-10, -3, -2, -1, 1, 2, 3, 10, random.randint(-9, 9)))))


def _near_number_word(question: Question, random: Random) -> str:
    return NUMBER_WORDS[min(10, max(1, NUMBER_WORDS.index(question.core) + random.choice((-2, -1, 1, 2))))]


def _misformed_plural(question: Question, random: Random) -> str:
    word = _field(question, "word")
    return random.choice((word + "s", word + "es", word, word[:-1] + "ies", random.choice(list(PLURALS.values()))))


def _another_word(question: Question, random: Random) -> str:
    return random.choice(_field(question, "list").split(", ")) if random.random() < 0.8 else random.choice(WORDS)


def _one_of(choices: tuple[str, ...]) -> Callable[[Question, Random], str]:
    return lambda _, random: random.choice(choices)


_MISTAKES: dict[str, Callable[[Question, Random], str]] = {
    "sort": _numbers_misordered,
    "sort-down": _numbers_misordered,
    "largest": _another_number,
    "smallest": _another_number,
    "even-odd": _one_of(("even", "odd")),
    "next": _near_number,
    "sum": _near_number,
    "count": _near_number_word,
    "letters": _near_number_word,
    "backwards": _letters_misordered,
    "spelling": _misspelt,
    "word-order": _words_misordered,
    "alphabet": _another_word,
    "plural": _misformed_plural,
    "opposite": _one_of(tuple(OPPOSITES)),
    "capital": _one_of(tuple(CAPITALS.values())),
    "day": _one_of(DAYS),
    "month": _one_of(MONTHS),
}
