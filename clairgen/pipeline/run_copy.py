"""The durable copy of a run during a session: how far it is behind, and that nothing more is asked where that is too much.

Whatever was committed until `every` seconds ago is in the copy, as long as its storage works. Where that fails the run goes on
and says so, up to the most that the copy may be behind; then the session stops, since a lost node would lose what was paid for.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from clairgen.copies.shipping import Shipper, UploadedSnapshot
from clairgen.copies.storage import Storage
from clairgen.errors import (
    CopyError,
    CopyStoppedError,
    ReplacedError,
    RunStoppedError,
    StoreError,
    UserError,
)
from clairgen.hanging_calls import in_thread
from clairgen.pipeline.copy_takeover import taken_over
from clairgen.pipeline.failures import Stop
from clairgen.pipeline.progress import CopyState
from clairgen.pipeline.session import Session

_LEAST_BEHIND: Final = 60.0
_INTERVALS_BEHIND: Final = 10
_LOOK_SECONDS: Final = 0.5
_CHECK_SECONDS: Final = 60.0  # storages that delete what is old do so once a day, so a listing each minute is enough
_LEAST_WAIT_SECONDS: Final = 0.05
_CLOSE_SECONDS: Final = 5.0
_STOPPED_SECONDS: Final = 10.0  # between two looks
_PAUSE_SECONDS: Final = 1.0  # the filters of all pairs are one transaction

T = TypeVar("T")


def most_behind(every: float) -> float:
    """The seconds that a copy may be behind before the session stops asking."""
    return max(_LEAST_BEHIND, _INTERVALS_BEHIND * every)


class NoCopy:
    """No copy is kept."""

    async def ready(self) -> None:
        """Nothing to wait for."""

    async def finish(self, stopped_by: RunStoppedError | UserError | None) -> RunStoppedError | UserError | None:
        """What stopped the session."""
        return stopped_by


@asynccontextmanager
async def keeping(
    held: Session, storage: Storage | None, every: float, stop: Stop
) -> AsyncIterator["RunCopy | NoCopy"]:
    """Keep a copy of the run during the block, if there is a storage. Raises CopyError for one that has another's, or fails."""
    if storage is None:
        yield NoCopy()
        return
    epoch = await taken_over(held, storage)
    await held.store.leave_log()
    shipper = Shipper(held.directory, storage, epoch)
    kept = RunCopy(held, storage, shipper, every, stop)
    held.progress.copy, held.store.copy.reached = kept.state, kept.reached
    held.progress.log_event("copying", to=storage.address, every_seconds=every, epoch=epoch.number)
    keeping_up = asyncio.create_task(kept.keep_up(), name="copy")
    watching = asyncio.create_task(kept.watch(), name="copy lag")
    try:
        yield kept
    finally:
        for task in (keeping_up, watching):
            task.cancel()
        await asyncio.wait((keeping_up, watching))
        await kept.close()


