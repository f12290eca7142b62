"""`kill -9` at random moments: what was committed is never requested again, nothing is lost, nothing is doubled."""

import asyncio
import os
import random
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.keys import seed_for
from clairgen.pipeline.generate import generate
from clairgen.records import Pair, Undecided
from tests.cli.forked import forked
from tests.runs import config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint

KILLS = int(os.environ.get("CLAIRGEN_KILLS", "2"))
TASKS = 35 * KILLS  # more than can be done before the last kill
CONCURRENCY = 3


def slowly(request: dict[str, Any]) -> Reply:
    return Reply(played(request).body, delay_seconds=random.uniform(0.02, 0.2))


def committed_seeds(run: Path) -> set[int]:
    """Seeds of the requests whose answers are on disk; each request has its own."""
    if not (run / "run.db").exists():
        return set()
    with sqlite3.connect(run / "run.db") as database:
        try:
            keys = [row[0] for row in database.execute("SELECT key FROM completions")]
        except sqlite3.OperationalError:
            return set()  # killed before the schema was there
    database.close()
    return {seed_for(0, key) for key in keys}


async def killed_after(seconds: float, config_path: Path, run: Path) -> bool:
    """Run generate and kill it; whether it had ended before."""
    async with forked("generate", config_path, "--run", run) as running:
        try:
            await asyncio.wait_for(running.wait(), seconds)
        except TimeoutError:
            running.send_signal(signal.SIGKILL)
            return await running.wait() != -signal.SIGKILL
    return True


async def contents(run: Path) -> list[tuple[str, str, Pair | Undecided]]:
    found = [
        (recipe, stored.task.id, stored.outcome)
        for recipe in ("clair", "stronger-preferred")
        for stored in await api.made_pairs(run, recipe)
    ]
    return sorted(found, key=lambda entry: entry[:2])


@pytest.mark.process
async def test_killed_run_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    run, config_path, kills = tmp_path / "run", tmp_path / "config.yaml", 0
    slow_roles = {role: {"concurrency": CONCURRENCY} for role in ("target", "reviser", "stronger")}
    async with ScriptedEndpoint(slowly) as endpoint:
        config_path.write_text(config_text(endpoint.url, tasks, **slow_roles))
        while kills < KILLS:
            asked, committed = len(endpoint.asked), committed_seeds(run)
            if await killed_after(random.uniform(0.1, 1.1), config_path, run):
                break
            kills += 1
            assert committed.isdisjoint(request["seed"] for request in endpoint.asked[asked:])
            assert committed <= committed_seeds(run)
        asked, committed = len(endpoint.asked), committed_seeds(run)
        await generate(config(endpoint.url, tasks, **slow_roles), run)
        assert committed.isdisjoint(request["seed"] for request in endpoint.asked[asked:])
        total = len(endpoint.asked)
        undisturbed = tmp_path / "undisturbed"
        await generate(config(endpoint.url, tasks), undisturbed)
    assert kills == KILLS
    assert await contents(run) == await contents(undisturbed)
    assert len(await contents(run)) == 2 * TASKS
    in_flight = 3 * CONCURRENCY  # and about as many may have been answered but not yet committed
    assert 3 * TASKS <= total <= 3 * TASKS + kills * 2 * in_flight
    with sqlite3.connect(run / "run.db") as database:
        assert database.execute("SELECT count(*) FROM completions").fetchone() == (3 * TASKS,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
