"""Tasks of lm-evaluation-harness and Inspect, run by those tools in environments of their own, their results among evaluations.

The tool asks the model itself, so its answers are not in the store and the budget does not count them; each keeps a cache of
answers in the task's folder, so that an interrupted task does not begin anew. A task that has ended is not run again.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clairgen.config.role import Role
from clairgen.embedded.gguf import embedded_address, is_embedded
from clairgen.embedded.server import EmbeddedServers
from clairgen.errors import ConfigError, DrainedError, InputError
from clairgen.evaluation.evaluator import ItemStatus
from clairgen.evaluation.harness_process import run_module
from clairgen.evaluation.harness_results import Figure
from clairgen.evaluation.harness_tools import (
    CONCURRENCY,
    HarnessOptions,
    HarnessTask,
    figures_in,
    own_files,
    tool_call,
    tool_environment,
    tool_version,
)
from clairgen.inference.factory import check_keys, with_revisions
from clairgen.inference.redaction import Redaction
from clairgen.inference.runtime import Runtime
from clairgen.installed import __version__
from clairgen.keys import canonical_json, digest
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.session import Session, session
from clairgen.store import EvaluationRecord, ItemRecord, RunDirectory
from clairgen.whole_files import write_whole

HARNESS: Final = "harness"
"""The kind of these evaluations."""
NO_QUESTION_SCORES: Final = "no-question-scores"
"""The reason of the one item of a figure that is not the mean of scores of questions."""
_REQUEST_FAILED: Final = "API request failed!"  # lm_eval's words; its last line is about what followed from that
_LAST_CHARACTERS: Final = 20_000


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What came of a task: its figures, or why it failed. `log` is what the tool printed; `reused` if it had ended before."""

    task: HarnessTask
    tool_version: str
    log: Path
    figures: Sequence[Figure] = ()
    failure: str | None = None
    reused: bool = False


@dataclass(frozen=True, slots=True)
class _Call:
    """What all tasks of a call share. `key` is the model's API key."""

    held: Session
    role: Role
    key: str | None
    url: str
    options: HarnessOptions
    environment: Mapping[str, str]
    label: str


async def run_harness(
    role: Role,
    tasks: Sequence[HarnessTask],
    options: HarnessOptions,
    run: Path | str,
    *,
    label: str,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
    runtime: Runtime | None = None,
) -> list[TaskOutcome]:
    """Run the tasks that have not ended yet, one after the other, and store what they report in the run directory.

    Raises UserError for what the user has to correct, such as a tool that is not installed, and DrainedError once `stop` is set.
    """
    progress, stop, runtime = progress or Progress(), stop or asyncio.Event(), runtime or Runtime()
    role = with_revisions({"target": role})["target"]
    check_keys({"target": role}, runtime.environment)
    _check(role, progress)
    key = runtime.environment[role.api_key_env].strip() if role.api_key_env is not None else None
    environment = tool_environment(key, runtime.environment)
    versions = {tool: await tool_version(tool, options.python, environment) for tool in {one.tool for one in tasks}}
    directory = RunDirectory(Path(run))
    directory.create()
    progress.noun, progress.pairs_to_make = "task", len(tasks)
    outcomes = []
    async with session(directory, progress, stop, runtime) as held, EmbeddedServers(log=directory.log) as servers:
        await held.store.metadata.initialize(__version__)
        url = role.endpoints[0]
        if is_embedded(url):
            url = await servers.url_for(embedded_address(url), role.concurrency or CONCURRENCY)
        call = _Call(held, role, key, url, options, environment, label)
        for task in tasks:
            outcomes.append(await _outcome(call, task, versions[task.tool]))
            counter = progress.failed if outcomes[-1].failure else progress.made
            counter[label] += 1
    return outcomes


