"""The one budget of all jobs: what was spent counts also when a run is deleted, and what cannot be read is said."""

import asyncio
import json
import shutil
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clairgen.errors import exit_code
from clairgen.inference.runtime import Runtime
from clairgen.service.asking_verbs import ASKING_VERBS
from clairgen.service.job_budget import JobBudget
from clairgen.service.job_worker import Lane, Outcome, Verb, Work, Worker
from clairgen.service.jobs import Jobs
from clairgen.service.runs_root import RunsRoot
from clairgen.store import Call, RunDirectory
from clairgen.store.job_queue import JobQueue
from clairgen.store.job_records import JobState, NewJob
from clairgen.store.store import writing
from tests.batch_provider import BatchProvider
from tests.runs import played, questions, write_tasks
from tests.service.served import job_when, made, policy_for, queue_of, rows, served
from tests.service.test_batch_jobs import body as batch_job
from tests.service.test_jobs import folders, submitted


async def spent(run: Path, usd: int) -> None:
    """Let a run have cost so much more."""
    async with writing(RunDirectory(run)) as store:
        number = (await store.spending.total()).last_id + 1
        await store.spending.settle(Call(number, "target", None), usd * 10**12)


def begun(queue: JobQueue, run: str) -> None:
    """Let a job have worked on a run."""
    job, _ = queue.submit(NewJob("generate", {"run": run}, run, {}, target=run), str, 100)
    assert queue.claim(["generate"]) is not None
    queue.end(job.id, JobState.DONE, 0, "all made")


async def used(root: Path, queue: JobQueue) -> float:
    shared = await JobBudget(100, RunsRoot(root), queue, list(ASKING_VERBS)).opened()
    assert shared is not None
    return shared.used_usd


