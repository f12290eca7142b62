"""The worker: takes queued jobs and does several at once, in one event loop, until it is to stop.

Jobs that ask models run in this process, so that they share what one process has: limits of endpoints, connections, a budget.
"""

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from clairgen.errors import BudgetError, ClairgenError, DetachedError, DrainedError, InUseError, StoreError
from clairgen.folder_lock import check_unused
from clairgen.inference.runtime import Runtime
from clairgen.service.job_budget import NOTE_SECONDS, JobBudget
from clairgen.service.job_output import JobOutput
from clairgen.service.job_requests import Request, request_of
from clairgen.service.job_suspects import JobSuspects
from clairgen.service.policy import Policy
from clairgen.service.request_models import JobFolder
from clairgen.service.waiting_jobs import WaitingJobs
from clairgen.store.job_queue import JobQueue
from clairgen.store.job_records import Job, JobState

_LOOK_SECONDS: Final = 1.0
"""After which the worker looks for what nobody woke it for, such as a job whose time has come."""
_BUSY_SECONDS: Final = 2.0
"""After which a job is tried again whose run another process works on, and the budget if it could not be read."""
_MONEY_SECONDS: Final = 60.0
"""After which a job is tried again that the budget of all has no room for, while open batches of others count at their most."""
_HELD: Final = "waits, as do all jobs that ask models: "
"""How the sentence of a job begins that waits with all of its kind."""
_SECONDS_TO_END: Final = 5.0
"""Beyond the time to drain, for the end of a session."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the work of a job ended: with an error that stopped it, or by itself, some of its tasks perhaps having failed.

    `code` is the exit code of a command that ran, None for work in this process.
    """

    sentence: str
    stopped_by: ClairgenError | None = None
    some_failed: bool = False
    code: int | None = None

    @classmethod
    def of(cls, sentence: str, stopped_by: ClairgenError | None, *, some_failed: bool) -> "Outcome":
        """An outcome that says both what was done and what stopped it, or what it waits for."""
        if isinstance(stopped_by, DetachedError):
            return cls(stopped_by.batches, stopped_by)
        if stopped_by is None or isinstance(stopped_by, DrainedError):
            return cls(sentence, stopped_by, some_failed)
        return cls(f"{stopped_by} ({sentence})", stopped_by, some_failed)


@dataclass(frozen=True, slots=True)
class Work:
    """What a job is done with. Once `stop` is set it finishes what is in flight, within `drain_seconds`."""

    request: Request
    policy: Policy
    folder: JobFolder
    output: JobOutput
    stop: asyncio.Event
    drain_seconds: float
    runtime: Runtime


