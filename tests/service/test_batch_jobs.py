"""Jobs whose requests go by batch: they wait without a place, say so, are looked at in time, cancelled and resumed."""

import asyncio
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from clairgen import api
from clairgen.config.file import parse_config
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.generate import generate
from clairgen.service.waiting_jobs import WaitingJobs
from clairgen.store.job_records import Job, JobState
from tests.batch_provider import BatchProvider
from tests.batch_trials import QUICK
from tests.judges import JUDGE, likes_winners, playing
from tests.runs import TARGET, config_text, played, questions, write_tasks
from tests.scripted import Reply, refused
from tests.service.served import job_when, policy_for, queue_of, served_with_jobs
from tests.service.test_jobs import folders, submitted

TASKS = 3
GOES_ON = (
    f"1 batch with {TASKS} requests goes on at the provider: resume this job to collect what they have answered by then"
)
LOOKED_AT = "GET /batches/ID"


def body(url: str, tasks: Path, run: str = "first", poll_seconds: float = 3600, **more: object) -> dict[str, Any]:
    """A job whose reviser goes by batch."""
    batch = QUICK | {"quiet_seconds": 0.2, "poll_seconds": poll_seconds}
    reviser = {"delivery": "batch", "batch": batch, "timeout_seconds": 5, "patience_seconds": 0.5}
    return {
        "verb": "generate",
        "run": run,
        "configuration": config_text(url, tasks, recipes=["clair"], reviser=reviser),
        **more,
    }


async def left_waiting(root: Path, tasks: Path, provider: BatchProvider, poll_seconds: float = 3600) -> None:
    """Leave a job that waits for its batch in the queue of a root."""
    provider.states = ["in_progress"] * 9999
    async with served_with_jobs(root, provider.url) as client:
        await submitted(client, body(provider.url, tasks, poll_seconds=poll_seconds))
        await job_when(client, 1, "waiting")


async def look(root: Path, *urls: str, clock: Callable[[], float] = time.time) -> Job:
    """Look at what is due, as a worker does that may send requests to the addresses; the first job then."""
    with queue_of(root, clock) as queue:
        waiting = WaitingJobs(queue, policy_for(root, *urls), Runtime(wall_clock=clock))
        async with asyncio.TaskGroup() as group:
            await waiting.look(group)
        job = queue.job(1)
        assert job is not None
        return job


async def resumed(client: httpx.AsyncClient, number: int, *states: str) -> dict[str, Any]:
    await client.post(f"/api/jobs/{number}/resume")
    return await job_when(client, number, *states)


async def test_jobs_that_wait_for_batches_leave_their_place_to_others(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, TASKS)
    async with BatchProvider(played) as provider:
        provider.states = ["in_progress"] * 9999
        async with served_with_jobs(root, provider.url, jobs=1) as client:
            other = write_tasks(root / "other.jsonl", [f"Also: {one}" for one in questions(TASKS)])
            for run, asked in (("first", tasks), ("second", other)):
                await submitted(client, body(provider.url, asked, run, poll_seconds=0.1))
            direct = config_text(provider.url, tasks, recipes=["clair"])
            await submitted(client, {"verb": "generate", "run": "third", "configuration": direct})
            await submitted(client, body(provider.url, tasks, "first"))
            await job_when(client, 3, "done", "failed")
            for number in (1, 2):
                waiting = await job_when(client, number, "waiting", "done", "failed")
                assert waiting["state"] == "waiting"
                assert waiting["sentence"] == f"1 batch with {TASKS} requests goes on at the provider"
                progress = waiting["progress"]
                assert (progress["done"], progress["open_batches"], progress["requests_in_batches"]) == (0, 1, TASKS)
            page = (await client.get("/jobs/1")).text
            assert "looked at again at" in page and "Look now" in page
            assert "waits for batches" in (await client.get("/runs/first/live")).text
            assert 'clairgen_jobs{state="waiting"} 2.0' in (await client.get("/metrics")).text
            assert (await client.get("/api/jobs/4")).json()["waits_for"] == 1
            provider.go_on()
            for number in (1, 2, 4):
                done = await job_when(client, number, "done", "failed")
                assert (done["state"], done["sentence"]) == ("done", f"clair {TASKS} kept of {TASKS}")
            assert (len(provider.batches), provider.paid_twice) == (2, {})


