"""lm-evaluation-harness and Inspect: how a task of theirs is named, what it is run with, and in which environment."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from clairgen.config.role import Role
from clairgen.errors import ConfigError
from clairgen.evaluation.harness_process import installed_version
from clairgen.evaluation.harness_results import Figure, inspect_figures, lm_eval_figures
from clairgen.patterns import lazy_pattern

CONCURRENCY: Final = 16
"""Requests in flight where the role names no number."""
_MAX_RETRIES: Final = 5
_NAME: Final = lazy_pattern(r"[A-Za-z0-9_.~/][\w.@/:~-]*")
_NOT_INHERITED: Final = frozenset({"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"})


class Tool(StrEnum):
    """A harness, by its name before a task; without one a task is lm-evaluation-harness's."""

    LM_EVAL = "lm_eval"
    INSPECT = "inspect"


_PACKAGES: Final[Mapping[Tool, tuple[str, str]]] = {
    Tool.LM_EVAL: ("lm_eval", "'lm_eval[api]'"),
    Tool.INSPECT: ("inspect_ai", "inspect-ai inspect-evals openai"),
}
"""The module of each tool, and what pip is given for it."""


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


def tool_environment(key: str | None, surroundings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a tool: ours, with this API key, and no other, under the names that the tools read."""
    inherited = {name: value for name, value in surroundings.items() if name not in _NOT_INHERITED}
    keys = dict.fromkeys(("OPENAI_API_KEY", "CLAIRGEN_API_KEY"), key or "none")
    return inherited | keys | {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}


async def tool_version(tool: Tool, python: Path, environment: Mapping[str, str]) -> str:
    """The version of a tool in its environment. Raises ConfigError, which says how to install it, where it is missing."""
    package, install = _PACKAGES[tool]
    version = await installed_version(python, package, environment)
    if version is None:
        raise ConfigError(
            f"{python} has no {package}; make an environment for it (python3 -m venv harness && harness/bin/pip install "
            f"{install}) and name it: --python harness/bin/python"
        )
    return version


def tool_call(
    task: HarnessTask, role: Role, url: str, options: HarnessOptions, folder: Path
) -> tuple[str, list[str], dict[str, str]]:
    """The module that runs a task, its arguments and further environment variables; its configuration is written to `folder`.

    Results go to the folder `results` in it, a cache of answers to `cache`.
    """
    call = _lm_eval_call if task.tool is Tool.LM_EVAL else _inspect_call
    settings, arguments = call(task, role, url, options, folder)
    (folder / "cache").mkdir(parents=True, exist_ok=True)
    given = {name: value for name, value in settings.items() if value is not None}
    (folder / "config.yaml").write_text(json.dumps(given, indent=1))  # JSON is YAML
    more = {"CLAIRGEN_BASE_URL": url, "INSPECT_CACHE_DIR": str(folder / "cache")}
    return _PACKAGES[task.tool][0], arguments, more


def figures_in(task: HarnessTask, folder: Path) -> list[Figure]:
    """What a task has reported. Raises InputError where it has not, or failed."""
    return (lm_eval_figures if task.tool is Tool.LM_EVAL else inspect_figures)(folder / "results")


def own_files(task: HarnessTask, include_path: Path | None) -> list[Path]:
    """The files that hold the user's own tasks, which may change under one name."""
    folders = [] if include_path is None else sorted(include_path.rglob("*"))
    own = [path for path in folders if path.suffix in (".yaml", ".py")]
    file = Path(task.name.partition("@")[0])
    return [*own, file] if file.suffix == ".py" and file.is_file() else own


def _lm_eval_call(
    task: HarnessTask, role: Role, url: str, options: HarnessOptions, folder: Path
) -> tuple[dict[str, Any], list[str]]:
    """All in a file, since commas and = in a URL would be read as separators on the command line."""
    settings = {
        "model": "local-chat-completions",
        "model_args": {
            "model": role.model,
            "base_url": f"{url}/chat/completions",
            "num_concurrent": role.concurrency or CONCURRENCY,
            "max_retries": _MAX_RETRIES,
            "timeout": round(role.timeout_seconds),
        },
        "tasks": [task.name],
        "apply_chat_template": True,
        "log_samples": True,
        "output_path": str(folder / "results"),
        "use_cache": str(folder / "cache" / "answers"),
        "limit": options.limit,
        "include_path": str(options.include_path) if options.include_path else None,
        "system_instruction": role.system,
    }
    return settings, ["run", "--config", str(folder / "config.yaml")]


def _inspect_call(
    task: HarnessTask, role: Role, _url: str, options: HarnessOptions, folder: Path
) -> tuple[dict[str, Any], list[str]]:
    settings = {"cache": True, "max_retries": _MAX_RETRIES, "system_message": role.system}
    name = os.path.relpath(task.name) if Path(task.name).is_absolute() else task.name  # it takes no absolute path
    arguments = {
        "--model": f"openai-api/clairgen/{role.model}",
        "--generate-config": str(folder / "config.yaml"),
        "--log-dir": str(folder / "results"),
        "--log-format": "json",
        "--display": "plain",
        "--max-connections": str(role.concurrency or CONCURRENCY),
        **({} if options.limit is None else {"--limit": str(options.limit)}),
    }
    return settings, ["eval", name, *(part for pair in arguments.items() for part in pair)]
