import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from clairgen.cli.status import watch_run
from tests.cli.commands import clairgen
from tests.cli.forked import forked
from tests.cli.test_commands import prepared
from tests.runs import played
from tests.scripted import Reply, ScriptedEndpoint

SECONDS = 0.1


@pytest.mark.process
async def test_a_running_session_is_followed_to_its_end_by_plain_lines(tmp_path: Path) -> None:
    begun = asyncio.Event()

    def slowly(request: dict[str, Any]) -> Reply:
        begun.set()
        return Reply(played(request).body, delay_seconds=SECONDS)

    async with ScriptedEndpoint(slowly) as endpoint:
        roles = {role: {"concurrency": 1} for role in ("target", "reviser", "stronger")}
        config, run = await prepared(tmp_path, endpoint.url, count=20, **roles)
        async with forked("generate", config, "--run", run) as generating:
            await begun.wait()
            seen = await clairgen("status", run, "--watch")
            assert await generating.wait() == 0
    first, *_, last = seen.out.splitlines()
    assert seen.code == 0
    assert first.startswith("running: ")
    assert "of 40 pairs" in first
    assert last == "ended: 40 pairs made, 0 to be made"
    assert "\x1b" not in seen.out


async def test_a_finished_run_is_shown_once_with_all_its_counters(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=5)
        await clairgen("generate", config, "--run", run)
    screen = io.StringIO()
    await watch_run(run, Console(file=screen, force_terminal=True, width=160))
    shown = screen.getvalue()
    for part in ("ended", "stronger-preferred", "its last session", "reviser", "waiting", "Spent: $0.0145"):
        assert part in shown


async def test_a_killed_session_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=5)
        await clairgen("generate", config, "--run", run)
    log = run / "run.log"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    old = [line | {"at": "2026-01-01T00:00:00+00:00"} for line in lines if line["event"] != "ended"]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in old))
    seen = await clairgen("status", run, "--watch")
    assert seen.out.startswith("not running (its last session did not say how it ended: ")
    assert "): 10 pairs made" in seen.out


async def test_a_run_without_a_log_is_shown_as_the_store_has_it(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=5)
        await clairgen("generate", config, "--run", run)
    (run / "run.log").unlink()
    assert (await clairgen("status", run, "--watch")).out == "no log: 10 pairs made, 0 to be made\n"
    assert (await clairgen("status", tmp_path / "nowhere", "--watch")).code == 2
