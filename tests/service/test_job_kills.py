"""`kill -9` of the service, of its worker, or of both, in the middle of two jobs and of votes.

`CLAIRGEN_KILLS=50 python -m pytest tests/service/test_job_kills.py` is the long trial.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairgen import api
from clairgen.pipeline.generate import generate
from tests.batch_provider import BatchProvider
from tests.cli.forked import Forked
from tests.pipeline.test_kill import committed_seeds
from tests.runs import config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint
from tests.service.served import RUN, ids, job_when, made, rows
from tests.service.test_batch_jobs import body as batch_body
from tests.service.test_serving import serving

KILLS = int(os.environ.get("CLAIRGEN_KILLS", "3"))
TASKS = 40 * KILLS
CONCURRENCY = 3
RUNS = ("one", "two")
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the worker of a service in /proc"),
]


def slowly(request: dict[str, Any]) -> Reply:
    return Reply(played(request).body, delay_seconds=random.uniform(0.02, 0.1))


@asynccontextmanager
async def running(root: Path, url: str, *options: str) -> AsyncIterator[tuple[Forked, httpx.AsyncClient]]:
    """A service whose jobs may send requests to an address, and a client that may submit some."""
    environment = {"CLAIRGEN_TOKEN_RUN": RUN}
    async with serving(root, "--allow-endpoint", url, *options, environment=environment) as (service, client, _):
        client.headers["Authorization"] = f"Bearer {RUN}"
        yield service, client


def worker_of(service: Forked) -> int | None:
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    return int(children[0]) if children else None


def kill(pid: int | None) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def until_asked(endpoint: ScriptedEndpoint, count: int) -> None:
    for _ in range(1200):
        if len(endpoint.asked) >= count:
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{len(endpoint.asked)} of {count} requests")


async def begun_again(client: httpx.AsyncClient) -> None:
    """Wait until both jobs are worked on, or are over."""
    for number in (1, 2):
        await job_when(client, number, "running", "done")


async def test_both_jobs_go_on_by_themselves_and_nothing_is_asked_or_lost_twice(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    await made(root, rows(4), "voted")
    tasks = [write_tasks(root / f"{run}.jsonl", [f"{run}: {one}" for one in questions(TASKS)]) for run in RUNS]
    slow_roles = {role: {"concurrency": CONCURRENCY} for role in ("target", "reviser", "stronger")}
    voters, kills, of_running = list[str](), 0, list[tuple[str, str, str]]()
    async with ScriptedEndpoint(slowly) as endpoint:
        while True:
            committed = set.union(*(committed_seeds(root / run) for run in RUNS))
            before = len(endpoint.asked)
            async with running(root, endpoint.url) as (service, client):
                for run, path in zip(RUNS, tasks, strict=True):
                    job = {
                        "verb": "generate",
                        "run": run,
                        "configuration": config_text(endpoint.url, path, **slow_roles),
                    }
                    answer = await client.post("/api/jobs", json=job, headers={"Idempotency-Key": run})
                    assert answer.status_code in (200, 201), answer.text
                if kills == KILLS:
                    ended = [await job_when(client, number, "done", "failed") for number in (1, 2)]
                    assert [(job["state"], job["exit_code"]) for job in ended] == [("done", 0)] * 2, ended
                    assert {vote["voter"] for vote in await votes(client)} == set(voters)
                    for run, pair, voter in of_running:
                        cast = (await client.get(f"/api/runs/{run}/pairs/{pair}/votes")).json()
                        assert voter in {vote["voter"] for vote in cast}, (run, pair, voter)
                    assert committed.isdisjoint(request["seed"] for request in endpoint.asked[before:])
                    break
                await begun_again(client)
                await until_asked(endpoint, before + random.randint(1, 60))
                voters.append(f"voter {kills}")
                address = f"/api/runs/voted/pairs/{(await ids(client, 'voted'))[0]}/votes"
                assert (await client.post(address, json={"vote": "keep", "voter": voters[-1]})).status_code == 201
                run = RUNS[kills % 2]
                if made_so_far := await ids(client, run):
                    pair = random.choice(made_so_far)
                    address = f"/api/runs/{run}/pairs/{pair}/votes"
                    cast = await client.post(address, json={"vote": "keep", "voter": voters[-1]})
                    assert cast.status_code == 201, cast.text
                    of_running.append((run, pair, voters[-1]))
                which = kills % 3
                if which == 0:  # the worker alone, which the service starts again
                    now = set.union(*(committed_seeds(root / run) for run in RUNS))
                    kill(worker_of(service))
                    await service_goes_on(client)
                    first = len(endpoint.asked)
                    await until_asked(endpoint, first + 10)
                    assert now.isdisjoint(request["seed"] for request in endpoint.asked[first:])
                elif which == 1:  # the service alone, with which the worker ends
                    service.send_signal(signal.SIGKILL)
                else:
                    worker = worker_of(service)
                    service.send_signal(signal.SIGKILL)
                    kill(worker)
                kills += 1
            assert committed.isdisjoint(request["seed"] for request in endpoint.asked[before:])
        total = len(endpoint.asked)
        for run, path in zip(RUNS, tasks, strict=True):
            undisturbed = tmp_path / f"undisturbed-{run}"
            await generate(config(endpoint.url, path), undisturbed)
            assert await contents(root / run) == await contents(undisturbed)
    wanted = len(RUNS) * 3 * TASKS
    in_flight = len(RUNS) * 3 * CONCURRENCY  # and about as many may have been answered but not yet committed
    assert wanted <= total <= wanted + KILLS * 2 * in_flight
    print(  # noqa: T201 - the figures of the long trial: pytest -s
        f"{kills} kills; {wanted:,} answers, {total - wanted:,} asked once more as they were in flight, none that was committed; "
        f"{len(voters) + len(of_running)} votes, {len(of_running)} of them on a run that went on, none lost"
    )


async def service_goes_on(client: httpx.AsyncClient) -> None:
    for _ in range(1200):
        jobs = (await client.get("/api/jobs")).json()["jobs"]
        if all(job["state"] == "done" or (job["state"] == "running" and job["starts"] > 1) for job in jobs):
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(jobs)


async def votes(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    pair = (await ids(client, "voted"))[0]
    found: list[dict[str, Any]] = (await client.get(f"/api/runs/voted/pairs/{pair}/votes")).json()
    return found


async def contents(run: Path) -> list[tuple[str, str, Any]]:
    found = [
        (recipe, stored.task.id, stored.outcome)
        for recipe in ("clair", "stronger-preferred")
        for stored in await api.made_pairs(run, recipe)
    ]
    return sorted(found, key=lambda entry: entry[:2])


async def test_sigterm_drains_and_the_next_service_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    tasks = write_tasks(root / "tasks.jsonl", questions(40))
    job = {"verb": "generate", "run": "first"}
    async with ScriptedEndpoint(lambda request: Reply(played(request).body, delay_seconds=0.3)) as endpoint:
        async with running(root, endpoint.url) as (service, client):
            job["configuration"] = config_text(endpoint.url, tasks)
            assert (await client.post("/api/jobs", json=job)).status_code == 201
            await until_asked(endpoint, 20)
            service.send_signal(signal.SIGTERM)
            assert await service.wait() == 0
        assert len(endpoint.answered) == len(endpoint.asked) < 120
        async with running(root, endpoint.url) as (service, client):
            assert (await job_when(client, 1, "done", "failed"))["starts"] == 2
    assert len(endpoint.asked) == 120


async def test_all_jobs_together_keep_to_one_budget_also_after_a_restart(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    price = {"price_per_million": {"input": 100, "output": 100}}  # a task costs 3 cents
    roles = dict.fromkeys(("target", "reviser", "stronger"), price)
    async with ScriptedEndpoint(played) as endpoint:
        for restart in range(2):
            async with running(root, endpoint.url, "--budget-usd", "1") as (_, client):
                for run in RUNS:
                    tasks = write_tasks(root / f"{run}.jsonl", questions(40))
                    job = {"verb": "generate", "run": run, "configuration": config_text(endpoint.url, tasks, **roles)}
                    number = (await client.post("/api/jobs", json=job)).json()["id"]
                    ended = await job_when(client, number, "failed", "done")
                    assert (ended["state"], ended["exit_code"]) == ("failed", 2), ended
                    assert "larger --budget-usd" in ended["sentence"]
            spent = [(await api.status(root / run)).spent.total / 1e12 for run in RUNS]
            assert 0 < sum(spent) <= 1, (restart, spent)


async def test_a_second_service_over_the_same_runs_is_refused_unless_it_takes_no_jobs(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    await made(root, rows(1))
    async with serving(root), serving(root, "--jobs", "0") as (_, client, _said):
        assert (await client.get("/api/jobs")).json()["jobs"] == []
        assert (await client.post("/api/jobs", json={"verb": "generate", "run": "first"})).status_code == 403


async def test_jobs_that_wait_for_batches_wait_on_after_kill_9_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    async with BatchProvider(played) as provider:
        provider.states = ["in_progress"] * 9999
        async with running(root, provider.url, "--jobs", "1") as (service, client):
            for run in RUNS:
                tasks = write_tasks(root / f"{run}.jsonl", [f"{run}: {one}" for one in questions(3)])
                job = batch_body(provider.url, tasks, run)
                assert (await client.post("/api/jobs", json=job)).status_code == 201
            left = [await job_when(client, number, "waiting", "failed") for number in (1, 2)]
            worker = worker_of(service)
            kill(service.pid)
            kill(worker)
        looks = provider.calls["GET /batches/ID"]
        assert looks == 2
        async with running(root, provider.url, "--jobs", "1") as (_, client):
            assert [(await client.get(f"/api/jobs/{number}")).json() for number in (1, 2)] == left
            await asyncio.sleep(1.2)
            assert provider.calls["GET /batches/ID"] == looks  # they are not due
            provider.go_on()
            for number in (1, 2):
                await client.post(f"/api/jobs/{number}/resume")
            for number in (1, 2):
                done = await job_when(client, number, "done", "failed")
                assert (done["state"], done["sentence"]) == ("done", "clair 3 kept of 3")
        assert (len(provider.batches), len(provider.bill), provider.paid_twice) == (2, 6, {})
