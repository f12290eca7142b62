"""Following a run's database beside its writer: the pages that were committed since the last look, and a snapshot.

What is committed stands in SQLite's write-ahead log (https://sqlite.org/fileformat2.html#walformat): a header, then frames,
each a page with the size of the database if it ends a commit. Salts say which frames belong to the log; at each restart of
the log the first salt grows by one.

The log is read as a file. `run.db` itself never is: a process that closes a file of its own on it loses SQLite's locks on it.
"""

import os
import sqlite3
import struct
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from clairgen.store.connection import store_errors, writer_uri

_LOG_HEADER: Final = struct.Struct(">4sIII8sII")  # magic, version, bytes of a page, checkpoint, salts, checksum
_FRAME_HEADER: Final = struct.Struct(">II8sII")  # page, pages of the database at a commit or 0, salts, checksum
_BIG_ENDIAN, _LITTLE_ENDIAN = b"\x37\x7f\x06\x83", b"\x37\x7f\x06\x82"
"""What a log begins with, by the order of the bytes in the words that its checksums add up."""
_LARGEST_COMMIT_BYTES: Final = 256 << 20
_READERS_SECONDS: Final = 0.1  # for those that read in the log, before it can be restarted


class LogGapError(Exception):
    """Commits left the log before they were seen here, or are too large to be followed: begin with a new snapshot."""


@dataclass(frozen=True, slots=True)
class CommittedPages:
    """What commits changed, all that end together: the last content of each page, by its number, which counts from 1.

    `database_pages` is the size of the database after them.
    """

    page_bytes: int
    database_pages: int
    pages: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class _Log:
    salts: bytes
    page_bytes: int
    checksum: tuple[int, int]
    words: struct.Struct

    @property
    def frame_bytes(self) -> int:
        return _FRAME_HEADER.size + self.page_bytes

    def start_of(self, frame: int) -> int:
        """Where a frame, counted from 0, begins in the file."""
        return _LOG_HEADER.size + frame * self.frame_bytes

    def restarted_from(self, other: "_Log") -> bool:
        """Whether this log is the next one after the other."""
        first, former = (int.from_bytes(log.salts[:4], "big") for log in (self, other))
        return first == (former + 1) % 2**32


class LogFollower:
    """Follows the log of one database, for one thread at a time.

    Nothing but `restart` may let the log begin again meanwhile: the connections that write have to be opened so that they
    leave checkpoints alone. Where another program does it, `committed` raises LogGapError.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._file = database.with_name(f"{database.name}-wal")
        self._log: _Log | None = None
        self._frames = 0
        self._last_header = b""
        self._restart_after: int | None = None
        with store_errors(database):
            self._connection = sqlite3.connect(
                writer_uri(database, "rw"),
                uri=True,
                isolation_level=None,
                timeout=_READERS_SECONDS,
                check_same_thread=False,
            )

    def begin(self) -> None:
        """Take all that is committed by now as seen."""
        self._log, self._frames, self._last_header, self._restart_after = None, 0, b"", None
        with self._opened() as file:
            log = _log_of(file)
            if log is not None:
                self._log = log
                self._move_to(file, _end(file, log, 0, None))

    def committed(self, most_bytes: int | None) -> CommittedPages | None:
        """What was committed since the last call, of `most_bytes` of the log and one commit at least; None for nothing.

        Raises LogGapError where commits before these are missing, and for one that is larger than fits into memory.
        """
        with self._opened() as file:
            log = _log_of(file)
            if log is None:
                if self._frames and self._frames != self._restart_after:
                    raise LogGapError
                return None
            start = self._start_in(file, log)
            end = _end(file, log, start, most_bytes)
            if end == start:
                return None
            if (end - start) * log.frame_bytes > _LARGEST_COMMIT_BYTES:
                raise LogGapError
            found = _pages(file, log, start, end)
            after = _log_of(file)
            if after is None or after.salts != log.salts:
                raise LogGapError  # restarted while it was read
            self._log = log
            self._move_to(file, end)
            return found

    @property
    def log_bytes(self) -> int:
        """How long the part of the log is that was seen."""
        return 0 if self._log is None or self._restart_after == self._frames else self._log.start_of(self._frames)

    def move_into_database(self) -> None:
        """Write what the log has into the database, without keeping anybody waiting; the log goes on."""
        with store_errors(self._database):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def restart(self) -> bool:
        """Let the next write begin the log again, unless somebody reads in it; whether it does.

        What was written and not seen by then is a gap, so nobody else should write meanwhile.
        """
        with store_errors(self._database):
            is_busy, frames, _ = self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        if is_busy:
            return False
        self._restart_after = int(frames)
        return True

    def snapshot(self, file: Path) -> None:
        """Write the whole database as it is now into a new file. Takes as long as that is large; nobody waits for it."""
        with (
            store_errors(self._database),
            closing(sqlite3.connect(writer_uri(self._database, "rw"), uri=True)) as source,
            closing(sqlite3.connect(file, isolation_level=None)) as target,
        ):
            target.execute("PRAGMA synchronous = OFF")
            target.execute("PRAGMA journal_mode = OFF")
            source.backup(target)

    def close(self) -> None:
        """Close the connection; do so before the writer's is closed."""
        self._connection.close()

    def _start_in(self, file: "_File", log: _Log) -> int:
        """The frame after the last one that was seen, the first of the log if it was restarted there. Raises LogGapError."""
        if self._log is None:
            raise LogGapError
        if log.salts == self._log.salts:
            if self._frames and file.read(log.start_of(self._frames - 1), _FRAME_HEADER.size) != self._last_header:
                raise LogGapError
            return self._frames
        if self._frames != self._restart_after or not log.restarted_from(self._log):
            raise LogGapError
        return 0

    def _move_to(self, file: "_File", end: int) -> None:
        assert self._log is not None  # noqa: S101 - who calls has set it
        self._frames, self._restart_after = end, None
        self._last_header = file.read(self._log.start_of(end - 1), _FRAME_HEADER.size) if end else b""

    def _opened(self) -> "_File":
        return _File(self._file)


