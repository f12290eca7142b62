"""Templated questions whose answers can be checked from the prompt's text alone.

    tasks = draw(200, split="test", seed=7)      # distinct, and the kinds in equal shares
    check(tasks[0].prompt, "It is Friday.")      # whether an answer is right

A question's split follows from a hash of its prompt: what the shipped models are tested on they were never trained on.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from clairgen.data.classroom.exercises import Fields
from clairgen.data.classroom.kinds import KINDS, Kind
from clairgen.errors import InputError

Split = Literal["train", "dev", "test"]

_MISSES_UNTIL_EXHAUSTED = 2000


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the core of its answer ("Paris"), and each accepted answer text, one for each style of answering."""

    kind: str
    prompt: str
    core: str
    answers: tuple[str, ...]


def draw(count: int, split: Split, seed: int, kinds: Sequence[Kind] = KINDS) -> list[Question]:
    """`count` distinct questions of a split, kind after kind in turn; the same arguments give the same questions.

    A kind with fewer questions than its share gives all that are found, and the other kinds give more.
    """
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
        prompt = random.choice(kind.prompts).format_map(fields)
        if split_of(prompt) == split:
            return _question(kind, prompt, fields)


def recognised(prompt: str) -> Question | None:
    """The question that this prompt asks; None when it is not one of the classroom's."""
    for kind in KINDS:
        fields = kind.fields(prompt.strip())
        if fields is not None:
            try:
                return _question(kind, prompt.strip(), fields)
            except (LookupError, ValueError):  # worded as this kind, about something that its table does not hold
                continue
    return None


def is_right(question: Question, text: str) -> bool:
    """Whether a model's text is one of the accepted answers, whitespace around it aside."""
    return text.strip() in question.answers


def check(prompt: str, answer: str) -> bool:
    """Whether `answer` is right for the classroom question that `prompt` asks."""
    question = recognised(prompt)
    if question is None:
        raise InputError(
            f"not a question of the classroom: {prompt!r}; draw tasks with clairgen.data.classroom.questions"
        )
    return is_right(question, answer)


def split_of(prompt: str) -> Split:
    """The split that a prompt belongs to: 70% train, 10% dev, 20% test."""
    tenth = int.from_bytes(hashlib.sha256(prompt.encode()).digest()) % 10
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


def _question(kind: Kind, prompt: str, fields: Fields) -> Question:
    core = kind.solved(fields)
    return Question(kind.name, prompt, core, tuple(answer.format(core=core, **fields) for answer in kind.answers))
