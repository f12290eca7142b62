"""Tasks of lm-evaluation-harness and Inspect, run by those tools in environments of their own, their results among evaluations.

The tool asks the model itself, so its answers are not in the store and the budget does not count them; each keeps a cache of
answers in the task's folder, so that an interrupted task does not begin anew. A task that has ended is not run again.
"""

import asyncio
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from clairgen.config.role import Role
from clairgen.embedded.gguf import embedded_address, is_embedded
from clairgen.embedded.server import EmbeddedServers
from clairgen.errors import ConfigError, DrainedError, InputError
from clairgen.evaluation.evaluator import ItemStatus
from clairgen.evaluation.harness_process import installed_version, run_module
from clairgen.evaluation.harness_results import Figure, inspect_figures, lm_eval_figures
from clairgen.inference.factory import check_keys, with_revisions
from clairgen.inference.redaction import Redaction
from clairgen.inference.runtime import Runtime
from clairgen.installed import __version__
from clairgen.keys import canonical_json, digest
from clairgen.patterns import lazy_pattern
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.session import Session, session
from clairgen.store import EvaluationRecord, ItemRecord, RunDirectory

HARNESS: Final = "harness"
"""The kind of these evaluations."""
NO_QUESTION_SCORES: Final = "no-question-scores"
"""The reason of the one item of a figure that is not the mean of scores of questions."""
_CONCURRENCY: Final = 16
_NAME: Final = lazy_pattern(r"[A-Za-z0-9_.~/][\w.@/:~-]*")
_NOT_INHERITED: Final = frozenset({"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"})
_LAST_CHARACTERS: Final = 4000


class Tool(StrEnum):
    """A harness, by its name in a list of tasks; without one a task is lm-evaluation-harness's."""

    LM_EVAL = "lm_eval"
    INSPECT = "inspect"

    @property
    def package(self) -> str:
        """The package that has to be installed in its environment."""
        return "lm_eval" if self is Tool.LM_EVAL else "inspect_ai"

    @property
    def install(self) -> str:
        """What pip is given for it."""
        return "'lm_eval[api]'" if self is Tool.LM_EVAL else "inspect-ai inspect-evals openai"


@dataclass(frozen=True, slots=True)
class HarnessTask:
    """A task by its tool and its name there, such as `gsm8k`, or `inspect_evals/ifeval` of Inspect."""

    tool: Tool
    name: str

    def __str__(self) -> str:
        return self.name if self.tool is Tool.LM_EVAL else f"{self.tool}:{self.name}"


