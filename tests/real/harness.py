"""`clairgen evaluate harness` with the real tools: a task whose data is made here, on the embedded server and on a scripted one.

`make harness` installs both tools in a virtual environment of their own and calls this; it ends by itself, after a few minutes.
"""

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.cli.commands import Done, interpreter
from tests.scripted import Reply, ScriptedEndpoint, refused, said

QUESTIONS = 40
KEY = "sk-key-of-the-model-under-test"
ANSWERED_BEFORE_KILL = 12
CONCURRENCY = 4
_LM_EVAL_TASK = """
task: clairgen_sums
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: generate_until
doc_to_text: "What is the sum of {{a}} and {{b}}?"
doc_to_target: "{{c}}"
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 60, temperature: 0}
filter_list:
  - name: last-number
    filter:
      - {function: regex, regex_pattern: "(-?[0-9]+)", group_select: -1}
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""
_INSPECT_TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample, json_dataset
from inspect_ai.scorer import includes
from inspect_ai.solver import generate


def sample(row):
    return Sample(input=f"What is the sum of {row['a']} and {row['b']}?", target=row["c"])


@task
def sums():
    return Task(dataset=json_dataset("DATA", sample), solver=generate(), scorer=includes(), version=2)
"""


def main(
    python: Annotated[Path, typer.Option(help="The Python of the environment with lm_eval and inspect_ai.")],
) -> None:
    """Run a task of each tool, kill both in the middle, and see what is asked again and what is written down."""
    asyncio.run(_check(python.absolute()))


async def _check(python: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        tasks = _write_tasks(place)
        await _check_embedded(place, python, tasks)
        await _check_failure(place, python, tasks[0])
        for number, task in enumerate(tasks):
            await _check_kill(place / f"killed-{number}", python, task, place)


def _write_tasks(place: Path) -> list[str]:
    rows = [{"a": 101 + 7 * n, "b": 850 - 13 * n, "c": str(951 - 6 * n)} for n in range(QUESTIONS)]
    (place / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "tasks").mkdir()
    (place / "tasks" / "sums.yaml").write_text(_LM_EVAL_TASK.replace("DATA", str(place / "sums.jsonl")))
    (place / "sums.py").write_text(_INSPECT_TASK.replace("DATA", str(place / "sums.jsonl")))
    return ["clairgen_sums", f"inspect:{place / 'sums.py'}"]


async def _check_embedded(place: Path, python: Path, tasks: list[str]) -> None:
    """Both tools ask the classroom's student, and a second call runs nothing again."""
    command = _command(place / "run", python, ",".join(tasks), place, "--endpoint", "classroom:student")
    first = await interpreter(*command, "--json")
    _require(first.code == 0, f"both tasks end: {first}")
    again = await interpreter(*command, "--json")
    found = json.loads(first.out)
    _require(json.loads(again.out) == found, f"the second call reports the same: {again} {found}")
    _require("runs with" in first.err and "runs with" not in again.err, "the second call runs nothing")
    for task in found["tasks"]:
        [figure] = task["figures"]
        _require(figure["n"] == QUESTIONS and 0 < figure["value"] < 1, f"{figure} is of {QUESTIONS} questions")
        _tell(f"{task['task']}: {task['tool']} {task['tool_version']}, {figure['value']:.3f} ± {figure['stderr']:.3f}")
    shown = json.loads((await interpreter("evaluate", "show", place / "run", "--json")).out)
    stored = [(one["overall"]["n"], one["overall"]["mean"]) for one in shown]
    _require(
        sorted(stored) == sorted((QUESTIONS, task["figures"][0]["value"]) for task in found["tasks"]),
        f"the stored scores of questions have the means that the tools report: {stored}",
    )


async def _check_failure(place: Path, python: Path, task: str) -> None:
    """lm_eval prints the API key with a request that fails; the log does not have it."""
    async with ScriptedEndpoint(lambda _request: refused(400, "the context is too short")) as endpoint:
        options = ("--endpoint", endpoint.url, "--model", "m", "--api-key-env", "KEY_OF_MODEL", "--limit", "2")
        done = await interpreter(
            *_command(place / "failed", python, task, place, *options), environment={"KEY_OF_MODEL": KEY}
        )
        _require(endpoint.headers["authorization"] == f"Bearer {KEY}", "the endpoint is given the key")
    written = [path for path in (place / "failed").rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    _require(done.code == 1 and "the context is too short" in done.out, f"the failure is told: {done}")
    _require(not written and KEY not in done.out + done.err, f"the key is in no file: {written}")
    _tell("a failed task is told by the endpoint's words; the key is in no file")


async def _check_kill(run: Path, python: Path, task: str, place: Path) -> None:
    """After kill -9 the tool ends too, and of what was answered nothing is asked again."""

    def script(_request: dict[str, Any]) -> Reply:
        reply = said("Answer: 951.")
        return replace(reply, body=json.dumps(json.loads(reply.body) | {"model": "m"}).encode(), delay_seconds=0.5)

    async with ScriptedEndpoint(script) as endpoint:
        config = place / "models.yaml"
        config.write_text(json.dumps({"models": {"target": _role(endpoint.url)}}))
        command = _command(run, python, task, place, "--config", str(config))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "clairgen", *map(str, command)), stderr=asyncio.subprocess.DEVNULL
        )
        await _until(lambda: len(endpoint.asked) >= ANSWERED_BEFORE_KILL)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await endpoint.clients_gone()
        before = len(endpoint.asked)
        done: Done = await interpreter(*command)
        _require(done.code == 0, f"the task ends: {done}")
        twice = len(endpoint.asked) - QUESTIONS
        _require(0 <= twice <= CONCURRENCY, f"{twice} requests were in flight at the kill")
        _tell(f"{task.partition(':')[0]}: killed after {before} requests; {twice} of {QUESTIONS} asked again")


def _role(url: str) -> dict[str, object]:
    return {"model": "m", "endpoints": [url], "concurrency": CONCURRENCY}


def _command(run: Path, python: Path, tasks: str, place: Path, *more: str) -> tuple[str | Path, ...]:
    own = ("--include-path", place / "tasks")
    return ("evaluate", "harness", "--run", run, "--tasks", tasks, "--python", python, *own, *more)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(600):
        while not holds():  # noqa: ASYNC110 - what an endpoint was asked has no event
            await asyncio.sleep(0.05)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"NOT SO: {what}")


def _tell(sentence: str) -> None:
    typer.echo(sentence)


if __name__ == "__main__":
    typer.run(main)
