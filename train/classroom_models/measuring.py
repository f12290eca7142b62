"""How good the models are, as a user meets them: the GGUF files, served by llama.cpp, asked over HTTP."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from clairgen.data.classroom.questions import Question, is_right
from clairgen.embedded.address import EmbeddedAddress
from clairgen.embedded.launch import serve
from classroom_models.drafts import style_of
from classroom_models.prompting import revise_prompt, revised_answer

_SLOTS = 16
_CONTEXT_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's text, and whether it ended by itself."""

    text: str
    stopped: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """One question with what the student answered (the draft), the teacher answered, and the teacher made of the draft."""

    question: Question
    student: Reply
    student_greedy: Reply
    teacher: Reply
    revision: Reply

    @property
    def draft_is_right(self) -> bool:
        """Whether the student's answer at temperature 0.7 is right."""
        return is_right(self.question, self.student.text)

    @property
    def revised(self) -> str | None:
        """The revised answer; None when the revision is not in the paper's format."""
        return revised_answer(self.revision.text)

    @property
    def revised_is_right(self) -> bool:
        """Whether there is a revised answer and it is right."""
        return self.revised is not None and is_right(self.question, self.revised)

    @property
    def style_is_kept(self) -> bool:
        """Whether the revised answer is worded as the draft is."""
        return self.revised is not None and style_of(self.question, self.revised) == style_of(
            self.question, self.student.text
        )


async def measured(questions: Sequence[Question], folder: Path) -> list[Measured]:
    """Both models' work on these questions; `folder` holds `student/model.gguf` and `teacher/model.gguf`."""
    prompts = [question.prompt for question in questions]
    async with serve(EmbeddedAddress(folder / "student" / "model.gguf", context=_CONTEXT_TOKENS), _SLOTS) as url:
        drafts = await replies(url, prompts, temperature=0.7)
        greedy = await replies(url, prompts, temperature=0.0)
    revise = [revise_prompt(prompt, draft.text) for prompt, draft in zip(prompts, drafts, strict=True)]
    async with serve(EmbeddedAddress(folder / "teacher" / "model.gguf", context=_CONTEXT_TOKENS), _SLOTS) as url:
        answers = await replies(url, prompts, temperature=0.0)
        revisions = await replies(url, revise, temperature=0.0)
    rows = zip(questions, drafts, greedy, answers, revisions, strict=True)
    return [Measured(*row) for row in rows]


async def replies(url: str, prompts: Sequence[str], temperature: float) -> list[Reply]:
    """One reply a prompt, the prompt's place in the list being its seed."""
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
            asks = [group.create_task(ask(seed, prompt)) for seed, prompt in enumerate(prompts)]
    return [ask.result() for ask in asks]
