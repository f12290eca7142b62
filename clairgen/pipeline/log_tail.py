"""`run.log` read on while it is written: its new lines, whatever became of the file meanwhile, and its earlier counters.

Its writer may be killed in the middle of a line, moves it to run.log.1 when it is full, and somebody may cut or delete it. What
is no line of a log is counted and passed over.
"""

import datetime
import os
import stat
import zlib
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from clairgen.pipeline.progress import Counters
from clairgen.pipeline.run_log import MAX_BYTES, counters_of, line_of

_FIRST_BYTES: Final = 256
_LONGEST_LINE: Final = 1 << 20
_MOST_BYTES: Final = 4 << 20
_MOST_POINTS: Final = 600
_COUNTERS: Final = b'"event": "counters"'


@dataclass(frozen=True, slots=True)
class LoggedCounters:
    """The counters of a session as they were `at` a time, as the log has it."""

    at: str
    counters: Counters


@dataclass(frozen=True, slots=True)
class LoggedLine:
    """A line of the log: its facts, and in `position` where the log goes on after it, which names no other line."""

    position: str
    facts: Mapping[str, Any]

    @property
    def event(self) -> str:
        """What happened."""
        return str(self.facts["event"])

    @property
    def counters(self) -> LoggedCounters | None:
        """The counters that it has, if it has some."""
        return _counters(self.facts)


@dataclass(frozen=True, slots=True)
class Point:
    """A run at a moment, in seconds since 1970: answers a second since the point before it, dollars of the whole run, requests.

    `answers_per_second` is None at the beginning of a session.
    """

    at: float
    answers_per_second: float | None
    spent_usd: float
    in_flight: int


class History:
    """Counters over the time of a run, at most some hundreds: of more, every other one is forgotten, again and again."""

    def __init__(self) -> None:
        self.last: LoggedCounters | None = None
        self._kept: list[LoggedCounters] = []
        self._every = 1
        self._count = 0

    def add(self, one: LoggedCounters) -> None:
        """Add the next one."""
        if self.wants_next():
            self.keep(one)
        self.last = one

    def keep(self, one: LoggedCounters) -> None:
        """Keep one that was wanted."""
        self.last = one
        self._kept.append(one)
        if len(self._kept) > _MOST_POINTS:
            self._kept = self._kept[::2]
            self._every *= 2

    def wants_next(self) -> bool:
        """Count the next one, and say whether it is to be kept; one that is not need not even be read."""
        self._count += 1
        return (self._count - 1) % self._every == 0

    def points(self) -> list[Point]:
        """The counters as points, in order."""
        all_of_them = [*self._kept, *([] if self.last in self._kept[-1:] or self.last is None else [self.last])]
        return [point(before, one) for before, one in zip([None, *all_of_them], all_of_them, strict=False)]


def point(before: LoggedCounters | None, one: LoggedCounters) -> Point:
    """The point of counters that come after others."""
    rate, roles = None, one.counters.roles.values()
    if before is not None and (seconds := one.counters.seconds - before.counters.seconds) > 0:
        answers = sum(role.answered for role in roles) - sum(role.answered for role in before.counters.roles.values())
        rate = answers / seconds if answers >= 0 else None
    at = datetime.datetime.fromisoformat(one.at).timestamp()
    return Point(at, rate, one.counters.money.spent_usd, sum(role.in_flight for role in roles))


