"""Questions of two parts, asked and answered one after the other: two mistakes are possible, and a reviser may correct one.

prompt   Add 347 and 285. Which word does not belong with the others: tiger, bread, horse, goat?
answer   7+5=12, 4+8=12, 3+2=5. So it is 522. tiger animal, bread food, horse animal, goat animal. So it is bread.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from clairgen.data.classroom.kinds import KINDS
from clairgen.data.classroom.questions import Question, Split, asked, is_right, recognised
from clairgen.data.classroom.styles import STUDENT, Style
from clairgen.errors import InputError

_SENTENCE_END: Final = re.compile(r"(?<=[.?]) ")
_CLOSINGS: Final = "|".join(re.escape(str(style.closing).partition("{result}")[0]) for style in STUDENT)
_FIRST_ANSWER: Final = re.compile(rf"(.*?\. (?:{_CLOSINGS})\S+\.) (.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TwoPartQuestion:
    """Two questions of different kinds that are asked in one prompt."""

    first: Question
    second: Question

    @property
    def prompt(self) -> str:
        """Both questions."""
        return f"{self.first.prompt} {self.second.prompt}"

    @property
    def parts(self) -> tuple[Question, Question]:
        """Both questions, in order."""
        return self.first, self.second

    def answer(self, style: Style) -> str:
        """The right answers to both, in one of a student's styles."""
        return joined(self.first.answer(style), self.second.answer(style))


def draw_two_parts(count: int, split: Split, seed: int) -> list[TwoPartQuestion]:
    """`count` distinct questions of two parts, each part from the split; the same arguments give the same questions."""
    random = Random(f"two parts {split} {seed}")  # noqa: S311 - questions need no secrecy
    questions: dict[str, TwoPartQuestion] = {}
    while len(questions) < count:
        question = asked_in_two_parts(split, random)
        questions.setdefault(question.prompt, question)
    return list(questions.values())


def asked_in_two_parts(split: Split, random: Random, weights: Sequence[float] | None = None) -> TwoPartQuestion:
    """One question of two parts of different kinds, which may come again; `weights` is how often each kind comes."""
    first, second = random.choices(KINDS, weights, k=2)
    while second is first:
        (second,) = random.choices(KINDS, weights)
    return TwoPartQuestion(asked(first, split, random), asked(second, split, random))


def recognised_parts(prompt: str) -> TwoPartQuestion | None:
    """The question of two parts that this prompt asks; None when it is not one of the classroom's."""
    prompt = prompt.strip()
    for end in _SENTENCE_END.finditer(prompt):
        first, second = recognised(prompt[: end.start()]), recognised(prompt[end.end() :])
        if first is not None and second is not None:
            return TwoPartQuestion(first, second)
    return None


def answers_of_parts(text: str) -> tuple[str, str] | None:
    """The answers to the first and the second part; None for a text that does not hold two answers in a student's style."""
    found = _FIRST_ANSWER.fullmatch(text.strip())
    return (found[1], found[2]) if found else None


def joined(first: str, second: str) -> str:
    """Two answers as one."""
    return f"{first} {second}"


def right_parts(prompt: str, answer: str) -> tuple[bool, bool]:
    """Which parts of `answer` are right for the question of two parts that `prompt` asks; neither if it has no two parts."""
    question = recognised_parts(prompt)
    if question is None:
        raise InputError(f"not a question of two parts of the classroom: {prompt!r}; draw tasks with draw_two_parts")
    answers = answers_of_parts(answer)
    if answers is None:
        return False, False
    return is_right(question.first, answers[0]), is_right(question.second, answers[1])
