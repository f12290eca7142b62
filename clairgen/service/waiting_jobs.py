"""Jobs that wait for nothing but batches: when these are looked at, which takes no place of another job, and what it leads to."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from clairgen.config.role import Role
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.batch_lane.batch_roles import models_in
from clairgen.pipeline.detaching import look_at_batches
from clairgen.service.job_requests import request_of
from clairgen.service.policy import Policy
from clairgen.service.request_models import AdviseRequest, JobFolder
from clairgen.store import RunDirectory
from clairgen.store.job_queue import JobQueue
from clairgen.store.job_records import Job

_AT_ONCE: Final = 8
_UNKNOWN_SECONDS: Final = 60.0
"""After which a job goes on whose batches cannot be looked at without it."""
_RUN_IS_GONE: Final = (
    "its run was deleted while batches were open; resume this job to make the run again from the beginning"
)


class WaitingJobs:
    """Looks at the batches of the waiting jobs of a queue as they are due: of several at once, since a provider may be slow."""

    def __init__(self, queue: JobQueue, policy: Policy, runtime: Runtime) -> None:
        self._queue = queue
        self._policy = policy
        self._root = policy.root
        self._runtime = runtime
        self._looks: dict[int, asyncio.Task[None]] = {}

    async def look(self, group: asyncio.TaskGroup) -> None:
        """Begin to look at what is due."""
        room = _AT_ONCE - len(self._looks)
        for job in await asyncio.to_thread(self._queue.to_look_at, room, list(self._looks)):
            self._looks[job.id] = group.create_task(self._look(job), name=f"look at batches of job {job.id}")

    def stop(self) -> None:
        """Look no further."""
        for look in self._looks.values():
            look.cancel()

    async def wait(self, job: Job, sentence: str) -> None:
        """Let a job that left its batches wait for them."""
        seconds = await self._pause_seconds(job, asks=False)
        await asyncio.to_thread(self._queue.wait_for_batches, job.id, sentence, seconds or _UNKNOWN_SECONDS)

    async def _look(self, job: Job) -> None:
        try:
            if job.run is None or self._root.run(job.run) is None:
                await asyncio.to_thread(self._queue.give_up, job.id, _RUN_IS_GONE)
                return
            seconds = await self._pause_seconds(job, asks=True)
            if seconds is None:
                await asyncio.to_thread(self._queue.go_on, job.id)
            else:
                await asyncio.to_thread(self._queue.look_again, job.id, seconds)
        finally:
            del self._looks[job.id]

    async def _pause_seconds(self, job: Job, *, asks: bool) -> float | None:
        """See `look_at_batches`; None also where they cannot be looked at, which the job meets when it goes on, and says."""
        run = self._root.path / str(job.run)
        try:
            models = await asyncio.to_thread(self._models, job, run)
            return await look_at_batches(run, models, self._runtime, asks=asks)
        except Exception:  # noqa: BLE001 - at the boundary of a job: the others go on
            return None

    def _models(self, job: Job, run: Path) -> Mapping[str, Role]:
        """The models of a job. Raises UserError, also for one that names what is not allowed any more."""
        request = request_of(job.verb, job.arguments)
        request.prepared(self._policy)
        files = [JobFolder.of(self._root, job.id).config]
        if isinstance(request, AdviseRequest):  # which has those of its run as well, and may have no others
            files = [RunDirectory(run).config, *(file for file in files if file.exists())]
        return {name: role for file in files for name, role in models_in(file).items()}
