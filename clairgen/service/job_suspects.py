"""Jobs during which the worker ended several times: how they are begun with, so that it is found out which of them ends it."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

from clairgen.service.runs_root import RunsRoot
from clairgen.store import RunDirectory
from clairgen.store.job_queue import JobQueue
from clairgen.store.job_records import Job
from clairgen.store.read_connection import committed_rows

_MOST_DEATHS: Final = 5
"""Of the worker in a row, while a job ran that got no further: then the job has failed."""
_DEATHS_OF_SUSPECT: Final = 3
"""After which a job runs beside none that may have ended the worker too."""


class JobSuspects:
    """The jobs of a queue that may be what ends the worker: some of those with the `verbs` that it does in its own process.

    A suspected one runs beside jobs alone that have got further since, so if the worker ends again, it was the cause.
    """

    def __init__(self, queue: JobQueue, root: RunsRoot, verbs: Collection[str]) -> None:
        self._queue = queue
        self._root = root
        self._verbs = verbs
        self._further = set[tuple[int, int]]()

    async def recover(self) -> None:
        """Queue again what the worker before this one had begun with, except a job during which it ended too often."""
        await asyncio.to_thread(self._queue.recover, self._committed, _MOST_DEATHS)

    async def least_deaths(self, verbs: Sequence[str]) -> int:
        """The least `deaths` of the next job that may be claimed: suspected ones come first."""
        is_suspect = await asyncio.to_thread(self._queue.can_be_claimed, verbs, _DEATHS_OF_SUSPECT)
        return _DEATHS_OF_SUSPECT if is_suspect else 0

    async def reason_to_wait(self, running: Sequence[Job], least_deaths: int) -> str | None:
        """Why no job with `least_deaths` begins beside those that run; None for no reason."""
        for job in running:
            if max(least_deaths, job.deaths) < _DEATHS_OF_SUSPECT or await self._has_got_further(job):
                continue
            if job.deaths < _DEATHS_OF_SUSPECT:
                return f"job {job.id} has to get further before one begins that may end the worker"
            return (
                f"job {job.id} runs alone until it gets further, because the worker ended {job.deaths} times in a row while it "
                "ran"
            )
        return None

    async def _has_got_further(self, job: Job) -> bool:
        """Whether more of a job is on disk than when the worker ended last while it ran."""
        this_start = (job.id, job.starts)
        if this_start not in self._further:
            committed = await asyncio.to_thread(self._committed, job)
            if committed is None or committed <= job.committed:
                return False
            self._further.add(this_start)
        return True

    def _committed(self, job: Job) -> int | None:
        """How much of a job is on disk; None for a command, which has a process of its own and so ends none but itself."""
        if job.run is None or job.verb not in self._verbs:
            return None
        return committed_rows(RunDirectory(self._root.path / job.run).database)
