"""What the service does with jobs: submit, list, cancel, resume, and what they printed. The worker does them."""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from clairgen.api.run_batches import open_batches
from clairgen.errors import ClairgenError, InputError, InUseError, RunError, StoreError
from clairgen.folder_lock import check_unused, locked_folder
from clairgen.pipeline.run_log import last_session
from clairgen.service.job_output import read_output
from clairgen.service.job_requests import JobRequest, arguments_of, command_line, request_of
from clairgen.service.policy import Policy
from clairgen.service.request_models import JobFolder
from clairgen.service.runs import NotAllowedError, NotThereError
from clairgen.service.runs_root import UPLOADS, RunsRoot
from clairgen.service.tokens import Grant
from clairgen.service.worker_process import WorkerProcess, WorkerSettings
from clairgen.store.job_queue import JobQueue
from clairgen.store.job_records import Job, JobState, NewJob

_LONGEST_KEY: Final = 200
_SECONDS_FOR_FORMER: Final = 10.0


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a running or waiting job is: pairs, or what it makes in place of them, that are done of those it has to make.

    `requests_in_batches` are those of the `open_batches` of its run.
    """

    done: int
    to_make: int
    noun: str
    spent_usd: float
    open_batches: int = 0
    requests_in_batches: int = 0


class Jobs:
    """The jobs of a root, which name what a `policy` allows. `queue` is None where the service takes none.

    `wake` tells the worker that something has changed. Of jobs that are over the latest `keep` are kept.
    """

    def __init__(
        self,
        policy: Policy,
        queue: JobQueue | None,
        most_queued: int = 100,
        wake: Callable[[], None] = lambda: None,
        keep: int = 1000,
    ) -> None:
        self.policy = policy
        self._keep = keep
        self._root = policy.root
        self._queue = queue
        self._most_queued = most_queued
        self._wake = wake

    @property
    def are_taken(self) -> bool:
        """Whether the service takes jobs."""
        return self._queue is not None

    def has_run(self, name: str) -> bool:
        """Whether there is a run of this name."""
        return self._root.run(name) is not None

    async def submit(self, request: JobRequest, grant: Grant, key: str | None = None) -> tuple[Job, bool]:
        """Queue a job; whether it is a new one, or one submitted before under the same idempotency key.

        Raises UserError for what can be seen to be wrong, and NotAllowedError.
        """
        require_run_scope(grant)
        if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()):
            raise InputError(f"an idempotency key has 1 to {_LONGEST_KEY} printable ASCII characters")
        queue = self._required()

        def submit() -> tuple[Job, bool]:
            sent, by = request.model_dump(mode="json"), grant.name or ""
            if (found := queue.submitted(by, key, sent)) is not None:
                return found, False  # also where what it names is no longer there
            policy = replace(self.policy, coming=queue.targets())
            ready = request.prepared(policy)
            new = NewJob(
                request.verb,
                arguments_of(ready),
                request.works_on,
                sent,
                by,
                key,
                request.target,
                tuple(name for name in request.needs if policy.is_coming(name)),
            )
            submitted = queue.submit(
                new,
                lambda number: command_line(ready, self._root, JobFolder.of(self._root, number)),
                self._most_queued,
            )
            queue.prune(self._keep, self._remove_folder)
            return submitted

        job, is_new = await asyncio.to_thread(submit)
        self._wake()
        return job, is_new

    async def jobs(
        self, *, state: JobState | None = None, run: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[Job]:
        """The latest jobs first; none where the service takes none."""
        if self._queue is None:
            return []
        queue = self._queue
        return await asyncio.to_thread(lambda: queue.jobs(state=state, run=run, before=before, limit=limit))

    async def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state; nothing where the service takes none."""
        return {} if self._queue is None else await asyncio.to_thread(self._queue.counts)

    async def can_be_taken(self) -> bool:
        """Whether a job that is submitted now could be kept."""
        try:
            await asyncio.to_thread(self._required().check_writable)
        except ClairgenError:
            return False
        return True

    async def job(self, number: int) -> Job:
        """A job. Raises NotThereError."""
        found = None if self._queue is None else await asyncio.to_thread(self._queue.job, number)
        return _there(found)

    async def progress(self, job: Job) -> JobProgress | None:
        """How far a running or waiting job is; None where nothing is known yet."""
        is_waiting = job.state is JobState.WAITING
        if not (is_waiting or job.state in (JobState.RUNNING, JobState.STOPPING)) or job.run is None:
            return None
        run = self._root.run(job.run)
        if run is None:
            return None
        session = await asyncio.to_thread(last_session, run.events)
        if session is None or not (session.running or is_waiting) or session.counters is None:
            return None
        found = session.counters
        try:
            batches = await open_batches(run.path)
        except ClairgenError:
            batches = []  # of a version that has none
        requests = sum(one.requests for one in batches)
        return JobProgress(found.done, found.pairs_to_make, found.noun, found.money.spent_usd, len(batches), requests)

    async def output(self, number: int) -> str:
        """The last of what a job printed. Raises NotThereError."""
        job = await self.job(number)
        return await asyncio.to_thread(read_output, JobFolder.of(self._root, job.id).output)

    async def made(self, number: int) -> Path:
        """The folder of what a job made, which may not be there. Raises NotThereError."""
        job = await self.job(number)
        folder = JobFolder.of(self._root, job.id)
        return request_of(job.verb, job.arguments).made(self._root, folder)

    async def cancel(self, number: int, grant: Grant) -> Job:
        """Cancel a queued or waiting job; let a running one finish what is in flight; cancelled again, it ends at once."""
        require_run_scope(grant)
        found = _there(await asyncio.to_thread(self._required().cancel, number))
        self._wake()
        return found

    async def resume(self, number: int, grant: Grant) -> Job:
        """Queue a job again that is over, or waits for batches: it does what is missing, or can be done by now."""
        require_run_scope(grant)
        found = _there(await asyncio.to_thread(self._required().resume, number, self._most_queued))
        self._wake()
        return found

    async def delete(self, number: int, grant: Grant) -> None:
        """Delete a job that is over, with its output and the pages that it made; runs, data sets and models stay."""
        require_run_scope(grant)
        _there(await asyncio.to_thread(self._required().delete, number, self._remove_folder))

    def _remove_folder(self, number: int) -> None:
        folder = JobFolder.of(self._root, number).path
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{folder} cannot be deleted: {error.strerror}; check its permissions") from error

    def require_taken(self) -> None:
        """Raise NotAllowedError where the service takes no jobs."""
        self._required()

    def _required(self) -> JobQueue:
        if self._queue is None:
            raise NotAllowedError("this service takes no jobs: it was started with --jobs 0")
        return self._queue


