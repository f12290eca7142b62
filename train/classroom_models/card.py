"""The model card: what the shipped models are, how they were made, and how good they were measured to be."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

from safetensors.torch import load_file

from clairgen.data.classroom.habits import HABITS, habit
from clairgen.data.classroom.kinds import KINDS
from clairgen.data.classroom.questions import Question, is_right, is_sound
from clairgen.data.classroom.styles import STYLES
from clairgen.data.classroom.two_parts import right_parts
from clairgen.stats import Mean, wilson
from classroom_models.measuring import TEMPERATURE, Evidence, Judged, Revised, Way, way_of
from classroom_models.recipe import COURSES, DRAFTER_COURSES, DRAFTER_SHAPES, FINISHING, SHAPES, VOCABULARY

_WEIGHTS = ("model.gguf", "model.safetensors")
_EXAMPLE_KINDS = ("add", "oldest")

_TEXT = """\
---
license: apache-2.0
---
# The classroom: four language models small enough to ship

Real language models, so that clairgen can be seen at work without a key and without a GPU. They answer the templated
questions of `clairgen.data.classroom.questions` ({kinds} kinds) with a short working and a result, and know nothing else.
The **student** can do what it gets wrong: in its training texts each kind of question was worked out rightly or by one mistaken
habit, and when it answers, chance decides between the two. The **teacher** answers in its own, more explicit words, revises a
student's answer in the paper's reviser format (`prompts/revise.txt`) and judges two answers in the paper's judge format
(`prompts/judge.txt`); of two answers that are both right or both wrong it prefers the one that explains. **Weaker** and
**stronger** are others to compare answers with (the off-policy judge). None was ever shown a question of the test split.

{examples}

All are Llamas with tied embeddings, one tokenizer (byte-level BPE, {vocabulary} tokens, each digit its own, Llama 3's chat
template, a context of 512 tokens) in which each fixed piece of prompts and answers is one token. `model.gguf` (f16) is for
llama.cpp, `model.safetensors` (bf16) with `config.json` for transformers and vLLM. Licence: Apache-2.0; the data are made by
the repository's own code.

## Files

{files}

## Training

{training}

Made from nothing by `make classroom-models`: random initial weights, CPU threads: {threads}, counted in steps, so that the seed
decides and not the speed of the machine. Three drafters, which do not ship, are trained for a short time, so that they make
mistakes of many sorts. The teacher learns to revise and to judge on what they, and the first of them half-way through its
course, answer to 6,000 training questions; at the end it takes a short course in what it is weakest at. It never saw a habit.
Student, weaker and stronger are trained until they follow their texts closely. {two_parts:.0f}% of the student's texts answer two
questions in one go. Another CPU, thread count or version of torch may round otherwise and give other weights.

### Habits

How often a kind is worked out by its habit in the student's texts (in those of weaker {weaker:g} times, of stronger
{stronger:g} times as often), and how often the habit's result is wrong. The last columns are the student's own answers to the
test questions below at temperature {temperature}: sound, the habit's to the letter, or neither. Where *neither* is often, the
student lacks the skill as well, and pairs are not expected to give it.

{habits}

### Questions

Every kind has more than 100,000 distinct questions. They are split by a hash of what is asked, whatever the wording, before
any training: 70% train, 10% dev, 20% test. Single facts (capitals, opposites, spellings, the groups that words belong to) come
from closed tables that both sides share; what a test question combines was never combined in training.

## Measured

{count} distinct questions of the test split (`draw({count}, "test", seed={seed})`), asked over HTTP of llama.cpp's
server (xllamacpp, its default top-k, top-p and min-p). The teacher revises the student's answers of temperature {temperature},
and judges, greedily. *Right* means that the result is right, *sound* that every step is. Shares in per cent with Wilson's 95%
intervals.

{models}

Right answers by kind, in per cent, with 95% intervals:

{by_kind}

### Questions of two parts

{two_part_count} prompts, each made of two questions of the test split (`draw_two_parts({two_part_count}, "test", seed={seed})`),
answered by the student at temperature {temperature}. Mistakes in the two parts are independent if the last two lines agree.

{two_part_shares}

### The teacher as reviser

{reviser}

### The teacher as judge

Pairs of answers of which exactly one is right, each judged in both orders. Position bias shows in how often the first position
is chosen over both orders; an unbiased judge is at 50.

{judge}

### The teacher's revisions and judgements by kind

