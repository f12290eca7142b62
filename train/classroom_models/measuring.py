"""How good the models are, as a user meets them: the GGUF files, served by llama.cpp, asked over HTTP."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random

import httpx

from clairgen.data.classroom.habits import habit
from clairgen.data.classroom.questions import Question, is_right, is_sound
from clairgen.data.classroom.styles import STUDENT
from clairgen.data.classroom.two_parts import TwoPartQuestion
from clairgen.embedded.gguf import EmbeddedAddress
from clairgen.embedded.server import serve
from clairgen.parsing.revision import parse_revision
from clairgen.parsing.verdict import parse_verdict
from clairgen.records import ParseStatus
from classroom_models.drafts import style_of
from classroom_models.prompting import judge_prompt, revise_prompt
from classroom_models.recipe import SHAPES

TEMPERATURE = 0.7
_SLOTS = 16
_CONTEXT_TOKENS = 256
_VARIANT_TRIES = 12  # a habit has two variants at most
_SECOND_SAMPLE = 1_000_000  # far from the seeds of the first


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's text, and whether it ended by itself."""

    text: str
    stopped: bool


@dataclass(frozen=True, slots=True)
class Revised:
    """A student's draft and the teacher's revision of it; `answer` is None when it is not in the paper's format."""

    question: Question
    draft: str
    answer: str | None

    @property
    def draft_is_right(self) -> bool:
        """Whether the draft's result is right."""
        return is_right(self.question, self.draft)

    @property
    def draft_is_sound(self) -> bool:
        """Whether the draft is right in every step."""
        return is_sound(self.question, self.draft)

    @property
    def is_right(self) -> bool:
        """Whether there is a revised answer and its result is right."""
        return self.answer is not None and is_right(self.question, self.answer)

    @property
    def is_unchanged(self) -> bool:
        """Whether the draft was kept word for word."""
        return self.answer == self.draft

    @property
    def keeps_the_style(self) -> bool:
        """Whether the revised answer is worded as the draft is."""
        return self.answer is not None and style_of(self.question, self.answer) == style_of(self.question, self.draft)


@dataclass(frozen=True, slots=True)
class Judged:
    """Two answers of which exactly one is right, judged in both orders: the places chosen (1 or 2, None when neither).

    `source` says who wrote the two. In `right_first` the right answer stood first.
    """

    question: Question
    source: str
    right_first: int | None
    right_second: int | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was measured: answers by model and temperature in the questions' order, revisions, judgements."""

    questions: Sequence[Question]
    answers: Mapping[tuple[str, float], Sequence[Reply]]
    revisions: Sequence[Revised]
    judgements: Sequence[Judged]
    two_part_answers: Sequence[tuple[TwoPartQuestion, Reply]]


class Way(StrEnum):
    """How an answer was worked out."""

    SOUND = "sound"
    HABIT = "habit"
    NEITHER = "neither"


def way_of(question: Question, text: str) -> Way:
    """Whether an answer is right in every step, its kind's habit to the letter, or neither."""
    if is_sound(question, text):
        return Way.SOUND
    random = Random(0)  # noqa: S311 - only so that every variant of a habit comes
    by_habit = {style.text(question.kind, habit(question, random)) for _ in range(_VARIANT_TRIES) for style in STUDENT}
    return Way.HABIT if text in by_habit else Way.NEITHER


async def measured(questions: Sequence[Question], two_parts: Sequence[TwoPartQuestion], folder: Path) -> Evidence:
    """Every model's work on these questions; `folder` holds a `model.gguf` in a folder of each model's name."""
    prompts = [question.prompt for question in questions]
    again: list[Reply] = []
    both: list[Reply] = []
    answers: dict[tuple[str, float], Sequence[Reply]] = {}
    for name in SHAPES:
        async with _served(folder, name) as url:
            for temperature in (0.0, TEMPERATURE):
                answers[name, temperature] = await replies(url, prompts, temperature)
            if name == "student":
                again = await replies(url, prompts, TEMPERATURE, first_seed=_SECOND_SAMPLE)
                both = await replies(url, [question.prompt for question in two_parts], TEMPERATURE)
    drafts = [reply.text for reply in answers["student", TEMPERATURE]]
    pairs = [
        *_telling("two answers of the student", questions, drafts, [reply.text for reply in again]),
        *_telling(
            "one of weaker and one of stronger",
            questions,
            [reply.text for reply in answers["weaker", TEMPERATURE]],
            [reply.text for reply in answers["stronger", TEMPERATURE]],
        ),
    ]
    revise = [revise_prompt(*pair) for pair in zip(prompts, drafts, strict=True)]
    in_order = [judge_prompt(pair.question.prompt, pair.right, pair.wrong) for pair in pairs]
    turned = [judge_prompt(pair.question.prompt, pair.wrong, pair.right) for pair in pairs]
    async with _served(folder, "teacher") as url:
        revisions = await replies(url, revise, 0.0)
        verdicts = [await replies(url, asks, 0.0) for asks in (in_order, turned)]
    return Evidence(
        questions,
        answers,
        [
            _revised(question, draft, revision.text)
            for question, draft, revision in zip(questions, drafts, revisions, strict=True)
        ],
        [
            Judged(
                pair.question,
                pair.source,
                parse_verdict(first.text, (pair.right, pair.wrong)).choice,
                parse_verdict(second.text, (pair.wrong, pair.right)).choice,
            )
            for pair, first, second in zip(pairs, *verdicts, strict=True)
        ],
        list(zip(two_parts, both, strict=True)),
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    source: str
    question: Question
    right: str
    wrong: str


def _telling(source: str, questions: Sequence[Question], ones: Sequence[str], others: Sequence[str]) -> list[_Pair]:
    """The pairs of answers of which exactly one is right."""
    return [
        _Pair(source, question, one, other) if is_right(question, one) else _Pair(source, question, other, one)
        for question, one, other in zip(questions, ones, others, strict=True)
        if is_right(question, one) != is_right(question, other)
    ]


def _revised(question: Question, draft: str, text: str) -> Revised:
    revision = parse_revision(text, draft)
    return Revised(question, draft, revision.solution if revision.status is ParseStatus.OK else None)


def _served(folder: Path, name: str) -> AbstractAsyncContextManager[str]:
    return serve(EmbeddedAddress(folder / name / "model.gguf", context=_CONTEXT_TOKENS), _SLOTS)


async def replies(url: str, prompts: Sequence[str], temperature: float, first_seed: int = 0) -> list[Reply]:
    """One reply a prompt; the seeds count up from `first_seed`."""
    slots = asyncio.Semaphore(_SLOTS)
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def ask(seed: int, prompt: str) -> Reply:
            body = {
                "messages": [{"role": "user", "content": prompt}],
                "temperature": temperature,
                "max_tokens": 128,
                "seed": seed,
            }
            async with slots:
                response = await client.post("/chat/completions", json=body)
            choice = response.raise_for_status().json()["choices"][0]
            return Reply(choice["message"]["content"].strip(), choice["finish_reason"] == "stop")

        async with asyncio.TaskGroup() as group:
            asks = [group.create_task(ask(seed, prompt)) for seed, prompt in enumerate(prompts, first_seed)]
    return [ask.result() for ask in asks]