@dataclass(frozen=True, slots=True)
class HarnessOptions:
    """`python` is that of the environment with the tool. `limit` takes only the first questions of each task.

    `include_path` is a folder with further tasks of lm-evaluation-harness.
    """

    python: Path
    limit: int | None = None
    include_path: Path | None = None


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What came of a task: its figures, or why it failed. `log` is what the tool printed, `reused` whether it had ended before."""

    task: HarnessTask
    tool_version: str
    log: Path
    figures: Sequence[Figure] = ()
    failure: str | None = None
    reused: bool = False


@dataclass(frozen=True, slots=True)
class _Call:
    """What all tasks of a call share; `environment` is that of the tools, with the API key under the names that they read."""

    held: Session
    role: Role
    url: str
    options: HarnessOptions
    versions: Mapping[Tool, str]
    environment: Mapping[str, str]
    redaction: Redaction
    label: str = ""
    outcomes: list[TaskOutcome] = field(default_factory=list)


def harness_tasks(text: str) -> list[HarnessTask]:
    """The tasks of a list such as `gsm8k,ifeval,inspect:inspect_evals/ifeval`. Raises ConfigError for what names none."""
    found: dict[str, HarnessTask] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        tool, colon, name = entry.partition(":")
        known = colon and tool in set(Tool)
        task = HarnessTask(Tool(tool), name) if known else HarnessTask(Tool.LM_EVAL, entry)
        if not _NAME.fullmatch(task.name):
            raise ConfigError(f"--tasks: {entry!r} is not the name of a task; give names such as gsm8k,ifeval")
        found[str(task)] = task
    if not found:
        raise ConfigError("--tasks names no task; give names such as gsm8k,ifeval")
    return list(found.values())


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
    environment, redaction = _environment(role, runtime.environment)
    versions = {tool: await _version(tool, options.python, environment) for tool in {task.tool for task in tasks}}
    directory = RunDirectory(Path(run))
    directory.create()
    progress.noun, progress.pairs_to_make = "task", len(tasks)
    async with session(directory, progress, stop, runtime) as held, EmbeddedServers(log=directory.log) as servers:
        await held.store.metadata.initialize(__version__)
        url = role.endpoints[0]
        if is_embedded(url):
            url = await servers.url_for(embedded_address(url), role.concurrency or _CONCURRENCY)
        call = _Call(held, role, url, options, versions, environment | {"CLAIRGEN_BASE_URL": url}, redaction, label)
        for task in tasks:
            outcome = await _outcome(call, task)
            call.outcomes.append(outcome)
            counter = progress.failed if outcome.failure else progress.made
            counter[label] += 1
        return call.outcomes


def _check(role: Role, progress: Progress) -> None:
    """Refuse what the tools cannot be told, and note what they are not told."""
    if role.headers:
        raise ConfigError(
            "models.target has `headers`, which other harnesses would have to be given in a file or on a command line, where "
            "secrets do not belong; use an endpoint that needs only an API key"
        )
    if len(role.endpoints) > 1:
        progress.note(f"a harness asks one endpoint: {role.endpoints[0]}, the first of models.target")
    given = [
        name
        for name in ("temperature", "top_p", "max_tokens", "max_completion_tokens", "seed")
        if getattr(role, name) is not None
    ]
    if given:
        progress.note(f"the tasks say how answers are drawn; models.target's {', '.join(given)} are not sent")


def _environment(role: Role, surroundings: Mapping[str, str]) -> tuple[dict[str, str], Redaction]:
    """The environment of the tools: ours, with the role's API key in place of any other under the names that they read."""
    key = surroundings[role.api_key_env].strip() if role.api_key_env is not None else None
    inherited = {name: value for name, value in surroundings.items() if name not in _NOT_INHERITED}
    keys = dict.fromkeys(("OPENAI_API_KEY", "CLAIRGEN_API_KEY"), key or "none")
    return inherited | keys | {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}, Redaction.of([key])


async def _version(tool: Tool, python: Path, environment: Mapping[str, str]) -> str:
    version = await installed_version(python, tool.package, environment)
    if version is None:
        raise ConfigError(
            f"{python} has no {tool.package}; make an environment for it (python3 -m venv harness && harness/bin/pip install "
            f"{tool.install}) and name it: --python harness/bin/python"
        )
    return version


async def _outcome(call: _Call, task: HarnessTask) -> TaskOutcome:
    """Run a task unless it has ended before, and store its figures."""
    folder = call.held.directory.path / HARNESS / _folder_name(call, task)
    version, log, ended = call.versions[task.tool], folder / "output.log", folder / "ended.json"
    reused = ended.exists()
    if not reused:
        folder.mkdir(parents=True, exist_ok=True)
        call.held.progress.note(f"{task} runs with {task.tool} {version}; what it prints is in {log}")
        code = await run_module(
            call.options.python,
            *(_lm_eval if task.tool is Tool.LM_EVAL else _inspect)(call, task, folder),
            environment=call.environment | {"INSPECT_CACHE_DIR": str(folder / "cache")},
            redaction=call.redaction,
            log=log,
            stop=call.held.stop,
        )
        if code is None:
            raise DrainedError(f"Stopped while {task} ran; run the same command again, and it continues.")
        if code:
            return TaskOutcome(task, version, log, failure=f"it ended with exit code {code}: {_last_line(log)}")
    try:
        figures = (lm_eval_figures if task.tool is Tool.LM_EVAL else inspect_figures)(folder / "results")
    except InputError as error:
        return TaskOutcome(task, version, log, failure=str(error))
    for figure in figures:
        await _store(call, task, figure)
    _mark(ended, {"tool": task.tool, "version": version, "figures": len(figures)})
    return TaskOutcome(task, version, log, figures, reused=reused)


def _folder_name(call: _Call, task: HarnessTask) -> str:
    """The folder of a task: other ones for another model, tool, limit or text of the user's own tasks."""
    facts = {
        "task": str(task),
        "version": call.versions[task.tool],
        "model": [call.role.model, call.role.revision, call.role.system],
        "limit": call.options.limit,
        "own_tasks": [digest(path.read_bytes().hex()) for path in _own_tasks(task, call.options.include_path)],
    }
    words = re.sub(r"[^A-Za-z0-9_.-]+", "-", task.name).strip("-.")[-60:]
    return f"{words}-{digest(canonical_json(facts))[:12]}"


