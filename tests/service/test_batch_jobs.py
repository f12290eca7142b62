"""Jobs whose reviser goes by batch: what they say while one is open, cancelled, left, resumed, and over restarts."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx

from clairgen import api
from tests.batch_provider import BatchProvider
from tests.batch_trials import QUICK
from tests.runs import config_text, played
from tests.service.served import job_when, served_with_jobs
from tests.service.test_jobs import folders, submitted

TASKS = 3
GOES_ON = (
    f"1 batch with {TASKS} requests goes on at the provider: resume this job to collect what they have answered by then"
)


def body(url: str, tasks: Path, **more: object) -> dict[str, Any]:
    """A job whose reviser goes by batch."""
    batch = QUICK | {"quiet_seconds": 0.3, "poll_seconds": 0.1}
    reviser = {"delivery": "batch", "batch": batch, "timeout_seconds": 5, "patience_seconds": 0.5}
    return {
        "verb": "generate",
        "run": "first",
        "configuration": config_text(url, tasks, recipes=["clair"], reviser=reviser),
        **more,
    }


async def in_a_batch(client: httpx.AsyncClient) -> dict[str, Any]:
    """What the first job says once its batch is open."""
    for _ in range(1200):
        job: dict[str, Any] = (await client.get("/api/jobs/1")).json()
        if (job["progress"] or {}).get("open_batches"):
            return job
        await asyncio.sleep(0.05)
    raise TimeoutError(job)


async def test_a_job_says_that_a_batch_is_open_while_it_runs_and_when_it_was_cancelled(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, TASKS)
    async with BatchProvider(played) as provider:
        provider.states = ["in_progress"] * 9999
        async with served_with_jobs(root, provider.url) as client:
            await submitted(client, body(provider.url, tasks))
            progress = (await in_a_batch(client))["progress"]
            assert (progress["open_batches"], progress["requests_in_batches"]) == (1, TASKS)
            page = (await client.get("/jobs/1")).text
            assert f"1 batch of its run, with {TASKS} requests, is open at the provider" in page
            [found] = (await client.get("/api/runs/first")).json()["batches"]
            assert (found["requests"], found["waiting"]) == (TASKS, TASKS)
            await client.post("/api/jobs/1/cancel")
            cancelled = await job_when(client, 1, "cancelled", "done", "failed")
            assert cancelled["state"] == "cancelled"
            assert GOES_ON in cancelled["sentence"]
            provider.go_on()
            await client.post("/api/jobs/1/resume")
            done = await job_when(client, 1, "done", "failed")
            assert (done["state"], done["sentence"]) == ("done", f"clair {TASKS} kept of {TASKS}")
            assert (len(provider.batches), provider.paid_twice) == (1, {})


async def test_a_job_that_is_to_leave_ends_and_collects_once_it_is_resumed(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, TASKS)
    async with BatchProvider(played) as provider:
        provider.states = ["in_progress"] * 9999
        async with served_with_jobs(root, provider.url) as client:
            job = await submitted(client, body(provider.url, tasks, detach=True))
            assert job["command"].endswith("--detach")
            left = await job_when(client, 1, "done", "failed")
            assert (left["state"], left["exit_code"]) == ("done", 0)
            assert left["sentence"].endswith(GOES_ON)
            provider.go_on()
            await client.post("/api/jobs/1/resume")
            await job_when(client, 1, "running", "done", "failed")
            done = await job_when(client, 1, "done", "failed")
            assert done["sentence"] == f"clair {TASKS} kept of {TASKS}"
            assert len(provider.batches) == 1


async def test_the_next_worker_collects_the_batch_that_one_left_also_for_a_deleted_job(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, TASKS)
    async with BatchProvider(played) as provider:
        provider.states = ["in_progress"] * 9999
        async with served_with_jobs(root, provider.url) as client:
            await submitted(client, body(provider.url, tasks))
            await in_a_batch(client)
        async with served_with_jobs(root, provider.url) as client:
            assert (await in_a_batch(client))["starts"] == 2
            await client.post("/api/jobs/1/cancel")
            await job_when(client, 1, "cancelled")
            assert (await client.delete("/api/jobs/1")).status_code == 204
            provider.go_on()
            job = await submitted(client, {"verb": "generate", "run": "first"})
            assert (await job_when(client, job["id"], "done", "failed"))["state"] == "done"
    assert (await api.status(root / "first")).statuses["clair"] == {"made": TASKS}
    assert (len(provider.batches), provider.paid_twice) == (1, {})


async def test_no_job_writes_batches_as_files(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, TASKS)
    async with served_with_jobs(root, "http://127.0.0.1:9/v1") as client:
        given = json.loads(body("http://127.0.0.1:9/v1", tasks)["configuration"])
        given["models"]["reviser"]["endpoints"] = ["file:jobs"]
        job = {"verb": "generate", "run": "first", "configuration": given}
        assert "file:jobs" in (await submitted(client, job, 403))["detail"]
