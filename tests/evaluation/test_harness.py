"""Other harnesses: result files that the real tools wrote (`harness_files`), child processes, and what is refused.

The tools themselves are run by `make harness`. Of Inspect's log only ids, inputs, targets and scores of the samples were kept.
"""

import asyncio
import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from clairgen.config.role import Role
from clairgen.errors import ConfigError, InputError
from clairgen.evaluation.harness import HARNESS, NO_QUESTION_SCORES, figure_evaluation, run_harness
from clairgen.evaluation.harness_process import installed_version, run_module
from clairgen.evaluation.harness_results import inspect_figures, lm_eval_figures
from clairgen.evaluation.harness_tools import (
    HarnessOptions,
    HarnessTask,
    Tool,
    harness_tasks,
    tool_call,
    tool_environment,
)
from clairgen.evaluation.results import EvaluationResult
from clairgen.inference.redaction import Redaction
from tests.cli.commands import clairgen

FILES = Path(__file__).parent / "harness_files"
ROLE = Role(model="org/student", endpoints=["http://127.0.0.1:9/v1"], system="Be brief.", concurrency=3)
OWN = HarnessTask(Tool.LM_EVAL, "clairgen_sums")


def test_figures_of_lm_eval_have_scores_of_questions_where_they_are_their_mean() -> None:
    right, digits, longest = lm_eval_figures(FILES / "lm_eval")

    assert (right.task, right.task_version, right.metric) == ("clairgen_sums", "1.0", "right,none")
    assert (right.value, right.n, right.higher_is_better) == (0.25, 8, True)
    assert right.stderr == pytest.approx(0.1637, abs=1e-4)
    assert sum(score for *_, score in right.scores) == 2
    assert digits.value == pytest.approx(22 / 28)
    assert digits.stderr is None
    assert len(digits.scores) == 28
    assert digits.scores[0][:2] == ("0/0", "0")
    assert (longest.value, longest.n, longest.scores, longest.higher_is_better) == (41.0, 8, (), False)
    assert len({right.data, digits.data, longest.data}) == 1


def test_figures_of_inspect_have_scores_of_questions() -> None:
    [accuracy] = inspect_figures(FILES / "inspect")

    assert (accuracy.task, accuracy.task_version, accuracy.metric) == ("sums", "2", "accuracy,includes")
    assert (accuracy.value, accuracy.n) == (0.25, 8)
    assert accuracy.stderr == pytest.approx(0.1637, abs=1e-4)
    assert [question for question, *_ in accuracy.scores] == [str(number) for number in range(1, 9)]


def test_a_figure_is_an_evaluation_with_an_item_for_each_question() -> None:
    right, digits, longest = (
        EvaluationResult(*figure_evaluation(OWN, "0.4.13", figure, ROLE, label="student"))
        for figure in lm_eval_figures(FILES / "lm_eval")
    )

    assert (right.record.kind, right.record.label) == (HARNESS, "student")
    assert right.record.data == "clairgen_sums right,none"
    assert (right.overall.mean, right.overall.n, right.complete) == (0.25, 8, True)
    assert (digits.overall.n, digits.overall.clusters) == (28, 8)
    assert longest.unscored == {("unreadable", NO_QUESTION_SCORES): 1}
    assert longest.items[0].detail == {"value": 41.0, "stderr": None, "n": 8}
    assert len({right.record.id, digits.record.id, longest.record.id}) == 3


def test_the_newest_result_counts(tmp_path: Path) -> None:
    shutil.copytree(FILES / "lm_eval", tmp_path / "results" / "student")
    newer = tmp_path / "results" / "student" / "results_2030-01-01.json"
    newer.write_text(
        '{"results": {"t": {"acc,none": NaN, "acc_stderr,none": "N/A"}}, "n-samples": {"t": {"effective": 4}}}'
    )

    [figure] = lm_eval_figures(tmp_path)

    assert (figure.value, figure.stderr, figure.n, figure.scores) == (None, None, 4, ())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "the harness has written no result"),
        ('{"results"', "cannot be read"),
        ("[]", "is not one JSON object"),
        ('{"status": "success"}', "has no 'eval'"),
        ('{"status": "error", "error": {"message": "no\\n model"}}', "ended with 'error': no model"),
        ('{"status": "started"}', "ended with 'started': it gives no reason"),
    ],
)
def test_a_log_without_a_result_is_refused(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "log.json").write_text(content)
    with pytest.raises(InputError, match=says):
        inspect_figures(tmp_path)


