"""Train the student, then the teacher on the student's drafts, then measure both and write the card."""

import asyncio
import copy
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Annotated

import torch
import typer
from transformers import PreTrainedTokenizerFast

from clairgen.data.classroom.kinds import KINDS
from clairgen.data.classroom.questions import asked, draw, recognised
from classroom_models import checkpoint, gguf_file
from classroom_models.card import Taken, card
from classroom_models.decoding import answers
from classroom_models.examples import Lessons, RealDraft
from classroom_models.llama import Llama
from classroom_models.measuring import measured
from classroom_models.recipe import STUDENT_COURSE, STUDENT_SHAPE, TEACHER_COURSE, TEACHER_SHAPE, Course
from classroom_models.tokens import trained_tokenizer
from classroom_models.training import Progress, trained

DRAFTS_A_STUDENT = 2500
TEST_QUESTIONS = 1800
TEST_SEED = 2408


class Stage(StrEnum):
    """What can be made by itself; each stage needs the files of those before it."""

    STUDENT = "student"
    TEACHER = "teacher"
    CARD = "card"


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the models go, and where what only later stages need is kept."""

    out: Path
    work: Path


def main(
    stages: Annotated[list[Stage] | None, typer.Argument(help="What to make; all of it by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the models and the card.")] = Path("data/classroom"),
    work: Annotated[Path, typer.Option(help="Folder for the students' drafts and notes.")] = Path("build/classroom"),
    threads: Annotated[int, typer.Option(help="CPU threads; other counts give slightly other weights.")] = 1,
) -> None:
    """Train the classroom's models: PYTHONPATH=train python -m classroom_models."""
    torch.set_num_threads(threads)
    folders = Folders(out, work)
    work.mkdir(parents=True, exist_ok=True)
    wanted = stages or list(Stage)
    if Stage.STUDENT in wanted:
        _make_student(folders)
    if Stage.TEACHER in wanted:
        _make_teacher(folders)
    if Stage.CARD in wanted:
        _make_card(folders, threads)


def _make_student(folders: Folders) -> None:
    tokenizer = trained_tokenizer()
    course, halfway = STUDENT_COURSE, []
    started = time.monotonic()

    def report(progress: Progress, model: Llama) -> None:
        _tell("student", progress)
        if progress.step == course.steps // 2:
            halfway.append(copy.deepcopy(model))

    padding = int(tokenizer.pad_token_id)
    student = trained(STUDENT_SHAPE, course, iter(Lessons(tokenizer, course)), padding, report)
    _save("student", student, tokenizer, folders, course, time.monotonic() - started)
    drafts = _drafts(tokenizer, [(student, 0.7), (student, 1.0), *((model, 0.7) for model in halfway)])
    text = json.dumps([(question.prompt, draft) for question, draft in drafts])
    (folders.work / "drafts.json").write_text(text, encoding="utf-8")


def _make_teacher(folders: Folders) -> None:
    tokenizer = trained_tokenizer()
    course = TEACHER_COURSE
    rows = json.loads((folders.work / "drafts.json").read_text(encoding="utf-8"))
    questions = [(recognised(prompt), draft) for prompt, draft in rows]
    lessons = Lessons(tokenizer, course, [(question, draft) for question, draft in questions if question])
    started = time.monotonic()

    def report(progress: Progress, _: Llama) -> None:
        _tell("teacher", progress)
        if progress.step >= course.switch_at * course.steps:
            lessons.revise_share = course.revise_share[1]

    teacher = trained(TEACHER_SHAPE, course, iter(lessons), int(tokenizer.pad_token_id), report)
    _save("teacher", teacher, tokenizer, folders, course, time.monotonic() - started)


def _make_card(folders: Folders, threads: int) -> None:
    rows = asyncio.run(measured(draw(TEST_QUESTIONS, "test", TEST_SEED), folders.out))
    taken = {
        name: Taken(**json.loads((folders.work / f"{name}.json").read_text(encoding="utf-8")))
        for name in ("student", "teacher")
    }
    (folders.out / "README.md").write_text(card(rows, taken, folders.out, TEST_SEED, threads), encoding="utf-8")


def _drafts(tokenizer: PreTrainedTokenizerFast, students: Sequence[tuple[Llama, float]]) -> list[RealDraft]:
    """What each student answers to training questions of its own, at its temperature."""
    drafts: list[RealDraft] = []
    for seed, (student, temperature) in enumerate(students):
        random = Random(f"drafts {seed}")  # noqa: S311 - training needs no secrecy
        questions = [asked(random.choice(KINDS), "train", random) for _ in range(DRAFTS_A_STUDENT)]
        prompts = [question.prompt for question in questions]
        drafts += zip(questions, answers(student, tokenizer, prompts, temperature=temperature, seed=seed), strict=True)
    return drafts


def _save(
    name: str, model: Llama, tokenizer: PreTrainedTokenizerFast, folders: Folders, course: Course, seconds: float
) -> None:
    checkpoint.save(model, tokenizer, folders.out / name)
    gguf_file.save(model, tokenizer, f"clairgen classroom {name}", folders.out / name / "model.gguf")
    parameters = sum(weight.numel() for weight in model.parameters())
    taken = Taken(parameters, course.seed, course.steps, round(seconds))
    (folders.work / f"{name}.json").write_text(json.dumps(asdict(taken)), encoding="utf-8")


def _tell(name: str, progress: Progress) -> None:
    typer.echo(f"{name}: step {progress.step}, loss {progress.loss:.4f}, {progress.seconds:.0f} s", err=True)


if __name__ == "__main__":
    typer.run(main)
