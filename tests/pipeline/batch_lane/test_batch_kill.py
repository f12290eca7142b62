"""`kill -9` of a session with batches, before, after and between calls to the provider: nothing is lost or paid twice."""

import asyncio
import os
import random
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clairgen.pipeline.progress import Progress
from tests.batch_provider import BatchProvider
from tests.batch_trials import Trial
from tests.cli.forked import Forked, forked
from tests.runs import played
from tests.scripted import Reply

KILLS = int(os.environ.get("CLAIRGEN_BATCH_KILLS", "4"))
TASKS = 9
CALLS = (
    "POST /chat/completions",
    "POST /files",
    "POST /batches",
    "GET /batches",
    "GET /batches/ID",
    "GET /files/ID/content",
)


async def killed(trial: Trial, rng: random.Random, config: Path) -> bool:
    """Go on with the run and kill it at a random moment; whether it had ended before."""
    provider, moment = trial.provider, rng.choice(("before", "after", "between"))
    call, at, begun = rng.choice(CALLS), rng.randrange(1, 4), Counter(provider.calls)
    running: list[Forked] = []

    def kill_if(which: str) -> None:
        if running and which == moment and provider.calls[call] - begun[call] == at:
            running[0].send_signal(signal.SIGKILL)

    def before(_method: str, _path: str) -> None:
        kill_if("before")

    def after(_method: str, _path: str, reply: Reply) -> Reply:
        kill_if("after")
        return reply

    provider.call, provider.sent = before, after
    async with forked("generate", config, "--run", trial.run) as process:
        running.append(process)
        if moment != "between":
            code = await asyncio.wait_for(process.wait(), 60)
        else:
            try:
                code = await asyncio.wait_for(process.wait(), rng.uniform(0.2, 1.5))
            except TimeoutError:
                process.send_signal(signal.SIGKILL)
                code = await process.wait()
    assert code in (0, -signal.SIGKILL), (code, (await process.communicate()))
    return code == 0


async def checked(trial: Trial) -> None:
    """What an undisturbed run would have left, and the provider was paid for each answer once."""
    trial.provider.call, trial.provider.sent = lambda _method, _path: None, lambda _method, _path, reply: reply
    await trial.check_pairs(TASKS)
    assert trial.provider.paid_twice == {}
    assert len(trial.provider.bill) == TASKS
    assert trial.rows("SELECT count(*) FROM completions WHERE role = 'reviser'") == [(TASKS,)]
    assert trial.rows("SELECT count(*) FROM batch_lines WHERE outcome IS NULL") == [(0,)]
    assert trial.rows("SELECT count(*) FROM batches WHERE state != 'ended'") == [(0,)]
    assert trial.rows("SELECT count(*) FROM batch_strays") == [(0,)]
    trial.check_account()


@pytest.mark.process
async def test_a_killed_session_pays_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    rng = random.Random(int(os.environ.get("CLAIRGEN_BATCH_SEED", "0")) or None)
    kills, number = 0, 0
    while kills < KILLS:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        async with BatchProvider(played) as provider:
            provider.states = ["in_progress"]
            trial = Trial(folder, provider, Progress())
            config = folder / "config.yaml"
            keys: dict[str, Any] = {"batch": {"requests": 4, "quiet_seconds": 0.1, "search_seconds": 0.1}}
            config.write_text(trial.config(TASKS, **keys))
            while kills < KILLS and not await killed(trial, rng, config):
                kills += 1
            provider.call, provider.sent = lambda _method, _path: None, lambda _method, _path, reply: reply
            summary = await trial.generate(tasks=TASKS, **keys)
            assert summary.stopped_by is None
            await checked(trial)
            with sqlite3.connect(trial.run / "run.db") as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            database.close()