def test_tasks_are_named_by_tool() -> None:
    assert [(task.tool, task.name) for task in harness_tasks("gsm8k, inspect:inspect_evals/ifeval,gsm8k,a:b")] == [
        ("lm_eval", "gsm8k"),
        ("inspect", "inspect_evals/ifeval"),
        ("lm_eval", "a:b"),
    ]
    for text in ("", " , ", "--tasks", "a b", "inspect:", "inspect:-x", "a;b"):
        with pytest.raises(ConfigError, match="--tasks"):
            harness_tasks(text)


@pytest.mark.parametrize("task", [OWN, HarnessTask(Tool.INSPECT, "inspect_evals/ifeval")])
def test_a_tool_is_told_of_model_and_endpoint_and_of_no_key(tmp_path: Path, task: HarnessTask) -> None:
    options = HarnessOptions(Path("python"), limit=5)
    environment = tool_environment(
        "sk-secret-of-the-target", {"PATH": "/bin", "OPENAI_API_KEY": "another", "PYTHONPATH": "."}
    )
    module, arguments, more = tool_call(task, ROLE, "http://127.0.0.1:9/v1", options, tmp_path)
    settings = json.loads((tmp_path / "config.yaml").read_text())
    told = f"{module} {arguments} {more} {settings}"

    assert {"OPENAI_API_KEY", "CLAIRGEN_API_KEY"} == {name for name, value in environment.items() if "secret" in value}
    assert "PYTHONPATH" not in environment
    assert all(word in told for word in ("org/student", "http://127.0.0.1:9/v1", "Be brief.", task.name, "5", "3"))
    assert "secret" not in told
    assert set(tool_environment(None, {"OPENAI_API_KEY": "another"}).values()).isdisjoint({"another"})


@pytest.mark.process
async def test_what_a_tool_prints_is_kept_without_the_key(tmp_path: Path) -> None:
    key = "sk-secret-of-the-target-model"
    (tmp_path / "prints.py").write_text(
        f"import sys, time\nfor part in ('{key[:9]}', '{key[9:]} ' * 3, 'x' * 9000):\n"
        "    print(part, end='', flush=True); time.sleep(0.05)\nsys.exit(3)\n"
    )
    log = tmp_path / "output.log"
    ended = await run_module(
        Path(sys.executable),
        "prints",
        [],
        environment={"PYTHONPATH": str(tmp_path)},
        redaction=Redaction.of([key]),
        log=log,
        stop=asyncio.Event(),
    )

    assert ended == 3
    text = log.read_text()
    assert "[key]" in text and key not in text
    assert text.count("x") == 9000


@pytest.mark.process
async def test_a_tool_ends_when_it_is_told_to_stop(tmp_path: Path) -> None:
    stop, log = asyncio.Event(), tmp_path / "output.log"
    serving = run_module(
        Path(sys.executable),
        "http.server",
        ["0", "--bind", "127.0.0.1"],
        environment={"PYTHONUNBUFFERED": "1"},
        redaction=Redaction.of([]),
        log=log,
        stop=stop,
    )
    task = asyncio.create_task(serving)
    while not (log.exists() and b"Serving" in log.read_bytes()):  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.02)
    stop.set()

    assert await task is None


@pytest.mark.process
async def test_an_environment_without_the_tool_is_refused_in_a_sentence(tmp_path: Path) -> None:
    assert await installed_version(Path(sys.executable), "pytest", {}) == pytest.__version__
    if find_spec("lm_eval") is None:
        with pytest.raises(
            ConfigError, match=r"has no lm_eval; make an environment for it .*pip install 'lm_eval\[api\]'"
        ):
            await run_harness(ROLE, [OWN], HarnessOptions(Path(sys.executable)), tmp_path / "run", label="x")
    with pytest.raises(ConfigError, match=r"--python .*nowhere cannot be run \(No such file or directory\)"):
        await run_harness(ROLE, [OWN], HarnessOptions(tmp_path / "nowhere"), tmp_path / "run", label="x")
    assert not (tmp_path / "run").exists()


async def test_headers_are_refused_since_they_may_hold_secrets(tmp_path: Path) -> None:
    role = ROLE.model_copy(update={"headers": {"X-Team": "blue"}})
    with pytest.raises(ConfigError, match=r"models\.target has `headers`"):
        await run_harness(role, [OWN], HarnessOptions(Path(sys.executable)), tmp_path / "run", label="x")


async def test_the_command_names_what_is_missing(tmp_path: Path) -> None:
    common = ("evaluate", "harness", "--run", tmp_path / "run", "--python", tmp_path / "python")
    without_model = await clairgen(*common, "--tasks", "gsm8k")
    without_task = await clairgen(*common, "--tasks", ",", "--endpoint", "classroom:student")

    assert (without_model.code, without_task.code) == (2, 2)
    assert "name the model to evaluate" in without_model.err
    assert "--tasks names no task" in without_task.err
