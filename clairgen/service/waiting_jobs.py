"""Jobs that wait for nothing but batches: when these are looked at, which takes no place of another job, and what it leads to."""

import asyncio
from collections.abc import Mapping
from typing import Final

from clairgen.config.role import Role
from clairgen.errors import ClairgenError
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.batch_lane.batch_roles import models_in
from clairgen.pipeline.detaching import look_at_batches
from clairgen.service.request_models import JobFolder
from clairgen.service.runs_root import RunsRoot
from clairgen.store import RunDirectory
from clairgen.store.job_queue import JobQueue
from clairgen.store.job_records import Job

_AT_ONCE: Final = 8
_UNKNOWN_SECONDS: Final = 60.0
"""After which a job goes on whose batches cannot be looked at without it."""


class WaitingJobs:
    """Looks at the batches of the waiting jobs of a queue as they are due: of several at once, since a provider may be slow."""

    def __init__(self, queue: JobQueue, root: RunsRoot, runtime: Runtime) -> None:
        self._queue = queue
        self._root = root
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
        try:
            seconds = await self._pause_seconds(job, asks=False)
        except ClairgenError:
            seconds = None
        await asyncio.to_thread(self._queue.wait_for_batches, job.id, sentence, seconds or _UNKNOWN_SECONDS)

    async def _look(self, job: Job) -> None:
        try:
            seconds = await self._pause_seconds(job, asks=True)
            if seconds is None:
                await asyncio.to_thread(self._queue.go_on, job.id)
            else:
                await asyncio.to_thread(self._queue.look_again, job.id, seconds)
        except ClairgenError:  # the job meets it too, and says it
            await asyncio.to_thread(self._queue.go_on, job.id)
        finally:
            del self._looks[job.id]

    async def _pause_seconds(self, job: Job, *, asks: bool) -> float | None:
        """See `look_at_batches`. Raises ClairgenError."""
        if job.run is None:
            return None
        models = await asyncio.to_thread(self._models, job, job.run)
        return await look_at_batches(self._root.path / job.run, models, self._runtime, asks=asks)

    def _models(self, job: Job, run: str) -> Mapping[str, Role]:
        """The models that a job has, as far as it names none of its own those of its run. Raises ConfigError."""
        files = (RunDirectory(self._root.path / run).config, JobFolder.of(self._root, job.id).config)
        return {name: role for file in files if file.exists() for name, role in models_in(file).items()}