def _own_tasks(task: HarnessTask, folder: Path | None) -> list[Path]:
    """The files that hold the user's own tasks, which may change under one name."""
    own = [] if folder is None else sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".py"))
    file = Path(task.name.partition("@")[0])
    return [*own, file] if file.suffix == ".py" and file.is_file() else own


def _lm_eval(call: _Call, task: HarnessTask, folder: Path) -> tuple[str, list[str]]:
    """The module and its arguments. The configuration is a file, since commas and = in a URL would be read as separators."""
    settings: dict[str, Any] = {
        "model": "local-chat-completions",
        "model_args": {
            "model": call.role.model,
            "base_url": f"{call.url}/chat/completions",
            "num_concurrent": call.role.concurrency or _CONCURRENCY,
            "max_retries": 5,
            "timeout": round(call.role.timeout_seconds),
        },
        "tasks": [task.name],
        "apply_chat_template": True,
        "log_samples": True,
        "output_path": str(folder / "results"),
        "use_cache": str(folder / "cache" / "answers"),
        "limit": call.options.limit,
        "include_path": str(call.options.include_path) if call.options.include_path else None,
        "system_instruction": call.role.system,
    }
    (folder / "cache").mkdir(exist_ok=True)
    config = folder / "config.yaml"  # JSON is YAML
    config.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}, indent=1))
    return "lm_eval", ["run", "--config", str(config)]


def _inspect(call: _Call, task: HarnessTask, folder: Path) -> tuple[str, list[str]]:
    settings = folder / "config.yaml"
    settings.write_text(json.dumps({"cache": True, "max_retries": 5, "system_message": call.role.system}))
    limit = [] if call.options.limit is None else ["--limit", str(call.options.limit)]
    arguments = {
        "--model": f"openai-api/clairgen/{call.role.model}",
        "--generate-config": str(settings),
        "--log-dir": str(folder / "results"),
        "--log-format": "json",
        "--display": "plain",
        "--max-connections": str(call.role.concurrency or _CONCURRENCY),
    }
    name = os.path.relpath(task.name) if Path(task.name).is_absolute() else task.name  # it takes no absolute path
    return "inspect_ai", ["eval", name, *(part for pair in arguments.items() for part in pair), *limit]


async def _store(call: _Call, task: HarnessTask, figure: Figure) -> None:
    """Store a figure as an evaluation: an item for each question, or one without a score that holds what is reported."""
    model = {"model": call.role.model, "revision": call.role.revision, "system": call.role.system}
    rules = {
        "tool": task.tool,
        "tool_version": call.versions[task.tool],
        "task": figure.task,
        "task_version": figure.task_version,
        "metric": figure.metric,
        "higher_is_better": figure.higher_is_better,
        "limit": call.options.limit,
    }
    facts = {"kind": HARNESS, "rules": rules, "data": figure.data, "models": {"target": model}}
    record = EvaluationRecord(
        digest(canonical_json(facts))[:32],
        HARNESS,
        call.label,
        f"{figure.task} {figure.metric}",
        max(1, len(figure.scores)),
        facts,
    )
    evaluations = call.held.store.evaluations
    await evaluations.record(record)
    for position, (question, cluster, score) in enumerate(figure.scores, start=1):
        await evaluations.save(record.id, ItemRecord(position, question, cluster, "", ItemStatus.SCORED, score))
    if not figure.scores:
        reported = {"value": figure.value, "stderr": figure.stderr, "n": figure.n}
        item = ItemRecord(1, "all", "all", "", ItemStatus.UNREADABLE, None, NO_QUESTION_SCORES, reported)
        await evaluations.save(record.id, item)


def _mark(path: Path, facts: Mapping[str, Any]) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(facts))
    draft.replace(path)


def _last_line(log: Path) -> str:
    """The last line that a tool has printed."""
    text = log.read_text(encoding="utf-8", errors="replace")[-_LAST_CHARACTERS:] if log.exists() else ""
    lines = [line.strip() for line in re.split(r"[\r\n]", text) if line.strip()]
    return lines[-1] if lines else "it printed nothing"
