"""The durable copy of a run during a session: brought up to what is committed again and again, and completed at the end.

Whatever was committed until `every` seconds ago is in the copy, as long as its storage works. Where that fails the run goes on
and says so, up to the most that the copy may be behind (`copy_lag`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from clairgen.config.prices import PICODOLLARS
from clairgen.copies.epochs import KeptEpoch
from clairgen.copies.shipping import Shipper, UploadedSnapshot
from clairgen.copies.storage import Storage
from clairgen.errors import CopyError, CopyStoppedError, ReplacedError, RunStoppedError, StoreError, UserError
from clairgen.hanging_calls import in_thread
from clairgen.pipeline.copy_allowance import CopyAllowance
from clairgen.pipeline.copy_lag import LOOK_SECONDS, CopyLag
from clairgen.pipeline.copy_takeover import taken_over
from clairgen.pipeline.failures import Stop
from clairgen.pipeline.progress import CopyState
from clairgen.pipeline.session import Session

_CHECK_SECONDS: Final = 60.0  # storages that delete what is old do so once a day, so a listing each minute is enough
_LEAST_WAIT_SECONDS: Final = 0.05
_RETRY_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 1.0  # the filters of all pairs are one transaction

T = TypeVar("T")


class NoCopy:
    """No copy is kept."""

    allowance: None = None

    async def ready(self) -> None:
        """Nothing to wait for."""

    async def finish(self, stopped_by: RunStoppedError | UserError | None) -> RunStoppedError | UserError | None:
        """What stopped the session."""
        return stopped_by


@asynccontextmanager
async def keeping(
    held: Session, storage: Storage | None, every: float, stop: Stop, limit_usd: float | None
) -> AsyncIterator["RunCopy | NoCopy"]:
    """Keep a copy of the run during the block, if there is a storage; `limit_usd` is the run's budget, if it has one.

    Raises CopyError for a storage that has another's copy, or fails.
    """
    if storage is None:
        yield NoCopy()
        return
    epoch = await taken_over(held, storage)
    await held.store.leave_log()
    kept = RunCopy(held, epoch, every, stop, limit_usd)
    held.progress.copy, held.store.copy.reached = kept.state, kept.reached
    held.progress.log_event("copying", to=storage.address, every_seconds=every, epoch=epoch.epoch.number)
    keeping_up = asyncio.create_task(kept.keep_up(), name="copy")
    watching = asyncio.create_task(kept.lag.watch(stop), name="copy lag")
    try:
        yield kept
    finally:
        for task in (keeping_up, watching):
            task.cancel()
        await asyncio.wait((keeping_up, watching))
        await kept.close()


class RunCopy:
    """The copy of a run that a session keeps; `allowance` is what it lets a run with a budget spend."""

    def __init__(self, held: Session, epoch: KeptEpoch, every: float, stop: Stop, limit_usd: float | None) -> None:
        self._held = held
        self._address = epoch.storage.address
        self._shipper = Shipper(held.directory, epoch)
        self._every = every
        self._stop = stop
        self._clock = held.runtime.clock
        self._wake = asyncio.Event()
        self._stepped = asyncio.Event()
        self.lag = CopyLag(self._address, every, self._clock, held.progress)
        self.allowance = (
            None if limit_usd is None else CopyAllowance(int(limit_usd * PICODOLLARS), hurry=self._wake.set)
        )
        self._has_budget = limit_usd is not None
        self._checked: float | None = self._clock()
        self._ended_by: ReplacedError | CopyStoppedError | None = None
        self._is_complete = False
        self._in_hand: asyncio.Future[Any] | None = None
        self._snapshot: asyncio.Task[UploadedSnapshot] | None = None

    def state(self) -> CopyState:
        """What counters say of it."""
        behind_seconds = None if self.lag.up_to is None else round(self.lag.behind_seconds, 1)
        return CopyState(self._address, behind_seconds, self._shipper.bytes_written, self.lag.failures)

    async def ready(self) -> None:
        """Wait until the run as it was at the start is in the copy, or the session is to stop."""
        while self.lag.up_to is None and not self._stop.event.is_set():
            self._stepped.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stepped.wait(), LOOK_SECONDS)

    async def reached(self) -> None:
        """Wait until all that is committed by now is in the copy. Raises what stopped the session, if something did before."""
        wanted = self._clock()
        while self.lag.up_to is None or self.lag.up_to < wanted:
            if self._stop.error is not None:
                raise self._stop.error
            await self._stepped_again()

    async def finish(self, stopped_by: RunStoppedError | UserError | None) -> RunStoppedError | UserError | None:
        """Bring the copy up to all that is committed, and say that it is; what stopped the session, which may be the copy."""
        wanted = went_on = self._clock()
        self._checked = None
        self.allowance = None  # nothing more is spent
        written = self._shipper.bytes_written
        while self._ended_by is None and (self.lag.up_to is None or self.lag.up_to < wanted):
            if written != self._shipper.bytes_written:
                written, went_on = self._shipper.bytes_written, self._clock()
            if self._clock() - went_on > self.lag.most:
                error = CopyStoppedError(
                    f"the copy at {self._address} lacks what was committed in the last {self.lag.behind_seconds:,.0f} s"
                    f"{self.lag.because}; the run directory has everything: see to the storage and run the same command again"
                )
                return stopped_by or error
            await self._stepped_again()
        if self._ended_by is not None:
            return stopped_by or self._ended_by
        self._held.log.count(self._held.progress)
        self._held.progress.note(f"the copy at {self._address} is complete")
        self._is_complete = True
        return stopped_by

    async def _stepped_again(self) -> None:
        """Have the copy brought up now, and wait a moment for that."""
        self._stepped.clear()
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stepped.wait(), LOOK_SECONDS)
        if self.lag.is_failing or not self._shipper.is_restorable:
            await asyncio.sleep(LOOK_SECONDS)

    async def keep_up(self) -> None:
        """Bring the copy up to what is committed, again and again, until cancelled."""
        while self._ended_by is None:
            self._wake.clear()
            due = self._clock() + self._every
            await self._step()
            self._stepped.set()
            most_seconds = min(self._every, _RETRY_SECONDS) if self.lag.is_failing else self._every
            wait_seconds = min(max(due - self._clock(), _LEAST_WAIT_SECONDS), most_seconds)
            woken = asyncio.ensure_future(self._wake.wait())
            awaited = {woken} if self._snapshot is None else {woken, self._snapshot}
            try:
                await asyncio.wait(awaited, timeout=wait_seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                woken.cancel()

    async def close(self) -> None:
        """Close what follows the run, once the call to the storage that is under way is over or takes too long.

        The last lines of the log are in the copy, too, if it was completed.
        """
        await self._settled()
        if self._is_complete and (self._in_hand is None or self._in_hand.done()):
            with contextlib.suppress(CopyError, CopyStoppedError, ReplacedError, StoreError, TimeoutError):
                await asyncio.wait_for(self._do(self._shipper.ship), _CLOSE_SECONDS)
            await self._settled()
        self._shipper.close()

    async def _settled(self) -> None:
        """Wait a moment for what is under way in threads; what came of it was said, or does not matter any more."""
        waiting = [one for one in (self._in_hand, self._snapshot) if one is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=_CLOSE_SECONDS)
        for one in waiting:
            if one.done() and not one.cancelled():
                one.exception()

    async def _step(self) -> None:
        looked = self._clock()
        try:
            await self._do(self._shipper.ship)
            await self._state_allowance()
            if self._checked is None or looked - self._checked > _CHECK_SECONDS:
                await self._do(self._shipper.check_objects)
                self._checked = looked
            self._is_up_to(looked)
            if self._shipper.has_long_log:
                await self._do(self._shipper.move_log)
                await self._do(self._shipper.ship)
                async with self._held.store.paused(_PAUSE_SECONDS) as is_paused:
                    if is_paused:
                        await self._do(self._shipper.restart_log)
            await self._step_of_snapshot()
        except (ReplacedError, CopyStoppedError) as error:
            self._ended_by = error
            self._stop.because_of(error)
            return
        except Exception as error:  # noqa: BLE001 - it is tried again, until the copy is too far behind
            self.lag.failed(error)
            return
        self.lag.succeeded()
        self._is_up_to(looked)

    async def _state_allowance(self) -> None:
        """Let the run spend more, once the copy has the session's first state and says that more may be spent after it."""
        if self.lag.up_to is None:
            return
        allowance, statement = self.allowance, 0
        if allowance is not None:
            statement = allowance.next_statement()
        elif self._has_budget:  # the session has ended
            statement = (await self._held.store.spending.total()).total
        await self._do(lambda: self._shipper.kept.state_allowance(statement))
        if allowance is not None:
            allowance.state(statement)

    def _is_up_to(self, looked: float) -> None:
        if self._shipper.is_restorable:
            self.lag.is_up_to(looked)

    async def _step_of_snapshot(self) -> None:
        if self._snapshot is None:
            if self._shipper.wants_snapshot:
                base = self._shipper.begin_snapshot()
                upload = in_thread(lambda: self._shipper.upload_snapshot(base))
                self._snapshot = asyncio.create_task(upload, name="snapshot")
        elif self._snapshot.done():
            work, self._snapshot = self._snapshot, None
            uploaded = work.result()
            await self._do(lambda: self._shipper.complete_snapshot(uploaded))

    async def _do(self, work: Callable[[], T]) -> T:
        task = asyncio.ensure_future(in_thread(work))
        self._in_hand = task
        return await asyncio.shield(task)
