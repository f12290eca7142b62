"""Runs of `clair` as a user makes them: the target is a server that is checked, the reviser the teacher that clairgen serves."""

import contextlib
import sqlite3
from pathlib import Path

import yaml

from clairgen.data.classroom.questions import draw
from tests.cli.commands import Done, interpreter
from tests.runs import write_tasks

_TEACHER = {
    "model": "teacher",
    "endpoints": ["classroom:teacher"],
    "temperature": 0,
    "max_tokens": 160,
    "concurrency": 16,
}


class ClairRuns:
    """Runs in one folder, over the same questions. `url` is where the target is served, as `model`."""

    def __init__(self, place: Path, url: str, model: str, questions: int) -> None:
        self._place = place
        self._target = {"model": model, "endpoints": [url], "temperature": 0.7, "max_tokens": 96}
        self._prompts = [question.prompt for question in draw(questions, "test", seed=0)]

    def path(self, name: str) -> Path:
        """A run's directory."""
        return self._place / name

    async def made(self, name: str, *more_prompts: str, **target: object) -> Done:
        """A run, made or gone on with; `target` goes over the target's fields."""
        content = {
            "recipes": ["clair"],
            "tasks": {"path": str(write_tasks(self._place / f"{name}.jsonl", [*self._prompts, *more_prompts]))},
            "models": {"target": self._target | target, "reviser": _TEACHER},
        }
        config = self._place / f"{name}.yaml"
        config.write_text(yaml.safe_dump(content), encoding="utf-8")
        return await interpreter("generate", config, "--run", self.path(name))

    def drafts(self, name: str) -> dict[str, str]:
        """The target's committed answers, by content key."""
        database = self.path(name) / "run.db"
        if not database.is_file():
            return {}
        with contextlib.closing(sqlite3.connect(database)) as opened:
            try:
                return dict(opened.execute("SELECT key, text FROM completions WHERE role = 'target'"))
            except sqlite3.OperationalError:  # its tables are not there yet
                return {}
