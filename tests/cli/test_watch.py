import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from clairgen import api
from clairgen.cli.status import watch_run
from clairgen.pipeline.generate import Options, generate
from clairgen.store import file_systems
from clairgen.task_shard import TaskShard
from tests.cli.commands import clairgen
from tests.cli.forked import forked
from tests.cli.test_commands import prepared
from tests.runs import config, played, questions, write_tasks
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


async def test_a_run_that_is_written_on_a_network_file_system_is_shown_by_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mounts := tmp_path / "mounts").write_text(f"host:/x {tmp_path / 'runs'} nfs4 rw 0 0\n")
    monkeypatch.setattr(file_systems, "MOUNTS", mounts)
    begun = asyncio.Event()

    def slowly(request: dict[str, Any]) -> Reply:
        begun.set()
        return Reply(played(request).body, delay_seconds=4)

    async with ScriptedEndpoint(played) as endpoint:
        tasks = write_tasks(tmp_path / "tasks.jsonl", questions(6))
        shards = [tmp_path / "runs" / str(number) for number in (1, 2)]
        await generate(config(endpoint.url, tasks), shards[0], Options(shard=TaskShard(1, 2)))
        endpoint.script = slowly
        options = Options(shard=TaskShard(2, 2), copy_to=str(tmp_path / "copy"))
        second = generate(config(endpoint.url, tasks), shards[1], options)
        generating = asyncio.create_task(second)
        await begun.wait()
        alone = await clairgen("status", shards[1])
        lines = io.StringIO()
        watching = asyncio.create_task(watch_run(shards[1], Console(file=lines)))
        as_json = await clairgen("status", shards[1], "--json")
        both = await clairgen("status", shards[1].parent)
        report = await clairgen("report", shards[1])
        endpoint.script = played
        await generating
    assert alone.code == both.code == 0
    assert f"{shards[1]}: running" in alone.out
    assert "in use by another process, and on a network file system" in alone.out
    assert as_json.code == report.code == 2
    assert "in use by another process" in report.err
    assert "1 folder being written on a network file system" in both.out
    assert "or one of those being written: shard 2/2" in both.out
    watching.cancel()
    assert lines.getvalue().startswith("running: 0 of ")
    merged = await clairgen("merge", shards[0].parent, "--run", tmp_path / "runs" / "all")
    assert merged.code == 0
    assert (await clairgen("report", tmp_path / "runs" / "all")).code == 0
    assert {path.name for path in shards[1].iterdir()} == {"config.yaml", "lock", "run.db", "run.log"}
    restored = await clairgen("restore", tmp_path / "copy", "--run", tmp_path / "restored")
    assert restored.code == 0
    assert await api.made_pairs(tmp_path / "restored", "clair") == await api.made_pairs(shards[1], "clair")
