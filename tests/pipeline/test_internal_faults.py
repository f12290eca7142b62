"""Faults of clairgen itself, and of the machine: they neither fail every task of a run one by one nor hang it."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clairgen.errors import EndpointsError, StoreError
from clairgen.inference.runtime import Runtime, open_transport
from clairgen.inference.transport import Response, Timeouts, Transport
from clairgen.pipeline.generate import generate
from tests.cli.commands import interpreter, pairs_in
from tests.cli.test_commands import prepared
from tests.clocks import FakeClock
from tests.runs import config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused

pytestmark = pytest.mark.slow

TASKS = 400


class Faulty:
    """A transport with a fault: every request fails from the given one on, every page for the first so many."""

    def __init__(self, requests: int, pages: int) -> None:
        self._real: Transport = open_transport()
        self._requests = requests
        self._pages = pages

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Response:
        """See `Transport`."""
        self._requests -= 1
        if self._requests < 0:
            raise KeyError("a fault")
        return await self._real.post(url, headers, body, timeouts)

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Response:
        """See `Transport`."""
        self._pages -= 1
        if self._pages >= 0:
            raise OSError(24, "Too many open files")
        return await self._real.get(url, headers, timeouts)

    async def close(self) -> None:
        """See `Transport`."""
        await self._real.close()


@pytest.mark.parametrize(("before", "most"), [(0, 10), (TASKS + 20, 50)])
async def test_tasks_that_all_fail_through_a_fault_of_clairgen_stop_the_run(
    tmp_path: Path, before: int, most: int
) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        given = config(endpoint.url, write_tasks(tmp_path / "tasks.jsonl", questions(TASKS)), recipes=["clair"])
        summary = await generate(given, tmp_path / "run", runtime=Runtime(transport=lambda _: Faulty(before, pages=0)))
        assert isinstance(summary.stopped_by, EndpointsError), (summary.statuses, summary.failures)
        assert f"{most} tasks of clair in a row" in str(summary.stopped_by)
        assert "KeyError: 'a fault'" in str(summary.stopped_by)
        # Pairs that are still being measured may succeed in between, and begin the count again.
        assert most - 1 <= summary.statuses["clair"]["failed"] < (TASKS / 2 if before else most)
    assert sum(summary.statuses["clair"].values()) == TASKS


async def test_a_probe_that_fails_through_a_fault_is_repeated(tmp_path: Path) -> None:
    def down_at_first(request: dict[str, Any]) -> Reply:
        return refused(503, "not yet") if len(endpoint.asked) <= 8 else played(request)

    async with ScriptedEndpoint(down_at_first) as endpoint, asyncio.timeout(60):
        given = config(endpoint.url, write_tasks(tmp_path / "tasks.jsonl", questions(10)), recipes=["clair"])
        clock = FakeClock()
        runtime = Runtime(lambda _: Faulty(requests=TASKS, pages=2), clock, sleep=clock.sleep)
        summary = await generate(given, tmp_path / "run", runtime=runtime)
    assert summary.stopped_by is None
    assert summary.statuses == {"clair": {"made": 10}}


@pytest.mark.process
@pytest.mark.parametrize("limit", ["ulimit -n 64", "ulimit -Sn 64"], ids=["hard", "soft"])
async def test_few_open_files_make_a_run_slower_and_nothing_else(tmp_path: Path, limit: str) -> None:
    def slowly(request: dict[str, Any]) -> Reply:
        return replace(played(request), delay_seconds=0.1)

    async with ScriptedEndpoint(slowly) as endpoint, asyncio.timeout(90):
        roles: dict[str, Any] = {name: {"concurrency": 100} for name in ("target", "reviser", "stronger")}
        given, run = await prepared(tmp_path, endpoint.url, count=100, recipes=["clair"], **roles)
        done = await interpreter("generate", given, "--run", run, shell_prefix=limit)
    assert (done.code, pairs_in(done.out, "clair")["kept"]) == (0, 100), done
    assert ("may open only" in done.err) == (limit == "ulimit -n 64")


async def test_nothing_more_is_sent_once_the_disk_has_little_room_and_what_is_in_flight_is_kept(tmp_path: Path) -> None:
    def slowly(request: dict[str, Any]) -> Reply:
        return replace(played(request), delay_seconds=0.2)

    async with ScriptedEndpoint(slowly) as endpoint:
        given = config(endpoint.url, write_tasks(tmp_path / "tasks.jsonl", questions(100)), recipes=["clair"])
        filling = Runtime(free_bytes=lambda _: 10**6 if len(endpoint.asked) >= 20 else 10**9)
        stopped = await generate(given, tmp_path / "run", runtime=filling)
        assert isinstance(stopped.stopped_by, StoreError)
        assert "only 1.0 MB are free on the disk" in str(stopped.stopped_by)
        assert "run the same command again" in str(stopped.stopped_by)
        sent = len(endpoint.asked)
        assert 20 <= sent <= 20 + 8  # those with a slot that had been given before
        assert len(endpoint.answered) == sent
        summary = await generate(given, tmp_path / "run")
    assert summary.statuses == {"clair": {"made": 100}}
    assert len(endpoint.asked) == 200  # none of them twice


async def test_a_run_whose_folder_is_taken_away_asks_nothing_more(tmp_path: Path) -> None:
    def slowly(request: dict[str, Any]) -> Reply:
        if len(endpoint.asked) == 20:
            (tmp_path / "run").rename(tmp_path / "moved")
        return replace(played(request), delay_seconds=0.1)

    async with ScriptedEndpoint(slowly) as endpoint:
        given = config(endpoint.url, write_tasks(tmp_path / "tasks.jsonl", questions(400)), recipes=["clair"])
        stopped = await generate(given, tmp_path / "run")
        assert isinstance(stopped.stopped_by, StoreError)
        assert "is no longer there" in str(stopped.stopped_by)
        assert len(endpoint.asked) < 200
        (tmp_path / "moved").rename(tmp_path / "run")
        endpoint.script = played
        summary = await generate(given, tmp_path / "run")
    assert summary.statuses == {"clair": {"made": 400}}
    assert len(endpoint.asked) == 800  # none of them twice