class LogTail:
    """The end of a log, without events of the names `but`; `latest` is its last line, also of those.

    `unreadable` counts the lines so far that are not a log's.
    """

    def __init__(self, path: Path, but: Collection[str] = ()) -> None:
        self._path = path
        self._former = path.with_name(f"{path.name}.1")
        self._but = tuple(f'"event": "{name}"'.encode() for name in but)
        self._generation: str | None = None
        self._offset = 0
        self.latest: LoggedLine | None = None
        self.unreadable = 0

    def first(self, most_lines: int) -> tuple[list[LoggedLine], History]:
        """The last lines of the log so far, and the counters in all of it; `read` goes on from there."""
        history = History()
        last: deque[tuple[str, bytes]] = deque(maxlen=most_lines)
        latest: tuple[str, bytes] | None = None
        counters: bytes | None = None
        for path in (self._former, self._path):
            for generation, end, text in _lines(path, None):
                self._generation, self._offset = generation, end
                latest = f"{generation}-{end}", text
                if not self._is_passed_over(text):
                    last.append(latest)
                if _COUNTERS in text:
                    counters = text
                    if history.wants_next() and (found := _counters(line_of(text))) is not None:
                        history.keep(found)
        if counters is not None:
            history.last = _counters(line_of(counters)) or history.last
        lines = [line for position, text in last if (line := self._line(position, text)) is not None]
        facts = None if latest is None else line_of(latest[1])
        self.latest = lines[-1] if facts is None and lines else None
        if latest is not None and facts is not None:
            self.latest = LoggedLine(latest[0], facts)
        return lines, history

    def read(self) -> list[LoggedLine]:
        """The lines since the last call, at most a few MiB of them."""
        found = _opened(self._path)
        if found is None:
            return []
        with found as file:
            generation, size = _generation(file), os.fstat(file.fileno()).st_size
        if generation is None or generation == self._generation:
            self._offset = min(self._offset, size)
            return self._lines_of(self._path)
        if self._generation is not None and (rest := self._lines_of(self._former)):
            return rest
        self._generation, self._offset = generation, 0
        return self._lines_of(self._path)

    def _lines_of(self, path: Path) -> list[LoggedLine]:
        """The lines of a file after those that were read of it; none of a file that is another one."""
        lines = []
        for generation, end, text in _lines(path, (self._generation, self._offset)):
            self._offset = end
            if (line := self._line(f"{generation}-{end}", text)) is not None:
                self.latest = line
                if not self._is_passed_over(text):
                    lines.append(line)
        return lines

    def _is_passed_over(self, text: bytes) -> bool:
        return any(name in text for name in self._but)

    def _line(self, position: str, text: bytes) -> LoggedLine | None:
        facts = line_of(text)
        if facts is None:
            self.unreadable += 1
            return None
        return LoggedLine(position, facts)


def _lines(path: Path, after: tuple[str | None, int] | None) -> Iterator[tuple[str, int, bytes]]:
    """The whole lines of a file with where each ends, after an offset of a generation if one is given.

    Of a line that is longer than any of a log there are only pieces, which are no lines of a log.
    """
    found = _opened(path)
    if found is None:
        return
    with found as file:
        generation = _generation(file)
        size = os.fstat(file.fileno()).st_size
        if generation is None or (after is not None and after[0] != generation):
            return
        start = max(0, size - 2 * MAX_BYTES) if after is None else after[1]
        file.seek(start)
        at, most = start, size if after is None else min(size, start + _MOST_BYTES)
        while at < most:
            text = file.readline(_LONGEST_LINE)
            if not text.endswith(b"\n") and len(text) < _LONGEST_LINE:
                return
            at += len(text)
            yield generation, at, text


def _generation(file: BinaryIO) -> str | None:
    """What tells one file of a log from the next: a digest of its first line, which has a time. None before that is whole."""
    first, newline, _ = os.pread(file.fileno(), _FIRST_BYTES, 0).partition(b"\n")
    return f"{zlib.crc32(first):08x}" if newline or len(first) == _FIRST_BYTES else None


def _opened(path: Path) -> BinaryIO | None:
    """The file, if there is one and it is neither a link nor a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


def _counters(facts: Mapping[str, Any] | None) -> LoggedCounters | None:
    counters = None if facts is None else counters_of(facts)
    return None if facts is None or counters is None else LoggedCounters(str(facts["at"]), counters)
