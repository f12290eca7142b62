"""What the models learn from: questions with answers, and drafts with revisions."""

from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random

from transformers import PreTrainedTokenizerFast

from clairgen.data.classroom.kinds import KINDS
from clairgen.data.classroom.questions import Question, asked, is_right
from classroom_models.drafts import style_of, with_core, wrong_core
from classroom_models.packing import Example
from classroom_models.prompting import revise_prompt, revision
from classroom_models.recipe import Course
from classroom_models.tokens import chat_ids, ids_of

_CHUNK = 1024
_REAL_DRAFTS = 0.4

RealDraft = tuple[Question, str]


class Lessons:
    """Examples without end, revisions among them at a share that may change as training goes on.

    `real_drafts` are answers that students really gave; they serve as draft in two of five revisions.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, course: Course, real_drafts: Sequence[RealDraft] = ()
    ) -> None:
        self.revise_share = course.revise_share[0]
        self._tokenizer = tokenizer
        self._decision_weight = course.decision_weight
        self._real_drafts = real_drafts
        self._kind_weights = [course.emphasis.get(kind.name, 1.0) for kind in KINDS]
        self._random = Random(course.seed)  # noqa: S311 - training needs no secrecy
        self._decisions = {ids[0] for ids in ids_of(tokenizer, [" right", " wrong"])}

    def __iter__(self) -> Iterator[Example]:
        while True:
            texts = list(islice(self._texts(), _CHUNK))
            read = chat_ids(self._tokenizer, [prompt for prompt, _ in texts])
            written = ids_of(self._tokenizer, [f"{output}{self._tokenizer.eos_token}" for _, output in texts])
            for question_ids, answer_ids in zip(read, written, strict=True):
                yield Example(question_ids, answer_ids, [self._weight(token) for token in answer_ids])

    def _weight(self, token: int) -> float:
        return self._decision_weight if token in self._decisions else 1.0

    def _texts(self) -> Iterator[tuple[str, str]]:
        while True:
            revising = self._random.random() < self.revise_share
            yield self._revised() if revising else self._answered()

    def _question(self) -> Question:
        (kind,) = self._random.choices(KINDS, self._kind_weights)
        return asked(kind, "train", self._random)

    def _answered(self) -> tuple[str, str]:
        question = self._question()
        return question.prompt, self._random.choice(question.answers)

    def _revised(self) -> tuple[str, str]:
        question, draft = self._draft()
        answer = question.answers[style_of(question, draft)]
        return revise_prompt(question.prompt, draft), revision(question.core, is_right(question, draft), answer)

    def _draft(self) -> RealDraft:
        if self._real_drafts and self._random.random() < _REAL_DRAFTS:
            return self._random.choice(self._real_drafts)
        question = self._question()
        answer = self._random.choice(question.answers)
        if self._random.random() < 0.5:
            answer = with_core(answer, question.core, wrong_core(question, self._random))
        return question, answer
