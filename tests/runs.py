"""Runs made small: a configuration over a scripted endpoint that plays target, reviser and stronger model."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clairgen.config.file import parse_config
from clairgen.config.models import RunConfig
from tests.scripted import Reply, said

TARGET, REVISER, STRONGER = "target-model", "reviser-model", "stronger-model"


def played(request: dict[str, Any]) -> Reply:
    """What a model in its role says: answers and revisions that tell which prompt they belong to."""
    prompt = request["messages"][-1]["content"]
    if request["model"] == TARGET:
        return said(f"{prompt} is a question and this is an answer to it", tokens=(20, 10))
    if request["model"] == STRONGER:
        return said(f"Concerning {prompt} there are many things that can be said", tokens=(20, 12))
    student = prompt.split("{student_solution}: ")[1].split("\n\n-----")[0]
    revised = f"{student}, now better"
    return said(f"{{teacher_reasoning}}: weak\n\n{{corrected_student_solution}}: {revised}", tokens=(200, 30))


def config(url: str, tasks: Path, **changes: Any) -> RunConfig:  # noqa: ANN401 - any part of a configuration
    """A configuration whose roles are all served at `url`; `changes` go over the top-level keys and, by role, over roles."""
    return parse_config(config_text(url, tasks, **changes))


def config_text(url: str, tasks: Path, **changes: Any) -> str:  # noqa: ANN401 - any part of a configuration
    """The same as YAML."""
    role = {"endpoints": [url], "temperature": 0.7, "max_tokens": 100, "concurrency": 8}
    content: dict[str, Any] = {
        "recipes": ["clair", "stronger-preferred"],
        "tasks": {"path": str(tasks)},
        "models": {
            "target": {"model": TARGET, **role},
            "reviser": {"model": REVISER, **role, "price_per_million": {"input": 10, "output": 30}},
            "stronger": {"model": STRONGER, **role},
        },
    }
    for name, value in changes.items():
        if name in (*content["models"], "judge"):
            content["models"][name] = content["models"].get(name, {}) | value
        else:
            content[name] = value
    return json.dumps(content, sort_keys=True, ensure_ascii=False)  # is YAML too


def write_tasks(path: Path, prompts: Iterable[object]) -> Path:
    """A JSONL file of prompts (texts) and whole rows (mappings)."""
    rows = [{"prompt": prompt} if isinstance(prompt, str) else prompt for prompt in prompts]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def questions(count: int) -> list[str]:
    """Distinct prompts."""
    return [f"Question number {number}" for number in range(count)]
