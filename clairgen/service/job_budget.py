"""The one budget of all jobs: what their runs have cost is kept in the service's database, also of those that are deleted."""

import asyncio
from collections.abc import Sequence
from typing import Final

from clairgen.config.prices import PICODOLLARS
from clairgen.inference.shared_budget import SharedBudget
from clairgen.service.runs_root import RunsRoot
from clairgen.store import reading
from clairgen.store.job_queue import JobQueue
from clairgen.store.read_connection import holds_nothing

NOTE_SECONDS: Final = 30.0
"""After which what running jobs have cost is kept again; it is kept when they end, too."""
_ADVICE: Final = "start the service with a larger --budget-usd"


class JobBudget:
    """What the jobs of a queue that have one of the `verbs` cost, and may cost: `limit_usd`, None without a limit."""

    def __init__(self, limit_usd: float | None, root: RunsRoot, queue: JobQueue, verbs: Sequence[str]) -> None:
        self._limit_usd = limit_usd
        self._root = root
        self._queue = queue
        self._verbs = verbs

    async def opened(self) -> SharedBudget | None:
        """The budget that jobs share, with all that was spent; None without a limit.

        Raises ClairgenError where what one of the runs has cost cannot be read.
        """
        if self._limit_usd is None:
            return None
        for name in await asyncio.to_thread(self._queue.runs_of, self._verbs):
            await self.note(name)
        spent = await asyncio.to_thread(self._queue.spent)
        return SharedBudget(self._limit_usd, spent / PICODOLLARS, how_to_raise=_ADVICE)

    async def note(self, name: str) -> None:
        """Keep what a run has cost so far, if there is one of this name. Raises ClairgenError where that cannot be read."""
        if (run := self._root.run(name)) is None:
            return
        run.refuse_emptied()
        if await asyncio.to_thread(holds_nothing, run.database):
            return
        async with reading(run) as store:
            run_id = await store.metadata.get("run_id") or ""
            spent = await store.spending.total()
        await asyncio.to_thread(self._queue.note_spent, name, run_id, spent.settled, spent.total)