async def test_a_waiting_job_is_looked_at_in_longer_and_longer_pauses_and_not_sooner(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, TASKS)
    ahead = 0.0

    def clock() -> float:
        return time.time() + ahead

    async with BatchProvider(played) as provider:
        await left_waiting(root, tasks, provider, poll_seconds=100)
        assert provider.calls[LOOKED_AT] == 1
        pauses, job = list[float](), await look(root, provider.url, clock=clock)
        for looks in range(1, 7):
            pauses.append(job.not_before - clock())
            ahead += pauses[-1] - 5
            assert (await look(root, provider.url, clock=clock)) == job
            assert provider.calls[LOOKED_AT] == looks
            ahead += 5
            job = await look(root, provider.url, clock=clock)
            assert (job.state, provider.calls[LOOKED_AT]) == (JobState.WAITING, looks + 1)
        assert [round(one, -1) for one in pauses] == [100, 150, 230, 340, 510, 600]
        assert job.starts == 1  # no session began for any of them
        ahead -= 7 * 3600
        job = await look(root, provider.url, clock=clock)  # the clock was put back, so it is due
        assert round(job.not_before - clock(), -1) == 100


async def test_a_waiting_job_waits_on_while_its_provider_fails_and_goes_on_to_say_what_is_wrong(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, TASKS)
    async with BatchProvider(played) as provider:
        await left_waiting(root, tasks, provider)
        with queue_of(root) as queue:
            [job] = queue.jobs()
            due = job.not_before
        provider.call = lambda _method, _path: refused(503, "overloaded")
        waiting = await look(root, provider.url, clock=lambda: due + 1)
        assert (waiting.state, waiting.not_before > due) == (JobState.WAITING, True)
        provider.call = lambda _method, _path: refused(404, "No such batch")
        assert (await look(root, provider.url, clock=lambda: waiting.not_before + 1)).state == JobState.QUEUED
        async with served_with_jobs(root, provider.url) as client:
            failed = await job_when(client, 1, "failed", "done", "waiting")
            assert "is not found at" in failed["sentence"]
            provider.call = lambda _method, _path: None
            provider.go_on()
            assert (await resumed(client, 1, "done", "failed"))["state"] == "done"
        assert (len(provider.batches), provider.paid_twice) == (1, {})


async def test_a_waiting_job_whose_run_is_gone_or_that_may_not_be_done_any_more_requests_nothing(
    tmp_path: Path,
) -> None:
    root, tasks = folders(tmp_path, TASKS)
    async with BatchProvider(played) as provider:
        await left_waiting(root, tasks, provider)
        later, before = time.time() + 4000, provider.calls.total()
        refused_by_policy = await look(root, clock=lambda: later)
        assert refused_by_policy.state == JobState.QUEUED  # to fail and to say why
        async with served_with_jobs(root) as client:
            assert "--allow-endpoint" in (await job_when(client, 1, "failed"))["sentence"]
        await asyncio.to_thread(shutil.rmtree, root / "first")
        with queue_of(root) as queue:
            queue.resume(1, 100)
            queue.claim(["generate"])
            queue.wait_for_batches(1, "waits", 0)
        gone = await look(root, provider.url)
        assert (gone.state, str(gone.sentence).startswith("its run was deleted")) == (JobState.FAILED, True)
        assert provider.calls.total() == before


async def test_a_waiting_job_is_cancelled_at_once_and_resumed_while_its_batches_stay_there(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, TASKS)
    async with BatchProvider(played) as provider:
        await left_waiting(root, tasks, provider)
        async with served_with_jobs(root, provider.url) as client:
            cancelled = (await client.post("/api/jobs/1/cancel")).json()
            assert (cancelled["state"], cancelled["next_look_at"]) == ("cancelled", None)
            assert "its batches go on at the provider; resume this job to collect" in cancelled["sentence"]
            again = await resumed(client, 1, "waiting", "done", "failed")
            assert (again["state"], again["starts"]) == ("waiting", 2)
            looks = provider.calls[LOOKED_AT]
            at_once = await resumed(client, 1, "running")  # a look at once
            assert at_once["starts"] == 3
            await job_when(client, 1, "waiting")
            assert provider.calls[LOOKED_AT] == looks + 1
            assert (await client.delete("/api/jobs/1")).status_code == 409
            provider.go_on()
            done = await resumed(client, 1, "done", "failed")
            assert (done["state"], done["sentence"]) == ("done", f"clair {TASKS} kept of {TASKS}")
        assert (len(provider.batches), provider.paid_twice) == (1, {})


