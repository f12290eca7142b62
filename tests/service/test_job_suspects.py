"""Jobs during which the worker ended several times are tried one at a time, so that only the one that ends it fails."""

import asyncio
from pathlib import Path

from clairgen.errors import exit_code
from clairgen.inference.runtime import Runtime
from clairgen.service.job_worker import Lane, Outcome, Work, Worker
from clairgen.store.job_queue import JobQueue
from clairgen.store.job_records import Job, JobState, NewJob
from clairgen.store.read_connection import committed_rows
from tests.service.served import made, policy_for, queue_of, rows


def job_of(queue: JobQueue, number: int) -> Job:
    found = queue.job(number)
    assert found is not None
    return found


async def until(queue: JobQueue, states: list[JobState]) -> None:
    for _ in range(400):
        found = [job_of(queue, number + 1).state for number in range(len(states))]
        if found == states:
            return
        await asyncio.sleep(0.02)
    raise TimeoutError(found)


async def test_a_slow_job_beside_one_that_ends_the_worker_does_not_fail_with_it(tmp_path: Path) -> None:
    root, release = tmp_path / "runs", asyncio.Event()
    running, queued, done = JobState.RUNNING, JobState.QUEUED, JobState.DONE

    async def waits(work: Work) -> Outcome:
        del work
        await release.wait()
        return Outcome("asked", None)

    def on_disk(job: Job) -> int:
        return committed_rows(root / str(job.run) / "run.db")

    def new_worker() -> Worker:
        return Worker(queue, policy_for(root), [Lane({"advise": waits}, 4)], Runtime(), exit_code, drain_seconds=1)

    with queue_of(root) as queue:
        for run in ("slow", "deadly"):
            queue.submit(NewJob("advise", {"run": run}, run, {}, target=run), str, 100)
        for _ in range(3):
            while queue.claim(["advise"]):
                pass
            queue.recover(lambda _: 0, 5)
        assert [job.deaths for job in queue.jobs()] == [3, 3]
        queue.submit(NewJob("advise", {"run": "new"}, "new", {}, target="new"), str, 100)
        worker = new_worker()
        working = asyncio.create_task(worker.run())
        await until(queue, [running, queued, queued])
        await asyncio.sleep(0.1)
        assert "job 1 runs alone until it gets further, because the worker ended 3 times" in str(
            job_of(queue, 3).sentence
        )
        await made(root, rows(1), "slow")  # it has got further
        worker.wake()
        await until(queue, [running, running, queued])
        await asyncio.sleep(0.1)
        assert "job 2 runs alone" in str(job_of(queue, 3).sentence)
        assert queue.recover(on_disk, 5) == [1, 2]  # as the next worker does when this one was killed
        assert [job.deaths for job in queue.jobs()] == [0, 4, 0]
        while queue.claim(["advise"], deaths=3):
            pass
        queue.recover(on_disk, 5)
        assert [job.state for job in queue.jobs()] == [queued, JobState.FAILED, queued]
        release.set()
        worker.stop()
        await working
        assert job_of(queue, 1).state == queued  # what the killed one says no longer counts
        working = asyncio.create_task((worker := new_worker()).run())
        await until(queue, [done, JobState.FAILED, done])
        worker.stop()
        await working
