"""Runs whose reviser goes by batch, at a scripted provider, and what must hold of them however it fails."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clairgen import api
from clairgen.config.file import parse_config
from clairgen.pipeline.generate import Options, Summary, generate
from clairgen.pipeline.progress import Progress
from clairgen.records import Pair
from tests.batch_provider import BatchProvider
from tests.runs import config_text, questions, write_tasks

QUICK = {"quiet_seconds": 0.15, "collect_seconds": 1.0, "poll_seconds": 0.01, "search_seconds": 0.2}
TASKS = 6


@dataclass
class Trial:
    """A run whose reviser goes by batch, and what it left."""

    folder: Path
    provider: BatchProvider
    progress: Progress = field(default_factory=Progress)

    @property
    def run(self) -> Path:
        """The run's directory."""
        return self.folder / "run"

    async def generate(
        self,
        options: Options | None = None,
        *,
        tasks: int = TASKS,
        stopped: asyncio.Event | None = None,
        **reviser: Any,  # noqa: ANN401 - keys of a role
    ) -> Summary:
        """Run it with these keys of the reviser."""
        self.progress = Progress()
        given = parse_config(self.config(tasks, **reviser))
        return await asyncio.wait_for(generate(given, self.run, options, progress=self.progress, stop=stopped), 60)

    def config(self, tasks: int = TASKS, **reviser: Any) -> str:  # noqa: ANN401 - keys of a role
        """Its configuration."""
        source = write_tasks(self.folder / "tasks.jsonl", questions(tasks))
        batch = QUICK | {"requests": tasks} | reviser.pop("batch", {})
        role = {"delivery": "batch", "batch": batch, "timeout_seconds": 5, "patience_seconds": 0.5} | reviser
        return config_text(self.provider.url, source, recipes=["clair"], reviser=role)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What its database has."""
        with closing(sqlite3.connect(self.run / "run.db")) as database:
            return database.execute(sql).fetchall()

    async def check_pairs(self, count: int = TASKS) -> None:
        """Each pair is there and has the answers to its own prompt."""
        made = await api.made_pairs(self.run, "clair")
        assert len(made) == count
        for stored in made:
            assert isinstance(stored.outcome, Pair)
            prompt = stored.task.messages[-1].content
            assert stored.outcome.chosen.text == f"{prompt} is a question and this is an answer to it, now better"

    def check_account(self) -> None:
        """No reservation is left open, and what is settled is what the provider's bill says."""
        [(open_calls, spent)] = self.rows("SELECT count(*) - count(cost), sum(cost) FROM spending")
        each = 200 * 10 * 10**6 + 30 * 30 * 10**6
        assert (open_calls, spent) == (0, sum(self.provider.bill.values()) * each)
