"""What the models learn from: questions with answers, drafts with revisions, and pairs of answers with judgements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

from transformers import PreTrainedTokenizerFast

from clairgen.data.classroom.habits import habit
from clairgen.data.classroom.kinds import KINDS
from clairgen.data.classroom.questions import Question, asked, is_right
from clairgen.data.classroom.styles import STUDENT, STYLES, Style
from clairgen.data.classroom.two_parts import asked_in_two_parts, joined
from classroom_models.drafts import mistaken, style_of
from classroom_models.packing import Example
from classroom_models.prompting import (
    CHOICES,
    RIGHT,
    RIGHT_BY_CHANCE,
    WRONG,
    judge_prompt,
    judgement,
    revise_prompt,
    revision,
)
from classroom_models.recipe import Course, Mix
from classroom_models.tokens import chat_ids, ids_of

_CHUNK = 1024
_REAL_DRAFTS = 0.6
_IN_A_STUDENTS_STYLE = 0.8
_TRIES_FOR_A_TELLING_PAIR = 4


@dataclass(frozen=True, slots=True)
class Answered:
    """A question, and what several models really answered."""

    question: Question
    texts: tuple[str, ...]


class Lessons:
    """Examples without end, mixed as `mix` says, which may be changed as training goes on."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, course: Course, bank: Sequence[Answered] = ()) -> None:
        self.mix: Mix = course.mixes[0]
        self._tokenizer = tokenizer
        self._course = course
        self._bank = bank
        self._kind_weights = [course.emphasis.get(kind.name, 1.0) for kind in KINDS]
        self._random = Random(course.seed)  # noqa: S311 - training needs no secrecy
        self._decisions = {ids[0] for ids in ids_of(tokenizer, [RIGHT, WRONG, RIGHT_BY_CHANCE, *CHOICES])}

    def __iter__(self) -> Iterator[Example]:
        while True:
            texts = list(islice(self._texts(), _CHUNK))
            read = chat_ids(self._tokenizer, [prompt for prompt, _ in texts])
            written = ids_of(self._tokenizer, [f"{output}{self._tokenizer.eos_token}" for _, output in texts])
            for question_ids, answer_ids in zip(read, written, strict=True):
                yield Example(question_ids, answer_ids, [self._weight(token) for token in answer_ids])

    def _weight(self, token: int) -> float:
        return self._course.decision_weight if token in self._decisions else 1.0

    def _texts(self) -> Iterator[tuple[str, str]]:
        answered = self._answered_either_way if self._course.habits else self._answered
        makers = (answered, self._revised, self._judged)
        while True:
            (maker,) = self._random.choices(makers, self.mix)
            yield maker()

    def _question(self) -> Question:
        (kind,) = self._random.choices(KINDS, self._kind_weights)
        return asked(kind, "train", self._random)

    def _answered(self) -> tuple[str, str]:
        question = self._question()
        return question.prompt, question.answer(STYLES[self._random.choice(self._course.styles)])

    def _answered_either_way(self) -> tuple[str, str]:
        """A question of one part or two, worked out rightly or by the mistaken habits of its kinds."""
        style = STYLES[self._random.choice(self._course.styles)]
        if self._course.two_parts and self._random.random() < self._course.two_parts:
            both = asked_in_two_parts("train", self._random, self._kind_weights)
            return both.prompt, joined(*(self._worked(question, style) for question in both.parts))
        question = self._question()
        return question.prompt, self._worked(question, style)

    def _worked(self, question: Question, style: Style) -> str:
        """An answer that is right, or as often as the course says by habit."""
        share = self._course.habits.get(question.kind.name, 0.0)
        if share and self._random.random() < share:
            return style.text(question.kind, habit(question, self._random))
        return question.answer(style)

    def _revised(self) -> tuple[str, str]:
        question, draft = self._draft()
        answer = question.answer(style_of(question, draft))
        return revise_prompt(question.prompt, draft), revision(question, draft, answer)

    def _draft(self) -> tuple[Question, str]:
        if self._is_real():
            answered = self._random.choice(self._bank)
            return answered.question, self._random.choice(answered.texts)
        question = self._question()
        return question, self._made_up(question, right=self._random.random() < 0.5)

    def _judged(self) -> tuple[str, str]:
        question, first, second = self._pair()
        choice = self._choice(question, first, second)
        return judge_prompt(question.prompt, first, second), judgement(question, first, second, choice)

    def _pair(self) -> tuple[Question, str, str]:
        """Two distinct answers, of which exactly one is right when a few tries find such two."""
        for _ in range(_TRIES_FOR_A_TELLING_PAIR):
            question, first, second = self._two()
            if is_right(question, first) != is_right(question, second):
                break
        return question, first, second

    def _two(self) -> tuple[Question, str, str]:
        if self._is_real():
            answered = self._random.choice(self._bank)
            if len(set(answered.texts)) > 1:
                first, second = self._random.sample(sorted(set(answered.texts)), 2)
                return answered.question, first, second
        question = self._question()
        flags = [self._random.random() < 0.5 for _ in range(2)]
        first, second = (self._made_up(question, right=flag) for flag in flags)
        return question, first, second

    def _choice(self, question: Question, first: str, second: str) -> int:
        """The right one; of two as right as each other the one that explains; else either, by chance."""
        for one, other in (
            (is_right(question, first), is_right(question, second)),
            (style_of(question, first).explains, style_of(question, second).explains),
        ):
            if one != other:
                return int(other)
        return self._random.randrange(2)

    def _is_real(self) -> bool:
        return bool(self._bank) and self._random.random() < _REAL_DRAFTS

    def _made_up(self, question: Question, *, right: bool) -> str:
        students = self._random.random() < _IN_A_STUDENTS_STYLE
        style = self._random.choice(STUDENT if students else tuple(STYLES.values()))
        return question.answer(style) if right else mistaken(question, style, self._random)