async def test_the_money_of_a_deleted_run_is_not_given_back_also_when_another_has_its_name(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    with queue_of(root) as queue:
        for name, usd in (("first", 5), ("second", 1), ("by-hand", 50)):
            await spent(await made(root, rows(1), name), usd)
        for name in ("first", "second"):
            begun(queue, name)
        assert await used(root, queue) == 6
        shutil.rmtree(root / "first")
        assert await used(root, queue) == 6
        await spent(await made(root, rows(1)), 2)
        assert await used(root, queue) == 8
        await spent(root / "first", 1)
        assert await used(root, queue) == 9
        (root / "stopped").mkdir()
        (root / "stopped" / "run.db").touch()  # killed before its tables were made
        begun(queue, "stopped")
        assert await used(root, queue) == 9
        assert await JobBudget(None, RunsRoot(root), queue, ["generate"]).opened() is None


async def test_what_was_reserved_and_came_cheaper_is_given_back_and_what_is_settled_is_not(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    with queue_of(root) as queue:
        run = await made(root, rows(1), "first")
        begun(queue, "first")
        call = Call(1, "target", 5 * 10**12)
        async with writing(RunDirectory(run)) as store:
            await store.spending.reserve(call)
        assert await used(root, queue) == 5
        backup = shutil.copytree(run, tmp_path / "backup")
        async with writing(RunDirectory(run)) as store:
            await store.spending.settle(call, 2 * 10**12)
        assert await used(root, queue) == 2
        await spent(run, 7)
        assert await used(root, queue) == 9
        shutil.rmtree(run)
        shutil.copytree(backup, run)
        assert await used(root, queue) == 9


async def test_jobs_that_ask_models_say_that_they_wait_for_a_run_that_cannot_be_read_and_others_go_on(
    tmp_path: Path,
) -> None:
    root = tmp_path / "runs"
    old = await made(root, rows(1), "old")
    await spent(old, 3)
    with sqlite3.connect(old / "run.db") as database:
        [version] = database.execute("PRAGMA user_version").fetchone()
        database.execute("PRAGMA user_version = 11")
    database.close()
    limits = []

    async def asks(work: Work) -> Outcome:
        assert work.runtime.shared_budget is not None
        limits.append((work.runtime.shared_budget.limit_usd, work.runtime.shared_budget.used_usd))
        await spent(root / "old", 4)
        return Outcome("asked", None)

    async def migrates(work: Work) -> Outcome:
        del work
        with sqlite3.connect(old / "run.db") as database:
            database.execute(f"PRAGMA user_version = {version}")
        database.close()
        return Outcome("migrated", None)

    asking: Mapping[str, Verb] = {"advise": asks}
    lanes = [Lane(asking, 1), Lane({"migrate": migrates}, 1, is_here=False)]
    policy = policy_for(root)
    with queue_of(root) as queue:
        begun(queue, "old")
        budget = JobBudget(10, RunsRoot(root), queue, ["generate", "advise"])
        worker = Worker(queue, policy, lanes, Runtime(), exit_code, drain_seconds=1, budget=budget)
        queue.submit(NewJob("advise", {"run": "new"}, "new", {}, target="new"), str, 100)
        running = asyncio.create_task(worker.run())
        async with served(root, jobs=Jobs(policy, queue, wake=worker.wake)) as client:
            for _ in range(200):
                job = (await client.get("/api/jobs/2")).json()
                if job["sentence"]:
                    break
                await asyncio.sleep(0.02)
            assert (job["state"], "the budget of the service is not known" in job["sentence"]) == (
                "queued",
                True,
            )
            assert "clairgen migrate" in job["sentence"]
            for page in ("/jobs", "/jobs/2"):
                assert "the budget of the service is not known" in (await client.get(page)).text
            await client.post("/api/jobs", json={"verb": "migrate", "run": "old"})
            assert (await job_when(client, 3, "done", "failed"))["sentence"] == "migrated"
            assert (await job_when(client, 2, "done", "failed"))["sentence"] == "asked"
        worker.stop()
        await running
    assert limits == [(10, 3)]


async def test_a_job_that_lacks_money_which_open_batches_may_free_is_tried_again(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 2)
    others = write_tasks(root / "others.jsonl", [f"Also: {one}" for one in questions(2)])
    ahead = 0.0

    def priced(url: str, file: Path, run: str) -> dict[str, Any]:
        job = batch_job(url, file, run)
        given = json.loads(job["configuration"])
        del given["models"]["stronger"]
        given["models"]["target"]["price_per_million"] = {"input": 0, "output": 0}
        return job | {"configuration": json.dumps(given)}

    async with BatchProvider(played) as provider:
        provider.states = ["in_progress"] * 9999
        policy = policy_for(root, provider.url)
        with queue_of(root, lambda: time.time() + ahead) as queue:
            budget = JobBudget(0.05, RunsRoot(root), queue, list(ASKING_VERBS))  # which has room for two requests
            lanes = [Lane(ASKING_VERBS, 1)]
            worker = Worker(queue, policy, lanes, Runtime(), exit_code, drain_seconds=1, budget=budget)
            running = asyncio.create_task(worker.run())
            async with served(root, jobs=Jobs(policy, queue, wake=worker.wake)) as client:
                for file, run in ((tasks, "first"), (others, "second")):
                    await submitted(client, priced(provider.url, file, run))
                await job_when(client, 1, "waiting", "failed")
                for _ in range(600):
                    lacks = await job_when(client, 2, "queued", "failed")
                    if lacks["sentence"]:
                        break
                    await asyncio.sleep(0.05)
                assert lacks["sentence"].startswith("waits for money that the open batches of other jobs may free")
                provider.go_on()
                await client.post("/api/jobs/1/resume")
                assert (await job_when(client, 1, "done", "failed"))["state"] == "done"
                ahead = 61
                worker.wake()
                assert (await job_when(client, 2, "done", "failed"))["state"] == "done"
            worker.stop()
            await running
        assert (len(provider.bill), provider.paid_twice) == (4, {})
