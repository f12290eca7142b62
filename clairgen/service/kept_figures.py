"""Figures that take long, computed in a thread and kept while a run's database stays as it is."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from clairgen.store import RunDirectory

T = TypeVar("T")
_MOST_KEPT: Final = 32
Stamp = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    value: T
    stamp: Stamp
    at: float
    took: float


class KeptFigures(Generic[T]):
    """Figures of runs, one run at a time. `clock` counts seconds.

    Those of a run that goes on are up to `seconds` old, and older where they take long: so they take a tenth of the time at most.
    """

    def __init__(
        self,
        compute: Callable[[RunDirectory], Coroutine[Any, Any, T]],
        seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compute = compute
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[RunDirectory, _Kept[T]] = OrderedDict()
        self._busy = asyncio.Lock()

    async def of(self, run: RunDirectory) -> T:
        """The figures of a run."""
        async with self._busy:
            stamp, now = stamp_of(run), self._clock()
            kept = self._kept.pop(run, None)
            if kept is None or (kept.stamp != stamp and now - kept.at >= max(self._seconds, 10 * kept.took)):
                value = await asyncio.to_thread(asyncio.run, self._compute(run))
                kept = _Kept(value, stamp, now, self._clock() - now)
            self._kept[run] = kept
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return kept.value


def stamp_of(run: RunDirectory) -> Stamp:
    """Size and time of the database and its write-ahead log, which change with every commit."""
    found: list[tuple[int, int]] = []
    for path in (run.database, run.write_ahead_log):
        try:
            facts = path.stat()
            found.append((facts.st_size, facts.st_mtime_ns))
        except OSError:
            found.append((0, 0))
    return tuple(found)