def figure_evaluation(
    task: HarnessTask, version: str, figure: Figure, role: Role, *, label: str, limit: int | None = None
) -> tuple[EvaluationRecord, list[ItemRecord]]:
    """A figure as an evaluation: an item for each question, or one without a score that holds what is reported."""
    rules = {
        "tool": task.tool,
        "tool_version": version,
        "task": figure.task,
        "task_version": figure.task_version,
        "metric": figure.metric,
        "higher_is_better": figure.higher_is_better,
        "limit": limit,
    }
    facts = {"kind": HARNESS, "rules": rules, "data": figure.data, "models": {"target": _model_facts(role)}}
    identity, data = digest(canonical_json(facts))[:32], f"{figure.task} {figure.metric}"
    record = EvaluationRecord(identity, HARNESS, label, data, max(1, len(figure.scores)), facts)
    if not figure.scores:
        reported = {"value": figure.value, "stderr": figure.stderr, "n": figure.n}
        return record, [ItemRecord(1, "all", "all", "", ItemStatus.UNREADABLE, None, NO_QUESTION_SCORES, reported)]
    return record, [
        ItemRecord(position, question, cluster, "", ItemStatus.SCORED, score)
        for position, (question, cluster, score) in enumerate(figure.scores, start=1)
    ]


def _check(role: Role, progress: Progress) -> None:
    """Refuse what the tools cannot be told, and note what they are not told."""
    if role.headers:
        raise ConfigError(
            "models.target has `headers`, which other harnesses would have to be given in a file or on a command line, where "
            "secrets do not belong; use an endpoint that needs only an API key"
        )
    if len(role.endpoints) > 1:
        progress.note(f"a harness asks one endpoint: {role.endpoints[0]}, the first of models.target")
    sampling = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "seed")
    if given := [name for name in sampling if getattr(role, name) is not None]:
        progress.note(f"the tasks say how answers are drawn; models.target's {', '.join(given)} are not sent")


async def _outcome(call: _Call, task: HarnessTask, version: str) -> TaskOutcome:
    """Run a task unless it has ended before, and store its figures."""
    folder = call.held.directory.path / HARNESS / _folder_name(call, task, version)
    log, ended = folder / "output.log", folder / "ended.json"
    reused = ended.exists()
    if not reused:
        module, arguments, more = tool_call(task, call.role, call.url, call.options, folder)
        call.held.progress.note(f"{task} runs with {task.tool} {version}; what it prints is in {log}")
        code = await run_module(
            call.options.python,
            module,
            arguments,
            environment={**call.environment, **more},
            redaction=Redaction.of([call.key]),
            log=log,
            stop=call.held.stop,
        )
        if code is None:
            raise DrainedError(f"Stopped while {task} ran; run the same command again, and it continues.")
        if code:
            return TaskOutcome(task, version, log, failure=f"it ended with exit code {code}: {_reason(log)}")
    try:
        figures = figures_in(task, folder)
    except InputError as error:
        return TaskOutcome(task, version, log, failure=str(error))
    for figure in figures:
        record, items = figure_evaluation(task, version, figure, call.role, label=call.label, limit=call.options.limit)
        await call.held.store.evaluations.record(record)
        for item in items:
            await call.held.store.evaluations.save(record.id, item)
    write_whole(ended, json.dumps({"tool": task.tool, "version": version, "figures": len(figures)}))
    return TaskOutcome(task, version, log, figures, reused=reused)


def _folder_name(call: _Call, task: HarnessTask, version: str) -> str:
    """The folder of a task: another one for another model, tool, limit, or text of the user's own tasks."""
    facts = {
        "task": str(task),
        "version": version,
        "model": _model_facts(call.role),
        "limit": call.options.limit,
        "own": [digest(path.read_bytes().hex()) for path in own_files(task, call.options.include_path)],
    }
    words = re.sub(r"[^A-Za-z0-9_.-]+", "-", task.name).strip("-.")[-60:]
    return f"{words}-{digest(canonical_json(facts))[:12]}"


def _model_facts(role: Role) -> dict[str, Any]:
    """What shapes the answers of a model to a tool, which sends its own sampling."""
    return {"model": role.model, "revision": role.revision, "system": role.system}


def _reason(log: Path) -> str:
    """Why a tool failed: the last request that failed, else the last line that it printed."""
    text = log.read_text(encoding="utf-8", errors="replace")[-_LAST_CHARACTERS:] if log.exists() else ""
    lines = [line.strip() for line in re.split(r"[\r\n]", text) if line.strip()]
    failed = [line[line.index(_REQUEST_FAILED) :] for line in lines if _REQUEST_FAILED in line]
    return (failed or lines or ["it printed nothing"])[-1]
