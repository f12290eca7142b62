"""What a member does while its coordinator does not answer: it waits, says so once, and has enough of it after a while."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from clairgen.coordination.coordinator_client import SilentError
from clairgen.coordination.wire import RATE_SECONDS
from clairgen.errors import EndpointsError
from clairgen.inference.retry import stoppable

RETRY_SECONDS: Final = 1.0
"""After which a coordinator that did not answer is asked again."""
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a member takes from its process: clocks, sleep, whom it tells, and the event that stops its work.

    Leases end by the `lease_clock`, which goes on while the machine is suspended; patience is counted by the other one.
    """

    clock: Callable[[], float]
    lease_clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    note: Callable[[str], None]
    stop: asyncio.Event

    async def pause(self, seconds: float) -> None:
        """Sleep. Raises DrainedError as soon as the work is to stop."""
        await stoppable(self.sleep, self.stop)(seconds)


class Silence:
    """Of the coordinator at `where`, which is waited for as long as `patience_seconds`."""

    def __init__(self, where: str, patience_seconds: float, around: Surroundings) -> None:
        self._where = where
        self._patience_seconds = patience_seconds
        self._around = around
        self._heard_at = around.clock()
        self._is_noted = False

    def end(self, asked_at: float) -> None:
        """The coordinator answered what was asked then."""
        self._heard_at = asked_at
        if self._is_noted:
            self._around.note(f"the coordinator at {self._where} answers again, and requests go on")
        self._is_noted = False

    def bear(self, error: SilentError) -> None:
        """It did not answer, and something here waits for it. Raises EndpointsError once that lasted too long."""
        seconds = self._around.clock() - self._heard_at
        if seconds < RATE_SECONDS:
            return  # what is held goes on
        if not self._is_noted:
            self._is_noted = True
            self._around.note(
                f"the coordinator at {self._where} does not answer ({error}); what it granted ends or is used up, so no more is "
                f"sent; waiting up to {self._patience_seconds:.0f} s for it, then the run stops and can be continued"
            )
        if seconds > RATE_SECONDS + self._patience_seconds:
            raise EndpointsError(f"the coordinator at {self._where} has not answered for {seconds:.0f} s ({error})")

    async def insist(self, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Ask until there is an answer. Raises EndpointsError once that lasted too long, DrainedError."""
        began, is_noted = self._around.clock(), False
        while True:
            try:
                return await ask()
            except SilentError as error:
                if self._around.clock() - began > self._patience_seconds:
                    raise EndpointsError(f"the coordinator at {self._where} does not answer ({error})") from error
                if not is_noted:
                    is_noted = True
                    self._around.note(
                        f"the coordinator at {self._where} does not answer ({error}); waiting up to "
                        f"{self._patience_seconds:.0f} s for it"
                    )
            await self._around.pause(RETRY_SECONDS)