async def test_a_job_with_requests_to_send_keeps_its_place_and_says_which_batches_are_open(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, TASKS)

    def slow_after_first(request: dict[str, Any]) -> Reply:
        is_slow = request["model"] == TARGET and not request["messages"][-1]["content"].startswith(questions(1)[0])
        return Reply(played(request).body, delay_seconds=4 if is_slow else 0)

    async with BatchProvider(slow_after_first) as provider:
        provider.states = ["in_progress"] * 9999
        async with served_with_jobs(root, provider.url, jobs=1) as client:
            await submitted(client, body(provider.url, tasks))
            await job_when(client, 1, "running")
            await asyncio.sleep(2.5)
            assert (await client.get("/api/jobs/1")).json()["state"] == "running"
            page = (await client.get("/jobs/1")).text
            assert "1 batch of its run, with 1 request, is open at the provider" in page
            await client.post("/api/jobs/1/cancel")
            cancelled = await job_when(client, 1, "cancelled", "done", "failed")
            assert cancelled["state"] == "cancelled"
            assert "1 batch with 1 request goes on at the provider: resume this job" in cancelled["sentence"]


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
            await resumed(client, 1, "running", "done", "failed")
            done = await job_when(client, 1, "done", "failed")
            assert done["sentence"] == f"clair {TASKS} kept of {TASKS}"
            assert len(provider.batches) == 1


async def test_another_job_collects_the_batch_of_a_deleted_one(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, TASKS)
    async with BatchProvider(played) as provider:
        await left_waiting(root, tasks, provider)
        async with served_with_jobs(root, provider.url) as client:
            await client.post("/api/jobs/1/cancel")
            assert (await client.delete("/api/jobs/1")).status_code == 204
            provider.go_on()
            job = await submitted(client, {"verb": "generate", "run": "first"})
            assert (await job_when(client, job["id"], "done", "failed"))["state"] == "done"
    assert (await api.status(root / "first")).statuses["clair"] == {"made": TASKS}
    assert (len(provider.batches), provider.paid_twice) == (1, {})


async def test_advice_and_evaluations_wait_for_batches_too(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, TASKS)
    write_tasks(root / "sums.jsonl", [{"prompt": "What is 1 + 1?", "reference": 2, "id": "sum"}])
    async with BatchProvider(playing(likes_winners)) as provider:
        by_batch = {"delivery": "batch", "batch": QUICK | {"poll_seconds": 0.5}, "timeout_seconds": 5}
        models = {
            name: {"model": model, "endpoints": [provider.url], "temperature": 0, "max_tokens": 100} | by_batch
            for name, model in (("judge", JUDGE), ("target", TARGET))
        }
        text = config_text(provider.url, tasks, recipes=["clair"], judge=models["judge"])
        await generate(parse_config(text), root / "first")
        provider.states = ["in_progress"] * 999
        async with served_with_jobs(root, provider.url, jobs=1) as client:
            questions_job = {
                "verb": "evaluate questions",
                "run": "second",
                "questions": "sums.jsonl",
                "rule": "numeric",
            }
            await submitted(client, {"verb": "advise", "run": "first"})
            await submitted(client, questions_job | {"configuration": {"models": models}})
            for number, count in ((1, f"{2 * TASKS} requests"), (2, "1 request")):
                waiting = await job_when(client, number, "waiting", "done", "failed")
                assert waiting["sentence"] == f"1 batch with {count} goes on at the provider"
            provider.go_on()
            ended = [await job_when(client, number, "done", "failed") for number in (1, 2)]
            assert [one["starts"] for one in ended] == [2, 2]  # no session began only to look
            sentences = [(one["state"], one["sentence"].partition(" (")[0]) for one in ended]
            assert sentences == [("done", "clair: not clear"), ("done", f"{TARGET}: 0.0%")]
        assert (len(provider.bill), provider.paid_twice) == (2 * TASKS + 1, {})


async def test_no_job_writes_batches_as_files(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, TASKS)
    async with served_with_jobs(root, "http://127.0.0.1:9/v1") as client:
        given = json.loads(body("http://127.0.0.1:9/v1", tasks)["configuration"])
        given["models"]["reviser"]["endpoints"] = ["file:jobs"]
        job = {"verb": "generate", "run": "first", "configuration": given}
        assert "file:jobs" in (await submitted(client, job, 403))["detail"]
