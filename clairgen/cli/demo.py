"""`clairgen demo`: the whole workflow, four recipes on small models that ship with clairgen, then training; no key, no GPU."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from clairgen.cli.demo_training import print_step, train_and_compare, training_is_installed
from clairgen.cli.export import print_export
from clairgen.cli.generate import generate_with_progress, print_summary
from clairgen.cli.signals import run_coroutine
from clairgen.data.classroom.questions import check, draw
from clairgen.errors import FAILED, InputError, MissingExtraError
from clairgen.records import Pair, StoredPair
from clairgen.stats import Estimate, Mean

_CONFIG: Final = """\
# The paper's four data sets over templated questions, made by small language models that ship with clairgen.
recipes: [clair, judge-on-policy, judge-off-policy, stronger-preferred]
seed: 0
tasks: {path: questions.jsonl}
models:
  target: {model: classroom-student, endpoints: ["classroom:student"], temperature: 0.7, max_tokens: 96, concurrency: 16}
  reviser: {model: classroom-teacher, endpoints: ["classroom:teacher"], temperature: 0, max_tokens: 160, concurrency: 16}
  stronger: {model: classroom-teacher, endpoints: ["classroom:teacher"], temperature: 0, max_tokens: 96, concurrency: 16}
  judge: {model: classroom-teacher, endpoints: ["classroom:teacher"], temperature: 0, max_tokens: 160, concurrency: 16}
  others:
    - {model: classroom-weaker, endpoints: ["classroom:weaker"], temperature: 0.7, max_tokens: 96, concurrency: 16}
    - {model: classroom-stronger, endpoints: ["classroom:stronger"], temperature: 0.7, max_tokens: 96, concurrency: 16}
"""
_SHOWN_PAIRS: Final = 3
_TEST_QUESTIONS: Final = 1400


def demo_command(
    out: Annotated[Path, typer.Argument(help="A folder for the demo's files.")] = Path("clairgen-demo"),
    questions: Annotated[int, typer.Option(min=10, max=20_000, help="How many questions to ask.")] = 300,
    train: Annotated[
        bool | None,
        typer.Option(
            "--train/--no-train",
            help="Then train the student on its CLAIR pairs and evaluate it; if left out, where training is installed.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Seed of the training.")] = 0,
    test_questions: Annotated[
        int, typer.Option(min=14, max=20_000, help="How many test questions the student is asked before and after.")
    ] = _TEST_QUESTIONS,
) -> None:
    """Make the paper's four data sets with real, if tiny, language models on this machine; report, show, export; train.

    Example: clairgen demo
    """
    from clairgen import api
    from clairgen.config.file import load_config
    from clairgen.pipeline.generate import Options
    from clairgen.reporting.pair_view import PairView
    from clairgen.reporting.terminal import print_reports

    if train and not training_is_installed():
        raise MissingExtraError("Training", "train")
    console = Console()
    config, run, dataset = out / "config.yaml", out / "run", out / "dataset"
    _write_inputs(out, config, questions)
    print_step("clairgen generate", config, "--run", run)
    summary = generate_with_progress(load_config(config), run, Options(accept_changes=True))
    print_summary(summary, again=_again(out, questions, train, seed, test_questions))
    if summary.stopped_by is not None:
        raise summary.stopped_by
    print_step("clairgen report", run)
    print_reports(console, run_coroutine(api.report(run)))
    pairs = {recipe: run_coroutine(api.made_pairs(run, recipe)) for recipe in summary.statuses}
    print_step("clairgen show", run, "--pair", "...")
    typer.echo(f"({_SHOWN_PAIRS} CLAIR pairs that correct a mistake)")
    for stored in _corrected(pairs["clair"]):
        console.print(PairView(stored))
    print_step("How many answers are right? (the questions have answers that a program can check)")
    console.print(_accuracies(pairs))
    print_step("clairgen export", run, dataset, "--test-fraction", 0.1)
    print_export(run_coroutine(api.export(run, dataset, test_fraction=0.1, overwrite=True)), dataset)
    if train or (train is None and training_is_installed()):
        train_and_compare(out, run, dataset, f"trained-{questions}-{seed}", seed, test_questions)
    elif train is None:
        typer.echo(
            "With pip install 'clairgen[train]' the demo goes on: it trains the student on these pairs and tests it."
        )
    if summary.failed:
        raise typer.Exit(FAILED)


def _again(out: Path, questions: int, train: bool | None, seed: int, test_questions: int) -> str:
    """The command that continues this one."""
    words = ["clairgen", "demo", str(out), "--questions", str(questions)]
    words += [] if train is None else ["--train" if train else "--no-train"]
    words += ["--seed", str(seed)] if seed else []
    return shlex.join(
        [*words, *(["--test-questions", str(test_questions)] if test_questions != _TEST_QUESTIONS else [])]
    )


def _write_inputs(out: Path, config: Path, count: int) -> None:
    """Write the configuration and `count` questions. Raises InputError for a folder that holds anything but a demo."""
    tasks = out / "questions.jsonl"
    if out.is_dir() and any(out.iterdir()) and not (config.is_file() and config.read_text(encoding="utf-8") == _CONFIG):
        raise InputError(f"the folder {out} holds something that is not a demo; name another one")
    lines = [json.dumps({"prompt": question.prompt}) for question in draw(count, "train", seed=0)]
    try:
        out.mkdir(parents=True, exist_ok=True)
        tasks.write_text("\n".join(lines) + "\n", encoding="utf-8")
        config.write_text(_CONFIG, encoding="utf-8")
    except OSError as error:
        raise InputError(f"the folder {out} cannot be written: {error.strerror}; name another one") from error


def _corrected(pairs: Sequence[StoredPair]) -> list[StoredPair]:
    """A few kept pairs in which the revision corrects a mistake."""
    corrected = [
        stored
        for stored in pairs
        if stored.dropped_by is None
        and isinstance(stored.outcome, Pair)
        and check(stored.task.messages[-1].content, stored.outcome.chosen.text)
    ]
    step = max(1, len(corrected) // _SHOWN_PAIRS)
    return corrected[::step][:_SHOWN_PAIRS]


def _accuracies(pairs: Mapping[str, Sequence[StoredPair]]) -> Table:
    """How many rejected and chosen answers are right in each recipe's kept pairs, with standard errors."""
    table = Table("recipe", "kept pairs", "rejected right, %", "chosen right, %", box=None, pad_edge=False)
    for recipe, made in pairs.items():
        rejected, chosen = Mean(), Mean()
        for stored in made:
            if isinstance(stored.outcome, Pair) and stored.dropped_by is None:
                prompt = stored.task.messages[-1].content
                rejected.add(100 * check(prompt, stored.outcome.rejected.text))
                chosen.add(100 * check(prompt, stored.outcome.chosen.text))
        table.add_row(recipe, str(chosen.n), *(_with_error(mean.estimate()) for mean in (rejected, chosen)))
    return table


def _with_error(estimate: Estimate) -> str:
    if estimate.mean is None or estimate.se is None:
        return "-"
    return f"{estimate.mean:.1f} ± {estimate.se:.1f}"