@contextlib.contextmanager
def taken_jobs(
    policy: Policy, settings: WorkerSettings, most_queued: int, keep: int, note: Callable[[str], None]
) -> Iterator[tuple[Jobs, WorkerProcess | None]]:
    """The jobs of a service and the process that does them, which is to be run; with 0 `jobs` at once none are taken.

    Raises RunError where another service takes the jobs of this folder.
    """
    if settings.jobs == 0:
        yield Jobs(policy, None), None
        return
    with _own_folder(policy.root) as lock:
        worker = WorkerProcess(settings.command(), policy.surroundings(os.environ), lock, note)
        queue = JobQueue(policy.root.own_database)
        try:
            queue.number_above(JobFolder.highest(policy.root))  # where the database was lost and the folders are left
            yield Jobs(policy, queue, most_queued, worker.wake, keep), worker
        finally:
            queue.close()


@contextlib.contextmanager
def _own_folder(root: RunsRoot) -> Iterator[tuple[int, ...]]:
    """The lock on what the service keeps in the root; a worker that a killed service left gets a moment to end."""
    root.make_own_folder()
    until = time.monotonic() + _SECONDS_FOR_FORMER
    while True:
        try:
            check_unused(root.own_folder)
            break
        except InUseError as error:
            if time.monotonic() > until:
                raise RunError(
                    f"{error}; a second service over the same runs takes no jobs and coordinates nothing: --jobs 0"
                ) from error
            time.sleep(0.1)
    with locked_folder(root.own_folder) as lock:
        for left in (root.path / UPLOADS).glob(".*.partial"):  # of an upload that a kill ended
            left.unlink(missing_ok=True)
        yield lock


def require_run_scope(grant: Grant) -> None:
    """Raise NotAllowedError for who may not submit jobs."""
    if not grant.runs:
        raise NotAllowedError(f"this token has the scope {grant.scope}; jobs need one with the scope run")


def _there(job: Job | None) -> Job:
    if job is None:
        raise NotThereError("there is no job of this id; see the list of jobs")
    return job
