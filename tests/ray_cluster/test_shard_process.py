"""A shard's process on a node: how its ends are told apart, and that one which was killed goes on."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from clairgen import api
from clairgen.errors import DRAINED, USER
from clairgen.ray_cluster.shard_process import ShardEnd, ShardJob, ShardProcess
from clairgen.store import RunDirectory
from clairgen.task_shard import TaskShard
from tests.other_processes import eventually
from tests.runs import config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint

SHARD = TaskShard(1, 2)
TOKEN = "a token that is in no file"  # noqa: S105 - of nobody


def environment_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


def files_with(text: str, folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


def child_of(run: Path) -> int:
    """The process that holds the lock of a run."""
    return int((run / "lock").read_text().split()[0])


async def test_another_version_is_refused_before_anything_starts(tmp_path: Path) -> None:
    end = ShardProcess(ShardJob(SHARD, "", version="9.9"), tmp_path / "folder", "node").run()
    assert end.code == USER
    assert "and 9.9 where the command was given" in end.sentence
    assert not (tmp_path / "folder").exists()


async def test_a_run_that_is_in_use_is_not_started(tmp_path: Path) -> None:
    clock = iter(range(0, 10_000, 60))
    (tmp_path / "1").mkdir()
    with RunDirectory(tmp_path / "1").locked():
        end = ShardProcess(ShardJob(SHARD, ""), tmp_path, "node", clock=lambda: float(next(clock))).run()
    assert (end.code, end.sentence.split(";")[0]) == (USER, f"{tmp_path / '1'} is in use by process {os.getpid()}")


async def test_a_shard_that_is_drained_before_it_starts_starts_nothing(tmp_path: Path) -> None:
    process = ShardProcess(ShardJob(SHARD, "{}"), tmp_path, "node")
    process.drain()
    assert process.run() == ShardEnd(DRAINED, "", "node")
    assert process.state().counters is None


@pytest.mark.process
async def test_what_was_killed_goes_on_and_a_drained_one_ends(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(40))
    async with ScriptedEndpoint(lambda request: Reply(played(request).body, delay_seconds=0.3)) as endpoint:
        job = ShardJob(SHARD, config_text(endpoint.url, tasks), ("--drain-seconds", "20"))
        process = ShardProcess(job, tmp_path, "node")
        running = asyncio.create_task(asyncio.to_thread(process.run, TOKEN))
        await eventually(lambda: len(endpoint.answered) > 10)
        child = child_of(tmp_path / "1")
        assert f"CLAIRGEN_TOKEN_MEMBER={TOKEN}" in environment_of(child)
        os.kill(child, signal.SIGKILL)
        before = len(endpoint.asked)
        await eventually(lambda: len(endpoint.asked) > before)
        for _ in range(3):  # as a driver does until it sees the end
            process.drain()
            await asyncio.sleep(0.02)
        end = await running
        assert end.code in (0, DRAINED), end
        assert "Stopped at once" not in (tmp_path / "1.log").read_text()
        again = len(endpoint.asked) - len({request["seed"] for request in endpoint.asked})
        assert again <= 24  # what was in flight
    counters = process.state().counters
    assert counters is not None
    assert (await api.status(tmp_path / "1")).shard == SHARD
    assert files_with(TOKEN, tmp_path) == []


@pytest.mark.process
async def test_a_users_mistake_is_said_in_the_shards_words(tmp_path: Path) -> None:
    job = ShardJob(SHARD, config_text("http://127.0.0.1:9/v1", tmp_path / "none.jsonl"))
    end = await asyncio.to_thread(ShardProcess(job, tmp_path, "node").run)
    assert (end.code, end.node) == (USER, "node")
    assert end.sentence == f"there is no file of tasks {tmp_path / 'none.jsonl'}; check `path` under `tasks`"
    assert not end.has_reached_its_budget