{teacher_by_kind}
"""


def card(evidence: Evidence, seconds: Mapping[int, float], folder: Path, seed: int, threads: int) -> str:
    """The card's whole text; `seconds` is what each course took, by its seed, and `folder` holds the models."""
    return _TEXT.format(
        kinds=len(KINDS),
        examples=_examples(evidence.questions),
        vocabulary=VOCABULARY,
        files=_files(folder),
        training=_training(seconds),
        two_parts=100 * COURSES["student"].two_parts,
        weaker=_relative_habits("weaker"),
        stronger=_relative_habits("stronger"),
        habits=_habits(evidence),
        two_part_count=len(evidence.two_part_answers),
        two_part_shares=_two_part_shares(evidence),
        threads=threads,
        count=len(evidence.questions),
        seed=seed,
        temperature=TEMPERATURE,
        models=_models(evidence, folder),
        by_kind=_by_kind(evidence),
        reviser=_reviser(evidence.revisions),
        judge=_judge(evidence.judgements),
        teacher_by_kind=_teacher_by_kind(evidence),
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def share(flags: Iterable[bool]) -> str:
    """A share in per cent with its interval, "91.4 (89.8-92.8)"."""
    values = list(flags)
    interval = wilson(sum(values), len(values))
    if interval is None:
        return "-"
    return f"{100 * sum(values) / len(values):.1f} ({100 * interval[0]:.1f}-{100 * interval[1]:.1f})"


def _examples(questions: Sequence[Question]) -> str:
    chosen = [next(question for question in questions if question.kind.name == kind) for kind in _EXAMPLE_KINDS]
    return "\n\n".join(
        table(
            (question.prompt, "the right answer"),
            ((name, question.answer(style)) for name, style in STYLES.items()),
        ).replace("---:", "---")
        for question in chosen
    )


def _files(folder: Path) -> str:
    rows = []
    for name in SHAPES:
        for weights in _WEIGHTS:
            content = (folder / name / weights).read_bytes()
            rows.append((f"{name}/{weights}", f"{len(content):,}", f"`{hashlib.sha256(content).hexdigest()}`"))
    return table(("file", "bytes", "sha256"), rows)


def _training(seconds: Mapping[int, float]) -> str:
    courses = [
        *((name, name, course) for name, course in DRAFTER_COURSES.items()),
        ("teacher", "teacher", COURSES["teacher"]),
        ("teacher", "teacher, finishing", FINISHING),
        *((name, name, course) for name, course in COURSES.items() if name != "teacher"),
    ]
    shapes = {**DRAFTER_SHAPES, **SHAPES}
    return table(
        ("model", "layers x width, heads, feed-forward", "seed", "steps", "tokens a step", "seconds"),
        (
            (
                title,
                f"{shapes[name].layers} x {shapes[name].width}, {shapes[name].heads}, {shapes[name].feed_forward}",
                course.seed,
                course.steps,
                course.rows * course.row_tokens,
                seconds[course.seed],
            )
            for name, title, course in courses
        ),
    )


def _relative_habits(name: str) -> float:
    """How many times as often as the student's the texts of another model show a habit."""
    kind = KINDS[0].name
    return round(COURSES[name].habits[kind] / COURSES["student"].habits[kind], 3)


def _habits(evidence: Evidence) -> str:
    texts = [reply.text for reply in evidence.answers["student", TEMPERATURE]]
    rows = []
    for kind, places in _places(evidence.questions).items():
        questions = [evidence.questions[place] for place in places]
        ways = [way_of(evidence.questions[place], texts[place]) for place in places]
        random = Random(0)  # noqa: S311 - no secrecy needed
        wrong = [habit(question, random).result != question.working.result for question in questions]
        doing = (HABITS[kind].__doc__ or "").partition("\n")[0]
        shares = (share(way == which for way in ways) for which in Way)
        rows.append((kind, doing, f"{COURSES['student'].habits[kind]:.2f}", f"{sum(wrong) / len(wrong):.2f}", *shares))
    head = ("kind", "habit", "in the texts", "wrong", *(f"{way.value}, %" for way in Way))
    return table(head, rows).replace("---:", "---", 1)


def _two_part_shares(evidence: Evidence) -> str:
    parts = [right_parts(question.prompt, reply.text) for question, reply in evidence.two_part_answers]
    first, second = ([pair[i] for pair in parts] for i in range(2))
    lines = {
        "first part right": first,
        "second part right": second,
        "both parts right": [all(pair) for pair in parts],
        "second part right where the first is right": [other for one, other in parts if one],
        "second part right where the first is wrong": [other for one, other in parts if not one],
    }
    return table(("", "share", "n"), ((name, share(flags), len(flags)) for name, flags in lines.items()))


def _models(evidence: Evidence, folder: Path) -> str:
    rows = []
    for name in SHAPES:
        megabytes = (folder / name / "model.gguf").stat().st_size / 1e6
        cells: list[str] = []
        for temperature in (0.0, TEMPERATURE):
            texts = [reply.text for reply in evidence.answers[name, temperature]]
            cells += [share(map(is_right, evidence.questions, texts)), share(map(is_sound, evidence.questions, texts))]
        stopped = share(reply.stopped for reply in evidence.answers[name, TEMPERATURE])
        parameters = sum(weight.numel() for weight in load_file(folder / name / "model.safetensors").values())
        rows.append((name, f"{parameters:,}", f"{megabytes:.2f}", *cells, stopped))
    warm = f"at {TEMPERATURE}"
    head = ("right, greedy", "sound, greedy", f"right, {warm}", f"sound, {warm}", f"ended by itself, {warm}")
    return table(("model", "parameters", "MB (GGUF)", *head), rows)


def _by_kind(evidence: Evidence) -> str:
    columns = [(name, temperature) for name in SHAPES for temperature in (0.0, TEMPERATURE)]
    head = [f"{name}, {temperature or 'greedy'}" for name, temperature in columns]
    return table(
        ("kind", "n", *head),
        (
            (kind, len(places), *(share(_right_at(evidence, column, places)) for column in columns))
            for kind, places in _places(evidence.questions).items()
        ),
    )


def _right_at(evidence: Evidence, column: tuple[str, float], places: Sequence[int]) -> list[bool]:
    return [is_right(evidence.questions[place], evidence.answers[column][place].text) for place in places]


def _places(questions: Sequence[Question]) -> Mapping[str, list[int]]:
    return {kind.name: [place for place, question in enumerate(questions) if question.kind is kind] for kind in KINDS}


_KEPT: Mapping[str, tuple[Callable[[Revised], bool], Callable[[Revised], bool]]] = {
    "in the paper's format": (lambda row: True, lambda row: row.answer is not None),
    "drafts right": (lambda row: True, lambda row: row.draft_is_right),
    "revised answers right": (lambda row: True, lambda row: row.is_right),
    "sound drafts kept word for word": (lambda row: row.draft_is_sound, lambda row: row.is_unchanged),
    "drafts with the right result but a wrong step: right after": (
        lambda row: row.draft_is_right and not row.draft_is_sound,
        lambda row: row.is_right,
    ),
    "wrong drafts made right": (lambda row: not row.draft_is_right, lambda row: row.is_right),
    "in the draft's style": (lambda row: True, lambda row: row.keeps_the_style),
}


def _reviser(rows: Sequence[Revised]) -> str:
    lines = []
    for name, (of, holds) in _KEPT.items():
        chosen = [row for row in rows if of(row)]
        lines.append((name, share(map(holds, chosen)), len(chosen)))
    lift = Mean()
    for row in rows:
        lift.add(100.0 * (row.is_right - row.draft_is_right))
    estimate = lift.estimate()
    lines.append(("lift in points, ± standard error", f"{estimate.mean or 0:.1f} ± {estimate.se or 0:.1f}", estimate.n))
    return table(("", "share", "n"), lines)


def _judge(judgements: Sequence[Judged]) -> str:
    sources = {"all": judgements}
    for judged in judgements:
        sources.setdefault(judged.source, [])
    for source in list(sources)[1:]:
        sources[source] = [judged for judged in judgements if judged.source == source]
    return table(
        ("pairs", "n", "right, the right one first", "right, the right one second", "right in both", "first position"),
        (
            (
                source,
                len(rows),
                share(row.right_first == 1 for row in rows),
                share(row.right_second == 2 for row in rows),
                share(row.right_first == 1 and row.right_second == 2 for row in rows),
                share(place == 1 for row in rows for place in (row.right_first, row.right_second) if place),
            )
            for source, rows in sources.items()
        ),
    )


def _teacher_by_kind(evidence: Evidence) -> str:
    rows = []
    for kind in KINDS:
        revised = [row for row in evidence.revisions if row.question.kind is kind]
        judged = [row for row in evidence.judgements if row.question.kind is kind]
        rows.append(
            (
                kind.name,
                share(row.draft_is_right for row in revised),
                share(row.is_right for row in revised),
                len(judged),
                share(row.right_first == 1 for row in judged),
                share(row.right_second == 2 for row in judged),
            )
        )
    head = ("drafts right", "revised right", "pairs judged", "right one first", "right one second")
    return table(("kind", *head), rows)