class RunCopy:
    """The copy of a run that a session keeps."""

    def __init__(self, held: Session, storage: Storage, shipper: Shipper, every: float, stop: Stop) -> None:
        self._held = held
        self._address = storage.address
        self._shipper = shipper
        self._every = every
        self._stop = stop
        self._clock = held.runtime.clock
        self._wake = asyncio.Event()
        self._stepped = asyncio.Event()
        self._began = self._clock()
        self._checked: float | None = self._began
        self._up_to: float | None = None
        self._stopped = 0.0
        self._failing: str | None = None
        self._failures = 0
        self._ended_by: ReplacedError | CopyStoppedError | None = None
        self._is_complete = False
        self._in_hand: asyncio.Future[Any] | None = None
        self._snapshot: asyncio.Task[UploadedSnapshot] | None = None

    @property
    def behind_seconds(self) -> float:
        """All that was committed this long ago is in the copy."""
        return self._clock() - (self._began if self._up_to is None else self._up_to)

    def state(self) -> CopyState:
        """What counters say of it."""
        return CopyState(
            self._address,
            None if self._up_to is None else round(self.behind_seconds, 1),
            self._shipper.bytes_written,
            self._failures,
        )

    async def ready(self) -> None:
        """Wait until the run as it was at the start is in the copy, or the session is to stop."""
        while self._up_to is None and not self._stop.event.is_set():
            self._stepped.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stepped.wait(), _LOOK_SECONDS)

    async def reached(self) -> None:
        """Wait until all that is committed by now is in the copy. Raises what stopped the session, if something did before."""
        wanted = self._clock()
        while self._up_to is None or self._up_to < wanted:
            if self._stop.error is not None:
                raise self._stop.error
            await self._stepped_again()

    async def finish(self, stopped_by: RunStoppedError | UserError | None) -> RunStoppedError | UserError | None:
        """Bring the copy up to all that is committed, and say that it is; what stopped the session, which may be the copy."""
        wanted = went_on = self._clock()
        self._checked = None
        written, most = self._shipper.bytes_written, most_behind(self._every)
        while self._ended_by is None and (self._up_to is None or self._up_to < wanted):
            if written != self._shipper.bytes_written:
                written, went_on = self._shipper.bytes_written, self._clock()
            if self._clock() - went_on > most:
                error = CopyStoppedError(
                    f"the copy at {self._address} lacks what was committed in the last {self.behind_seconds:,.0f} s"
                    f"{self._because()}; the run directory has everything: see to the storage and run the same command again"
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
            await asyncio.wait_for(self._stepped.wait(), _LOOK_SECONDS)
        if self._failing is not None or not self._shipper.is_restorable:
            await asyncio.sleep(_LOOK_SECONDS)

    async def keep_up(self) -> None:
        """Bring the copy up to what is committed, again and again, until cancelled."""
        while self._ended_by is None:
            self._wake.clear()
            due = self._clock() + self._every
            await self._step()
            self._stepped.set()
            awaited: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._wake.wait())]
            if self._snapshot is not None:
                awaited.append(self._snapshot)
            wait_seconds = max(due - self._clock(), _LEAST_WAIT_SECONDS)
            await asyncio.wait(awaited, timeout=wait_seconds, return_when=asyncio.FIRST_COMPLETED)
            awaited[0].cancel()

    async def watch(self) -> None:
        """Stop the session once the copy is too far behind, also while a call to its storage hangs, until cancelled.

        Time in which the whole process was stopped, as a scheduler does it, does not count: nothing was committed in it.
        """
        most, loop = most_behind(self._every), asyncio.get_running_loop()
        while self._stop.error is None:
            looked, looked_at = self._clock(), loop.time()
            await asyncio.sleep(_LOOK_SECONDS)
            if loop.time() - looked_at > _STOPPED_SECONDS:
                self._stopped += self._clock() - looked
            if self.behind_seconds - self._stopped > most and (self._up_to is not None or self._failing is not None):
                self._stop.because_of(
                    CopyStoppedError(
                        f"the copy at {self._address} is {self.behind_seconds:,.0f} s behind, more than the {most:g} s that it "
                        f"may be{self._because()}, so nothing more is asked; see to the storage and run the same command again"
                    )
                )

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
            self._failed(error)
            return
        if self._failing is not None:
            self._failing = None
            self._held.progress.note(f"the copy at {self._address} is written again")
        self._is_up_to(looked)

    def _is_up_to(self, looked: float) -> None:
        if self._shipper.is_restorable:
            self._up_to, self._stopped = looked, 0.0

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

    def _failed(self, error: Exception) -> None:
        said = (
            str(error)
            if isinstance(error, UserError)
            else f"the copy at {self._address} fails: {type(error).__name__}: {error}"
        )
        self._failures += 1
        self._held.progress.log_event("copy-failed", error=said, behind_seconds=round(self.behind_seconds, 1))
        if self._failing is None:
            self._held.progress.note(
                f"{said}; the run goes on, and stops asking once the copy is more than {most_behind(self._every):g} s behind"
            )
        self._failing = said

    def _because(self) -> str:
        return f" ({self._failing})" if self._failing is not None else ""
