"""Train the classroom's models: drafters, the teacher on what they answer, the others; then measure them and write the card."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated

import torch
import typer

from clairgen.data.classroom.kinds import KINDS
from clairgen.data.classroom.questions import asked, draw, recognised
from clairgen.data.classroom.two_parts import draw_two_parts
from classroom_models import checkpoint, gguf_file
from classroom_models.card import card
from classroom_models.checkpoint import answers
from classroom_models.examples import Answered, Lessons
from classroom_models.llama import Llama
from classroom_models.measuring import measured
from classroom_models.recipe import COURSES, DRAFTER_COURSES, DRAFTER_SHAPES, FINISHING, SHAPES, Course
from classroom_models.tokens import trained_tokenizer
from classroom_models.training import Progress, trained

BANK_QUESTIONS = 6000
BANK_MODELS = (
    ("drafter", 0.7),
    ("drafter", 0.7),
    ("drafter", 1.0),
    ("halfway", 0.7),
    ("weaker-drafter", 0.7),
    ("stronger-drafter", 0.7),
)
TEST_QUESTIONS = 1400
TWO_PART_QUESTIONS = 700
TEST_SEED = 2408
STAGES = (*DRAFTER_SHAPES, "bank", "teacher", "finishing", "student", "weaker", "stronger", "card")


def main(
    stages: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(STAGES)}; all by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the models and the card.")] = Path("data/classroom"),
    work: Annotated[Path, typer.Option(help="Folder of what only later stages need.")] = Path("build/classroom"),
    threads: Annotated[int, typer.Option(help="CPU threads; other counts give slightly other weights.")] = 2,
) -> None:
    """Train the classroom's models: PYTHONPATH=train python -m classroom_models."""
    if unknown := set(stages or ()) - set(STAGES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: the stages are {', '.join(STAGES)}")
    torch.set_num_threads(threads)
    work.mkdir(parents=True, exist_ok=True)
    wanted = stages or STAGES
    for name in DRAFTER_SHAPES:
        if name in wanted:
            _train(name, DRAFTER_COURSES[name], work, work)
    if "bank" in wanted:
        _fill_bank(work)
    if "teacher" in wanted:
        _train("teacher", COURSES["teacher"], work, work, _bank(work))
    if "finishing" in wanted:
        start = checkpoint.load(SHAPES["teacher"], work / "teacher")
        _train("teacher", FINISHING, out, work, _bank(work), start)
    for name in ("student", "weaker", "stronger"):
        if name in wanted:
            _train(name, COURSES[name], out, work)
    if "card" in wanted:
        _write_card(out, work, threads)


def _train(
    name: str, course: Course, out: Path, work: Path, bank: Sequence[Answered] = (), start: Llama | None = None
) -> None:
    """Train a model and write it to its folder in `out`; how long that took is noted in `work`."""
    tokenizer = trained_tokenizer()
    lessons = Lessons(tokenizer, course, bank)
    started = time.monotonic()

    def report(progress: Progress, model: Llama) -> None:
        typer.echo(f"{name}: step {progress.step}, loss {progress.loss:.4f}, {progress.seconds:.0f} s", err=True)
        if progress.step >= course.switch_at * course.steps:
            lessons.mix = course.mixes[1]
        if name == "drafter" and progress.step == course.steps // 2:
            checkpoint.save(model, tokenizer, work / "halfway")

    shape = {**DRAFTER_SHAPES, **SHAPES}[name]
    model = trained(shape, course, iter(lessons), int(tokenizer.pad_token_id), report, start)
    seconds = time.monotonic() - started
    checkpoint.save(model, tokenizer, out / name)
    gguf_file.save(model, tokenizer, f"clairgen classroom {name}", out / name / "model.gguf")
    (work / f"{name}-{course.seed}.json").write_text(json.dumps(round(seconds)), encoding="utf-8")


def _fill_bank(work: Path) -> None:
    """Write down what each model answers to training questions, at its temperature."""
    random = Random("bank")  # noqa: S311 - training needs no secrecy
    prompts = [asked(random.choice(KINDS), "train", random).prompt for _ in range(BANK_QUESTIONS)]
    columns = [
        answers(work / name, prompts, temperature=temperature, seed=seed)
        for seed, (name, temperature) in enumerate(BANK_MODELS)
    ]
    rows = list(zip(prompts, zip(*columns, strict=True), strict=True))
    (work / "bank.json").write_text(json.dumps(rows), encoding="utf-8")


def _bank(work: Path) -> list[Answered]:
    rows = json.loads((work / "bank.json").read_text(encoding="utf-8"))
    return [Answered(question, tuple(texts)) for prompt, texts in rows if (question := recognised(prompt))]


def _write_card(out: Path, work: Path, threads: int) -> None:
    two_parts = draw_two_parts(TWO_PART_QUESTIONS, "test", TEST_SEED)
    evidence = asyncio.run(measured(draw(TEST_QUESTIONS, "test", TEST_SEED), two_parts, out))
    seconds = {
        course.seed: json.loads((work / f"{name}-{course.seed}.json").read_text(encoding="utf-8"))
        for name, course in (*DRAFTER_COURSES.items(), *COURSES.items(), ("teacher", FINISHING))
    }
    (out / "README.md").write_text(card(evidence, seconds, out, TEST_SEED, threads), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
