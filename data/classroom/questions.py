"""Templated questions whose answers can be checked from the prompt's text alone.

    tasks = draw(200, split="test", seed=7)      # distinct, and the kinds in equal shares
    check(tasks[0].prompt, "7+5=12, 4+8+1=13, 3+2+1=6. So it is 632.")      # whether the result is right

A question's split follows from a hash of what it asks, whatever the wording: what the shipped models are tested on they were
never trained on.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from clairgen.data.classroom.exercises import Fields, Working
from clairgen.data.classroom.kinds import KINDS, Kind
from clairgen.data.classroom.styles import STYLES, Style, stated_result
from clairgen.errors import InputError

Split = Literal["train", "dev", "test"]

_MISSES_UNTIL_EXHAUSTED = 2000


@dataclass(frozen=True, slots=True)
class Question:
    """A question and how it is worked out."""

    kind: Kind
    prompt: str
    working: Working

    def answer(self, style: Style) -> str:
        """The right answer in a style."""
        return style.text(self.kind, self.working)


def draw(count: int, split: Split, seed: int, kinds: Sequence[Kind] = KINDS) -> list[Question]:
    """`count` distinct questions of a split, kind after kind in turn; the same arguments give the same questions."""
    random = Random(f"{split} {seed}")  # noqa: S311 - questions need no secrecy
    sources = [_distinct(kind, split, random) for kind in kinds]
    questions: list[Question] = []
    while sources and len(questions) < count:
        for source in tuple(sources):
            question = next(source, None)
            if question is None:
                sources.remove(source)
            else:
                questions.append(question)
    if len(questions) < count:
        raise InputError(
            f"the {split} split of these kinds has about {len(questions)} questions, not {count}; ask for fewer"
        )
    return questions[:count]


def asked(kind: Kind, split: Split, random: Random) -> Question:
    """One question of a kind and split, which may come again."""
    while True:
        fields = kind.drawn(random)
        if split_of(kind, fields) == split:
            return Question(kind, random.choice(kind.prompts).format_map(fields), kind.worked(fields))


def recognised(prompt: str) -> Question | None:
    """The question that this prompt asks; None when it is not one of the classroom's."""
    for kind in KINDS:
        fields = kind.fields(prompt.strip())
        if fields is not None:
            try:
                return Question(kind, prompt.strip(), kind.worked(fields))
            except (LookupError, ValueError):  # worded as this kind, about something that its table does not hold
                continue
    return None


def is_right(question: Question, text: str) -> bool:
    """Whether a text ends with the right result, in whatever style and by whatever steps."""
    return stated_result(text) == question.working.result


def is_sound(question: Question, text: str) -> bool:
    """Whether a text is a right answer word for word, steps and all, in one of the classroom's styles."""
    return any(text.strip() == question.answer(style) for style in STYLES.values())


def check(prompt: str, answer: str) -> bool:
    """Whether `answer` ends with the right result for the classroom question that `prompt` asks."""
    question = recognised(prompt)
    if question is None:
        raise InputError(
            f"not a question of the classroom: {prompt!r}; draw tasks with clairgen.data.classroom.questions"
        )
    return is_right(question, answer)


def split_of(kind: Kind, fields: Fields) -> Split:
    """The split that a question belongs to, in every wording: 70% train, 10% dev, 20% test."""
    asks = json.dumps([kind.name, sorted(fields.items())])
    tenth = int.from_bytes(hashlib.sha256(asks.encode()).digest()) % 10
    return "test" if tenth < 2 else "dev" if tenth == 2 else "train"


def _distinct(kind: Kind, split: Split, random: Random) -> Iterator[Question]:
    seen: set[str] = set()
    misses = 0
    while misses < _MISSES_UNTIL_EXHAUSTED:
        question = asked(kind, split, random)
        if question.prompt in seen:
            misses += 1
        else:
            misses = 0
            seen.add(question.prompt)
            yield question
