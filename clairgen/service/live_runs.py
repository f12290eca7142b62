"""Runs that go on, as those see them who look: what each log says is read once for all of them, and not at all for nobody.

Whoever looks at a run wakes every second, and the first to wake reads what is new. So there is no task to start or to stop, and a
reader that is slow only misses lines, and is sent their number.
"""

import asyncio
import datetime
import json
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from fastapi.sse import format_sse_event

from clairgen.errors import ClairgenError, RunError
from clairgen.pipeline.log_tail import History, LoggedCounters, LoggedLine, LogTail, Point, point
from clairgen.pipeline.run_log import LastSession, session_after, session_words
from clairgen.store import RunDirectory

MOST_READERS: Final = 128
_LOOK_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 3600.0  # then a reader asks again, and what it may see is checked again
_MOST_LINES: Final = 512
_MOST_RUNS: Final = 32
_STALE_SECONDS: Final = 60.0
_SHOWN_EVENTS: Final = 20
_OF_SINGLE_REQUESTS: Final = ("answered", "attempt_failed")  # too many; they are in the counters
_NAMES: Final = frozenset({"started", "note", "failed", "counters", "ended"})
Version = tuple[str, str]


class TooManyReadersError(ClairgenError):
    """As many follow runs as the service allows."""


@dataclass(frozen=True, slots=True)
class LiveLine:
    """A line of a log as it is sent, and the point of its counters, if it has some."""

    line: LoggedLine
    encoded: bytes
    point: Point | None


@dataclass(frozen=True, slots=True)
class Glance:
    """How a run stands: its last session as the log says, counters over its time, its last events besides them.

    `version` is another one once anything of that has changed. `unreadable` counts lines that are no log's.
    """

    session: LastSession | None
    position: str
    history: History
    events: list[LoggedLine]
    unreadable: int
    version: Version

    @property
    def running(self) -> bool:
        """Whether a session is in progress."""
        return self.session is not None and self.session.running

    @property
    def words(self) -> str:
        """The same in words."""
        return session_words(self.session)

    def to_json(self) -> dict[str, Any]:
        """The state of the run, as streams send it first."""
        counters = None if self.session is None else self.session.counters
        return {"state": self.words, "running": self.running, "counters": counters, "unreadable_lines": self.unreadable}


@dataclass(frozen=True, slots=True)
class News:
    """What a reader has not seen yet: lines, how many before them it missed, and how the run stands.

    `is_resumed` is whether the lines go on where the reader had stopped.
    """

    lines: list[LiveLine]
    missed: int
    glance: Glance
    is_resumed: bool = True


@dataclass(slots=True)
class _Seen:
    """What was read of one run's log: `count` lines so far, of which the last ones are kept."""

    tail: LogTail
    looked_at: float | None = None
    glance: Glance | None = None
    history: History = field(default_factory=History)
    lines: deque[LiveLine] = field(default_factory=lambda: deque(maxlen=_MOST_LINES))
    count: int = 0
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def read(self) -> None:
        """Read what is new, at first all that there is."""
        if self.looked_at is None:
            lines, self.history = self.tail.first(_MOST_LINES)
            self._add(lines, None)
        else:
            self._add(self.tail.read(), self.history)

    def since(self, number: int) -> tuple[list[LiveLine], int]:
        """The lines from the one with a number on, as far as they are kept, and how many are not."""
        wanted = self.count - number
        kept = min(wanted, len(self.lines))
        return list(islice(self.lines, len(self.lines) - kept, None)), wanted - kept

    def number_after(self, position: str | None) -> int | None:
        """The number of the line after a position; None if that is not known."""
        first = self.count - len(self.lines)
        places = (number for number, one in enumerate(self.lines, first + 1) if one.line.position == position)
        return next(places, None)

    def _add(self, lines: list[LoggedLine], history: History | None) -> None:
        before: LoggedCounters | None = self.history.last if history is not None else None
        for line in lines:
            logged = line.counters
            self.lines.append(LiveLine(line, _encoded(line), None if logged is None else point(before, logged)))
            self.count += 1
            before = logged or before
            if logged is not None and history is not None:
                history.add(logged)


class LiveRuns:
    """The runs that somebody looks at. Once `stopping` is set, nobody is kept waiting; `clock` counts seconds."""

    def __init__(
        self,
        stopping: asyncio.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._stopping = stopping or asyncio.Event()
        self._clock = clock
        self._now = now
        self._seen: OrderedDict[RunDirectory, _Seen] = OrderedDict()
        self._readers = 0

    async def glance(self, run: RunDirectory) -> Glance:
        """How a run stands now. Raises RunError for a log that cannot be read."""
        return (await self._looked(run))[1]

    @contextmanager
    def following(self, run: RunDirectory, position: str | None = None) -> Iterator[AsyncIterator[News]]:
        """What is new of a run, every second, until its session has ended: at first how it stands.

        Also what came after `position`, if that is still known. Raises TooManyReadersError.
        """
        if self._readers >= MOST_READERS:
            raise TooManyReadersError(
                f"{MOST_READERS} readers follow runs already; ask again later, or for the status of the run now and then"
            )
        self._readers += 1
        try:
            yield self._news(run, position)
        finally:
            self._readers -= 1

    async def _news(self, run: RunDirectory, position: str | None) -> AsyncIterator[News]:
        end = self._clock() + _LONGEST_SECONDS
        seen, glance = await self._looked(run)
        number = seen.number_after(position)
        is_resumed = number is not None
        while True:
            lines, missed = seen.since(seen.count if number is None else number)
            number = seen.count
            yield News(lines, missed, glance, is_resumed)
            if not glance.running or self._stopping.is_set() or self._clock() >= end:
                return
            await self._a_moment()
            try:
                seen, glance = await self._looked(run, seen)
            except RunError:
                return  # who asks again is told why

    async def _a_moment(self) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), _LOOK_SECONDS)
        except TimeoutError:
            return

    async def _looked(self, run: RunDirectory, seen: _Seen | None = None) -> tuple[_Seen, Glance]:
        """What is known of a run, read again if that was not done within a second."""
        if seen is None:
            seen = self._seen.pop(run, None)
            if seen is None or (seen.looked_at is not None and self._clock() - seen.looked_at > _STALE_SECONDS):
                seen = _Seen(LogTail(run.events, _OF_SINGLE_REQUESTS))
            self._seen[run] = seen
            while len(self._seen) > _MOST_RUNS:
                self._seen.popitem(last=False)
        async with seen.reading:
            if seen.glance is None or seen.looked_at is None or self._clock() - seen.looked_at >= _LOOK_SECONDS / 2:
                try:
                    await asyncio.to_thread(seen.read)
                except OSError as error:
                    raise RunError(f"the log of the run cannot be read: {error.strerror}") from error
                seen.looked_at, seen.glance = self._clock(), self._glance(seen)
            return seen, seen.glance

    def _glance(self, seen: _Seen) -> Glance:
        latest = seen.tail.latest
        counters = None if seen.history.last is None else seen.history.last.counters
        session = None if latest is None else session_after(latest.facts, counters, self._now())
        events = [one.line for one in reversed(seen.lines) if one.point is None][:_SHOWN_EVENTS]
        position = seen.lines[-1].line.position if seen.lines else ""
        version = position, session_words(session)
        return Glance(session, position, seen.history, events, seen.tail.unreadable, version)


def _encoded(line: LoggedLine) -> bytes:
    """A line as streams send it."""
    name = line.event if line.event in _NAMES else "other"
    return format_sse_event(data_str=json.dumps(line.facts), event=name, id=line.position)
