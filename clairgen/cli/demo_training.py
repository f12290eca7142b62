"""The second half of `clairgen demo`: the student is trained on its CLAIR pairs, and asked test questions before and after."""

import json
import shlex
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from clairgen.cli.advise import advise_with_progress, print_advised
from clairgen.cli.signals import run_coroutine
from clairgen.config.role import Role
from clairgen.data.classroom.questions import draw
from clairgen.reporting.sanitize import plain_line

if TYPE_CHECKING:
    from clairgen.pipeline.advise import AdviseSummary

_TEST_SEED: Final = 2408
_COMPARED_PAIRS: Final = 200
_RECIPE: Final = "clair"
_BEFORE: Final = "student"
_USUAL_OBJECTIVE: Final = "apo-zero"
_EXAMPLES: Final = 2


def training_is_installed() -> bool:
    """Whether a model can be trained and served here."""
    from clairgen.cli.train import missing_packages

    return not missing_packages() and find_spec("gguf") is not None


def train_and_compare(out: Path, run: Path, dataset: Path, name: str, seed: int, test_questions: int) -> None:
    """Advise, train, convert, serve and evaluate; `name` is that of the new model, whose files are kept in `out`.

    Whatever is finished is not done again.
    """
    objective = _advised(run)
    model, gguf, evaluations = out / name, out / f"{name}.gguf", out / "evaluations"
    _train(dataset, model, objective, seed)
    if not gguf.exists():
        from clairgen.cli.to_gguf import MatrixType, to_gguf_command

        print_step("clairgen to-gguf", model, gguf)
        to_gguf_command(model, gguf, MatrixType.F16, check=True)
    _evaluate(out, evaluations, name, gguf, test_questions)
    _compare(evaluations, out / "evaluations.html", name)


def print_step(title: str, *arguments: object) -> None:
    """Print what is done next, as the command that does it, with its arguments quoted for a shell, where there is one."""
    words = " ".join([title, *(plain_line(shlex.quote(str(argument))) for argument in arguments)])
    typer.secho(f"\n$ {words}" if title.startswith("clairgen") else f"\n{words}", bold=True)


def _advised(run: Path) -> str:
    """The objective that fits the run's CLAIR pairs."""
    from clairgen.pipeline.advise import AdviseOptions

    print_step("clairgen advise", run, "--recipe", _RECIPE, "--limit", _COMPARED_PAIRS)
    found: AdviseSummary = advise_with_progress(run, AdviseOptions((_RECIPE,), 1, _COMPARED_PAIRS), None, None)
    print_advised(found)
    if found.stopped_by is not None:
        raise found.stopped_by
    recommended = found.recipes[0].rate.recommendation
    if recommended is None:
        typer.echo(f"Taken is {_USUAL_OBJECTIVE}, which suits revisions by a model that is stronger than the target.")
    return recommended.value if recommended is not None else _USUAL_OBJECTIVE


def _train(dataset: Path, model: Path, objective: str, seed: int) -> None:
    from clairgen.cli.train import train
    from clairgen_train.settings import load_settings

    student = Path(str(resources.files("clairgen.data.classroom"))) / "student"
    print_step(
        "clairgen train", dataset, model, "--subset", _RECIPE, "--model", student,
        "--config", "classroom", "--objective", objective, "--set", f"seed={seed}",
    )  # fmt: skip
    given = {"model": str(student), "objective": objective, "subset": _RECIPE, "seed": seed}
    train(str(dataset), model, load_settings(Path("classroom"), given))


def _evaluate(out: Path, evaluations: Path, name: str, gguf: Path, count: int) -> None:
    """Ask both models the same test questions, which neither training nor the demo's tasks contain."""
    from clairgen.cli.evaluation_runs import evaluate_with_progress, print_summary
    from clairgen.evaluation.checkable_questions import CheckableQuestion, questions_evaluation
    from clairgen.evaluation.planned_evaluation import EvaluateOptions

    file = out / "test-questions.jsonl"
    drawn = draw(count, "test", seed=_TEST_SEED)
    rows = ({"prompt": one.prompt, "part": one.kind.name} for one in drawn)
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    questions = [CheckableQuestion(one.prompt, rule="classroom", part=one.kind.name) for one in drawn]
    for label, endpoint in ((_BEFORE, "classroom:student"), (name, f"gguf:{gguf}")):
        role = Role(model=label, endpoints=[endpoint], temperature=0.7, max_tokens=96)
        print_step(
            "clairgen evaluate questions", file, "--run", evaluations, "--rule", "classroom", "--model", label,
            "--endpoint", endpoint, "--temperature", role.temperature, "--max-tokens", role.max_tokens,
        )  # fmt: skip
        evaluation = questions_evaluation(questions, role, label=label, data=file.name)
        print_summary(evaluate_with_progress(evaluation, evaluations, EvaluateOptions()), as_json=False)


def _compare(evaluations: Path, page: Path, name: str) -> None:
    from clairgen.cli.evaluate_compare import evaluate_compare_command
    from clairgen.evaluation.results import load_results
    from clairgen.evaluation.results_page import write_results_page

    print_step("clairgen evaluate compare", evaluations, _BEFORE, name)
    evaluate_compare_command(evaluations, _BEFORE, name, examples=_EXAMPLES)
    if find_spec("jinja2") is None or find_spec("vl_convert") is None:
        typer.echo("The page with all answers needs the extra report: pip install 'clairgen[report]'")
        return
    print_step("clairgen evaluate show", evaluations, "--html", page)
    run_coroutine(write_results_page(page, evaluations, run_coroutine(load_results(evaluations))))
    typer.echo(f"All answers, before and after, side by side: {plain_line(str(page))}")