Verb = Callable[[Work], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Lane:
    """Verbs of which at most `at_once` jobs run at the same time; `is_here` says that they do so in the worker's process."""

    verbs: Mapping[str, Verb]
    at_once: int
    is_here: bool = True


@dataclass(slots=True)
class _Active:
    job: Job
    lane: Lane
    stop: asyncio.Event
    task: asyncio.Task[None] | None = None
    is_cut_off: bool = False

    def cut_off(self) -> None:
        """Cancel the task, once: again would disturb how it ends."""
        if self.task is not None and not self.is_cut_off:
            self.is_cut_off = True
            self.task.cancel()


class Worker:
    """Does the jobs of a queue. `exit_code` is that of a command which an error ends.

    Until the `budget` can be read, only jobs begin that ask no model: one of those may be what makes it readable.
    """

    def __init__(
        self,
        queue: JobQueue,
        policy: Policy,
        lanes: list[Lane],
        runtime: Runtime,
        exit_code: Callable[[ClairgenError], int],
        drain_seconds: float,
        budget: JobBudget | None = None,
    ) -> None:
        self._queue = queue
        self._policy = policy
        self._root = policy.root
        self._lanes = lanes
        self._runtime = runtime
        self._waiting = WaitingJobs(queue, policy, runtime)
        self._verbs_here = {verb for lane in lanes if lane.is_here for verb in lane.verbs}
        self._suspects = JobSuspects(queue, policy.root, self._verbs_here)
        self._exit_code = exit_code
        self._drain_seconds = drain_seconds
        self._budget = budget
        self._is_open = budget is None
        self._unknown_budget: str | None = None
        self._is_held = False
        self._active: dict[int, _Active] = {}
        self._awake = asyncio.Event()
        self._is_stopping = False

    def wake(self) -> None:
        """Look at the queue now."""
        self._awake.set()

    def stop(self) -> None:
        """Begin with nothing more, let running jobs finish what is in flight, and queue them again."""
        self._is_stopping = True
        self.wake()

    async def run(self) -> None:
        """Work until `stop` is called. Raises StoreError when the queue cannot be read or written."""
        await self._suspects.recover()
        await asyncio.to_thread(self._queue.release, _HELD)
        budget_at = note_at = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            while not self._is_stopping:
                self._awake.clear()
                now = asyncio.get_running_loop().time()
                if not self._is_open and now >= budget_at:
                    await self._open_budget()
                    budget_at = now + _BUSY_SECONDS
                if now >= note_at + NOTE_SECONDS:
                    await self._note_spent([active.job.run for active in self._active.values() if active.lane.is_here])
                    note_at = now
                await self._begin_with_jobs(group)
                await self._waiting.look(group)
                await self._stop_cancelled()
                await self._until_woken()
            self._waiting.stop()
            for active in self._active.values():
                active.stop.set()
            tasks = [active.task for active in self._active.values() if active.task is not None]
            if tasks:
                await asyncio.wait(tasks, timeout=self._drain_seconds + _SECONDS_TO_END)
            for active in self._active.values():
                active.cut_off()

    async def _open_budget(self) -> None:
        """Read what all runs have cost, and let jobs that ask models begin; say why they wait where it cannot be read."""
        assert self._budget is not None  # noqa: S101 - it is open without one
        try:
            shared = await self._budget.opened()
        except ClairgenError as error:
            self._unknown_budget = f"the budget of the service is not known, as a run cannot be read: {error}"
            return
        self._runtime = replace(self._runtime, shared_budget=shared)
        self._is_open, self._unknown_budget = True, None

    async def _note_spent(self, runs: Sequence[str | None]) -> None:
        """Keep what runs have cost. One that cannot be read is read again when the budget is opened next."""
        for run in runs:
            if self._budget is not None and run is not None:
                with contextlib.suppress(ClairgenError):
                    await self._budget.note(run)

    async def _begin_with_jobs(self, group: asyncio.TaskGroup) -> None:
        for lane in self._lanes:
            while sum(active.lane is lane for active in self._active.values()) < lane.at_once:
                job = await (self._next_here(lane) if lane.is_here else self._next(lane))
                if job is None:
                    break
                self._active[job.id] = active = _Active(job, lane, asyncio.Event())
                active.task = group.create_task(self._do(job, lane, active.stop), name=f"job {job.id}")
            else:  # there is no room, which is why jobs wait
                if lane.is_here:
                    await self._release()

    async def _next(self, lane: Lane, deaths: int = 0) -> Job | None:
        return await asyncio.to_thread(self._queue.claim, list(lane.verbs), deaths)

    async def _next_here(self, lane: Lane) -> Job | None:
        """The next job of a lane in this process, if one may begin; else those that wait say why."""
        verbs = list(lane.verbs)
        running = [one.job for one in self._active.values() if one.lane is lane]
        deaths = await self._suspects.least_deaths(verbs)
        reason = self._unknown_budget or await self._suspects.reason_to_wait(running, deaths)
        if reason is not None:
            self._is_held = True
            await asyncio.to_thread(self._queue.hold, verbs, f"{_HELD}{reason}")
            return None
        await self._release()
        return await self._next(lane, deaths)

    async def _release(self) -> None:
        if self._is_held:
            self._is_held = False
            await asyncio.to_thread(self._queue.release, _HELD)

    async def _stop_cancelled(self) -> None:
        """Stop what was cancelled, and end at once what was cancelled twice or does not end in time."""
        if not self._active:
            return
        for number, cancels in (await asyncio.to_thread(self._queue.cancels)).items():
            active = self._active.get(number)
            if active is None or not cancels:
                continue
            if not active.stop.is_set():
                active.stop.set()
                asyncio.get_running_loop().call_later(self._drain_seconds + _SECONDS_TO_END, active.cut_off)
            if cancels > 1:
                active.cut_off()

    async def _until_woken(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._awake.wait()
        except TimeoutError:
            pass

    async def _do(self, job: Job, lane: Lane, stop: asyncio.Event) -> None:
        """Do a job, whatever comes of it."""
        try:
            if job.run is not None and job.writes:
                await asyncio.to_thread(check_unused, self._root.path / job.run)
            await self._end(job, await self._outcome(job, lane.verbs[job.verb], stop))
        except InUseError as error:
            await asyncio.to_thread(self._queue.put_back, job.id, f"waits: {error}", _BUSY_SECONDS)
        except asyncio.CancelledError:
            await self._end(job, Outcome("ended at once; everything committed is kept", DrainedError()))
            if not stop.is_set():
                raise
        finally:
            del self._active[job.id]
            self.wake()

    async def _outcome(self, job: Job, verb: Verb, stop: asyncio.Event) -> Outcome:
        folder = JobFolder.of(self._root, job.id)
        try:
            output = JobOutput(folder.output)
        except OSError as error:
            sentence = f"{folder.path} cannot be written: {error.strerror}; check the disk and the permissions"
            return Outcome(sentence, StoreError(sentence))
        with output:
            output.line(f"$ {job.command}")
            try:
                request = request_of(job.verb, job.arguments)
                work = Work(request, self._policy, folder, output, stop, self._drain_seconds, self._runtime)
                outcome = await verb(work)
            except InUseError:
                raise
            except ClairgenError as error:
                outcome = Outcome(str(error), error)
            except Exception as error:  # noqa: BLE001 - the boundary of a job: the others go on
                output.line(traceback.format_exc())
                what = f"an error in clairgen, see the output: {type(error).__name__}: {error}"
                outcome = Outcome(what, ClairgenError(what))
            output.line(outcome.sentence)
        return outcome

    async def _end(self, job: Job, outcome: Outcome) -> None:
        """Commit how a job ended. What a drain stopped was cancelled, or is queued again for the next worker.

        What is left in batches waits for them, and what lacks money that those of other jobs may free is tried again.
        """
        if job.verb in self._verbs_here:
            await self._note_spent([job.run])
        if isinstance(outcome.stopped_by, DrainedError):
            cancelled = (await asyncio.to_thread(self._queue.cancels)).get(job.id, 0)
            if not cancelled:
                sentence = "interrupted as the service ended; it goes on by itself"
                await asyncio.to_thread(self._queue.put_back, job.id, sentence)
                return
        if isinstance(outcome.stopped_by, DetachedError):
            await self._waiting.wait(job, outcome.sentence)
            return
        if await self._lacks_money_for_now(outcome.stopped_by):
            sentence = f"waits for money that the open batches of other jobs may free: {outcome.sentence}"
            await asyncio.to_thread(self._queue.put_back, job.id, sentence, _MONEY_SECONDS)
            return
        error = outcome.stopped_by
        state, code = JobState.DONE, int(outcome.some_failed)
        if error is not None:
            state = JobState.CANCELLED if isinstance(error, DrainedError) else JobState.FAILED
            code = self._exit_code(error) if outcome.code is None else outcome.code
        await asyncio.to_thread(self._queue.end, job.id, state, code, outcome.sentence)

    async def _lacks_money_for_now(self, error: ClairgenError | None) -> bool:
        """Whether a job was stopped by the budget of all jobs while one waits for batches, which cost less than is reserved."""
        is_of_all = isinstance(error, BudgetError) and error.enough_usd is None
        return is_of_all and (await asyncio.to_thread(self._queue.counts))[JobState.WAITING] > 0