class _File:
    """A file that may not be there, read at positions."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def __enter__(self) -> Self:
        try:
            self._handle = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            self._handle = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            os.close(self._handle)

    def read(self, start: int, count: int) -> bytes:
        """As many bytes from `start` as there are, `count` at most."""
        return b"" if self._handle is None else os.pread(self._handle, count, start)


def _log_of(file: _File) -> _Log | None:
    """The log in a file; None where it has no whole header, as an empty one has not."""
    header = file.read(0, _LOG_HEADER.size)
    if len(header) < _LOG_HEADER.size:
        return None
    magic, _, page_bytes, _, salts, *checksum = _LOG_HEADER.unpack(header)
    if magic not in (_BIG_ENDIAN, _LITTLE_ENDIAN):
        return None
    words = struct.Struct(">II" if magic == _BIG_ENDIAN else "<II")
    if _checksum(header[:24], words, (0, 0)) != tuple(checksum):
        return None
    return _Log(salts, page_bytes, (checksum[0], checksum[1]), words)


def _end(file: _File, log: _Log, start: int, most_bytes: int | None) -> int:
    """How many frames there are up to the end of the last whole commit, from `start` on of at most `most_bytes`.

    A page is written after its frame's header, and a frame after the one before it. So where the page that ends a commit fits
    its checksum, all before it is there.
    """
    commits: list[int] = []
    frame = start
    while len(header := file.read(log.start_of(frame), _FRAME_HEADER.size)) == _FRAME_HEADER.size:
        _, pages, salts, *_ = _FRAME_HEADER.unpack(header)
        if salts != log.salts or (most_bytes and commits and (frame - start) * log.frame_bytes > most_bytes):
            break
        frame += 1
        if pages:
            commits.append(frame)
    while commits and not _is_whole(file, log, commits[-1] - 1):
        commits.pop()
    return commits[-1] if commits else start


def _is_whole(file: _File, log: _Log, frame: int) -> bool:
    """Whether a frame is as its checksum says, which goes on from that of the frame before it."""
    content = file.read(log.start_of(frame), log.frame_bytes)
    if len(content) < log.frame_bytes:
        return False
    before = log.checksum
    if frame:
        before = _FRAME_HEADER.unpack(file.read(log.start_of(frame - 1), _FRAME_HEADER.size))[3:]
    added = content[:8] + content[_FRAME_HEADER.size :]
    return _checksum(added, log.words, before) == _FRAME_HEADER.unpack_from(content)[3:]


def _pages(file: _File, log: _Log, start: int, end: int) -> CommittedPages:
    """The last content of each page in frames from `start` to before `end`, which are whole and end a commit."""
    content = memoryview(file.read(log.start_of(start), (end - start) * log.frame_bytes))
    last: dict[int, int] = {}
    size = 0
    for position in range(0, len(content), log.frame_bytes):
        page, size, *_ = _FRAME_HEADER.unpack_from(content, position)
        last[page] = position + _FRAME_HEADER.size
    pages = {
        page: bytes(content[position : position + log.page_bytes])
        for page, position in sorted(last.items())
        if page <= size
    }
    return CommittedPages(log.page_bytes, size, pages)


def _checksum(content: bytes, words: struct.Struct, before: tuple[int, ...]) -> tuple[int, int]:
    """The format's running checksum after `content`, given the one before it."""
    first, second = before
    for one, other in words.iter_unpack(content):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second
