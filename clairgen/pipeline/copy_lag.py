"""How far the copy of a run is behind what is committed, said where it fails; where that is too much, the session stops.

A lost node would lose what was paid for, so nothing more is asked then.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from clairgen.errors import CopyStoppedError, UserError
from clairgen.pipeline.failures import Stop
from clairgen.pipeline.progress import Progress

LOOK_SECONDS: Final = 0.5
"""How often the lag is looked at."""
_LEAST_BEHIND: Final = 60.0
_INTERVALS_BEHIND: Final = 10
_STOPPED_SECONDS: Final = 10.0  # between two looks


class CopyLag:
    """The lag of the copy at an address that is brought up to the run `every` seconds.

    `up_to` is when, by the clock, all that was committed was in the copy; None before its first snapshot is. `most` is how many
    seconds it may be behind, and `failures` counts the times that it could not be brought up.
    """

    def __init__(self, address: str, every: float, clock: Callable[[], float], progress: Progress) -> None:
        self._address = address
        self._clock = clock
        self._progress = progress
        self._began = clock()
        self._stopped = 0.0
        self._failing: str | None = None
        self.most = max(_LEAST_BEHIND, _INTERVALS_BEHIND * every)
        self.up_to: float | None = None
        self.failures = 0

    @property
    def behind_seconds(self) -> float:
        """All that was committed this long ago is in the copy."""
        return self._clock() - (self._began if self.up_to is None else self.up_to)

    @property
    def is_failing(self) -> bool:
        """Whether the copy could not be brought up at the last try."""
        return self._failing is not None

    @property
    def because(self) -> str:
        """Why it fails, in brackets after a space; empty where it does not."""
        return f" ({self._failing})" if self._failing is not None else ""

    def is_up_to(self, looked: float) -> None:
        """All that was committed at that time, by the clock, is in the copy."""
        self.up_to, self._stopped = looked, 0.0

    def failed(self, error: Exception) -> None:
        """The copy could not be brought up, which is said once."""
        said = (
            str(error)
            if isinstance(error, UserError)
            else f"the copy at {self._address} fails: {type(error).__name__}: {error}"
        )
        self.failures += 1
        self._progress.log_event("copy-failed", error=said, behind_seconds=round(self.behind_seconds, 1))
        if self._failing is None:
            self._progress.note(
                f"{said}; the run goes on, and stops asking once the copy is more than {self.most:g} s behind"
            )
        self._failing = said

    def succeeded(self) -> None:
        """The copy was brought up, which is said where it failed before."""
        if self._failing is not None:
            self._failing = None
            self._progress.note(f"the copy at {self._address} is written again")

    async def watch(self, stop: Stop) -> None:
        """Stop the session once the copy is too far behind, also while a call to its storage hangs, until cancelled.

        Time in which the whole process was stopped, as a scheduler does it, does not count: nothing was committed in it.
        """
        loop = asyncio.get_running_loop()
        while stop.error is None:
            looked, looked_at = self._clock(), loop.time()
            await asyncio.sleep(LOOK_SECONDS)
            if loop.time() - looked_at > _STOPPED_SECONDS:
                self._stopped += self._clock() - looked
            if self.behind_seconds - self._stopped > self.most and (
                self.up_to is not None or self._failing is not None
            ):
                stop.because_of(
                    CopyStoppedError(
                        f"the copy at {self._address} is {self.behind_seconds:,.0f} s behind, more than the {self.most:g} s "
                        f"that it may be{self.because}, so nothing more is asked; see to the storage and run the same command "
                        "again"
                    )
                )
