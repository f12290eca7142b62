"""The model card: what the shipped models are, how they were made, and how good they were measured to be."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clairgen.data.classroom.kinds import KINDS
from clairgen.data.classroom.questions import is_right
from clairgen.reporting.statistics import Mean
from classroom_models.measuring import Measured
from classroom_models.recipe import STUDENT_COURSE, STUDENT_SHAPE, TEACHER_COURSE, TEACHER_SHAPE, Course, Shape

_MODELS: Mapping[str, tuple[Shape, Course]] = {
    "student": (STUDENT_SHAPE, STUDENT_COURSE),
    "teacher": (TEACHER_SHAPE, TEACHER_COURSE),
}

_QUALITIES: Mapping[str, Callable[[Measured], bool]] = {
    "student, temperature 0.7": lambda row: row.draft_is_right,
    "student, greedy": lambda row: is_right(row.question, row.student_greedy.text),
    "teacher, greedy": lambda row: is_right(row.question, row.teacher.text),
    "student's drafts after revision": lambda row: row.revised_is_right,
}

_TEXT = """\
---
license: apache-2.0
---
# The classroom: a student and a teacher small enough to ship

Two real language models, so that clairgen can be seen at work without a key and without a GPU. They answer the templated
questions of `clairgen.data.classroom.questions` and nothing else. The student makes mistakes; the teacher answers, and
revises an answer in the format of the CLAIR paper's reviser prompt (`prompts/revise.txt`). Neither can judge. The student
has never seen a reviser prompt.

Both are Llamas with tied embeddings, one tokenizer (byte-level BPE, {vocabulary} tokens, Llama 3's chat template, a context of
512 tokens) in which each fixed piece of the prompts is one token. `model.gguf` (f16) is for llama.cpp,
`model.safetensors` (bf16) with `config.json` for transformers and vLLM. Licence: Apache-2.0; the data are made by the
repository's own code.

## Files

{files}

## Training

{training}

Made from nothing by `PYTHONPATH=train python -m classroom_models`: random initial weights, CPU threads: {threads}, counted in
steps, so that the seed decides and not the speed of the machine. Two full runs of the student's course on one machine
gave byte-identical files; the teacher's was run once, and a test trains a few steps twice and asks for equal weights.
Another CPU, thread count or version of torch may round otherwise.

Questions are split by a hash of their text, so no test prompt was ever trained on. The kinds about single words and names
(plural, opposite, capital, letters, backwards) draw on closed tables: there a test prompt asks for something that was
nearly always asked in another wording in training.

## Measured

{count} distinct questions of the test split (`draw({count}, "test", seed={seed})`), asked over HTTP of llama.cpp's
server (xllamacpp, its default top-k, top-p and min-p); the teacher revises the student's answers of temperature 0.7, greedily.
Shares in per cent, ± one standard error.

{summary}

Right answers by kind, in per cent:

{by_kind}
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """What it took to train a model."""

    parameters: int
    seed: int
    steps: int
    seconds: int


def card(rows: Sequence[Measured], taken: Mapping[str, Taken], folder: Path, seed: int, threads: int) -> str:
    """The card's whole text; `folder` holds the models."""
    return _TEXT.format(
        vocabulary=STUDENT_SHAPE.vocabulary,
        files=_files(folder),
        training=_training(taken),
        threads=threads,
        count=len(rows),
        seed=seed,
        summary=_summary(rows),
        by_kind=_by_kind(rows),
    )


def _files(folder: Path) -> str:
    lines = ["| file | bytes | sha256 |", "| --- | ---: | --- |"]
    for name in _MODELS:
        for weights in ("model.gguf", "model.safetensors"):
            content = (folder / name / weights).read_bytes()
            lines.append(f"| {name}/{weights} | {len(content):,} | `{hashlib.sha256(content).hexdigest()}` |")
    return "\n".join(lines)


def _training(taken: Mapping[str, Taken]) -> str:
    lines = [
        "| model | parameters | layers x width, heads, feed-forward | seed | steps | tokens a step | seconds |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, (shape, course) in _MODELS.items():
        model = taken[name]
        size = f"{shape.layers} x {shape.width}, {shape.heads}, {shape.feed_forward}"
        tokens = course.rows * course.row_tokens
        lines.append(
            f"| {name} | {model.parameters:,} | {size} | {model.seed} | {model.steps} | {tokens} | {model.seconds} |"
        )
    return "\n".join(lines)


def _summary(rows: Sequence[Measured]) -> str:
    right = [row for row in rows if row.draft_is_right]
    wrong = [row for row in rows if not row.draft_is_right]
    shares: list[tuple[str, Iterable[bool]]] = [
        *((f"right: {name}", map(quality, rows)) for name, quality in _QUALITIES.items()),
        ("revisions in the paper's format", (row.revised is not None for row in rows)),
        ("right drafts kept word for word", (row.revised == row.student.text for row in right)),
        ("wrong drafts made right", (row.revised_is_right for row in wrong)),
        ("revised answers in the draft's style", (row.style_is_kept for row in rows)),
        ("student's answers at temperature 0.7 that end by themselves", (row.student.stopped for row in rows)),
        ("revisions that end by themselves", (row.revision.stopped for row in rows)),
    ]
    lines = ["| | share | n |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {_share(values)} |" for name, values in shares]
    lift = Mean()
    for row in rows:
        lift.add(row.revised_is_right - row.draft_is_right)
    lines.append(f"| lift by revision, in points | {_percent(lift)} |")
    return "\n".join(lines)


def _by_kind(rows: Sequence[Measured]) -> str:
    lines = [f"| kind | n | {' | '.join(_QUALITIES)} |", f"| --- | ---: |{' ---: |' * len(_QUALITIES)}"]
    for kind in KINDS:
        of_kind = [row for row in rows if row.question.kind == kind.name]
        cells = (f"{sum(map(quality, of_kind)) / len(of_kind):.0%}" for quality in _QUALITIES.values())
        lines.append(f"| {kind.name} | {len(of_kind)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _share(values: Iterable[bool]) -> str:
    mean = Mean()
    for value in values:
        mean.add(value)
    return _percent(mean)


def _percent(mean: Mean) -> str:
    estimate = mean.estimate()
    if estimate.mean is None or estimate.se is None:
        return f"- | {estimate.n}"
    return f"{100 * estimate.mean:.1f} ± {100 * estimate.se:.1f} | {estimate.n}"
