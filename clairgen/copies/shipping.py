"""Bringing a copy up to what is committed: segments one after the other, and now and then a snapshot of the whole database.

Every method may take as long as the storage does, so it is called in a thread, one at a time; only `upload_snapshot` runs beside
the others.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clairgen.copies.epochs import KeptEpoch, epoch_name
from clairgen.copies.objects import (
    Segment,
    SnapshotParts,
    digest_of,
    needed_from,
    sealed,
    segment_name,
    snapshot_name,
    stream_name,
    streams_of,
)
from clairgen.copies.small_files import SmallFiles
from clairgen.errors import CopyError
from clairgen.store import RunDirectory
from clairgen.store.write_ahead_log import CommittedPages, LogFollower, LogGapError
from clairgen.wording import counted

SNAPSHOT_FILE: Final = ".snapshot.partial"
"""The file in a run's folder that a snapshot is put together in."""
_SEGMENT_BYTES: Final = 32 << 20  # of the log, and of files
_PART_BYTES: Final = 32 << 20
_LONG_LOG_BYTES: Final = 4 << 20  # as where SQLite itself moves it into the database
_SEGMENTS_BYTES: Final = 64 << 20  # of segments, or as many as the snapshot has, before there is a new one
_KEPT: Final = 2


@dataclass(frozen=True, slots=True)
class SnapshotBase:
    """From where a snapshot counts: the number of the stream, its last segment by then, and that one's checksum."""

    stream: int
    segment: int
    checksum: str


@dataclass(frozen=True, slots=True)
class UploadedSnapshot:
    """A snapshot whose parts are in the copy; it needs the segments of a look that begins after that."""

    base: SnapshotBase
    database_bytes: int
    parts: tuple[str, ...]


class Shipper:
    """Brings a copy up in the epoch that is `kept`. `is_restorable` says whether a snapshot and all that goes with it are there.

    `bytes_written` counts what was given to the storage.
    """

    def __init__(self, run: RunDirectory, kept: KeptEpoch, most_bytes: int = _SEGMENTS_BYTES) -> None:
        self._run = run
        self.kept = kept
        self._storage = kept.storage
        self._epoch = kept.epoch
        self._most_bytes = most_bytes
        self._follower = LogFollower(run.database)
        self._files = SmallFiles(run.path)
        self._stream = 0
        self.bytes_written = 0
        self._begin_stream()

    def _begin_stream(self) -> None:
        self._stream += 1
        self._number, self._previous = 0, ""
        self._pending: bytes | None = None
        self._committed: CommittedPages | None = None
        self._since_snapshot = self._snapshot_bytes = self._base = 0
        self._parts: list[str] = []
        self.is_restorable = False
        self._files.forget()
        self._follower.begin()

    @property
    def _name(self) -> str:
        return stream_name(self._epoch.number, self._stream)

    def ship(self) -> None:
        """Bring the copy up to what is committed by now. Raises CopyError, and what `KeptEpoch.check` raises."""
        self.kept.check()
        try:
            self._ship()
        except LogGapError:
            self._begin_stream()

    def _ship(self) -> None:
        self._send()
        while True:
            looked_at = time.time()
            committed = self._committed = self._committed or self._follower.committed(_SEGMENT_BYTES)
            files = self._files.changes(_SEGMENT_BYTES)
            if committed is None and not files:
                return
            segment = Segment(
                number=self._number + 1,
                run=self._epoch.run,
                previous=self._previous,
                committed_at=looked_at,
                is_restorable=self.is_restorable,
                page_bytes=committed.page_bytes if committed is not None else 0,
                database_pages=committed.database_pages if committed is not None else 0,
                pages=committed.pages if committed is not None else {},
                files=files,
            )
            self._pending, self._committed = segment.sealed(), None
            self._send()

    def _send(self) -> None:
        """Write the segment that waits. What may have reached the storage half is written again as it was, never otherwise."""
        if self._pending is None:
            return
        self._put(segment_name(self._name, self._number + 1), self._pending)
        self._number += 1
        self._previous = digest_of(self._pending)
        self._since_snapshot += len(self._pending)
        self._pending = None

    def check_objects(self) -> None:
        """If objects are gone that restoring needs, begin again from a snapshot, and raise CopyError.

        A rule of the storage that deletes what is old does that, or somebody who makes room.
        """
        if not self.is_restorable:
            return
        names = set(self._storage.names(self._name))
        needed = {snapshot_name(self._name, self._base), *self._parts}
        needed |= {segment_name(self._name, number) for number in range(self._base + 1, self._number + 1)}
        gone = [name for name in needed - names if self._storage.get(name) is None]  # a listing may be late
        if gone:
            self._begin_stream()
            raise CopyError(
                f"the copy at {self._storage.address} lacks {counted(len(gone), 'object')} of those written to it, so it is made "
                "again; see that nothing else deletes there"
            )

    @property
    def has_long_log(self) -> bool:
        """Whether the log should begin again, after all of it was shipped."""
        return self._follower.log_bytes > _LONG_LOG_BYTES

    def move_log(self) -> None:
        """Do most of the work of a restart of the log, while others write."""
        self._follower.move_into_database()

    def restart_log(self) -> None:
        """Let the log begin again, while nobody else in this process writes; what came last goes into the next segment."""
        try:
            self._committed = self._committed or self._follower.committed(None)
            self._follower.restart()
        except LogGapError:
            self._begin_stream()

    @property
    def wants_snapshot(self) -> bool:
        """Whether it is time for a snapshot."""
        return not self.is_restorable or self._since_snapshot > max(self._most_bytes, self._snapshot_bytes)

    def begin_snapshot(self) -> SnapshotBase:
        """From where a snapshot counts that is made from now on. Not during `ship`."""
        self._files.forget()
        self._since_snapshot = 0
        return SnapshotBase(self._stream, self._number, self._previous)

    def upload_snapshot(self, base: SnapshotBase) -> UploadedSnapshot:
        """Write the parts of a snapshot into the copy. Raises CopyError, StoreError."""
        file = self._run.path / SNAPSHOT_FILE
        file.unlink(missing_ok=True)
        parts: list[str] = []
        try:
            self._follower.snapshot(file)
            for content in _pieces(file):
                part = sealed(content)
                name = snapshot_name(stream_name(self._epoch.number, base.stream), base.segment, len(parts) + 1)
                self._put(name, part)
                parts.append(digest_of(part))
            return UploadedSnapshot(base, file.stat().st_size, tuple(parts))
        finally:
            file.unlink(missing_ok=True)

    def complete_snapshot(self, uploaded: UploadedSnapshot) -> None:
        """Bring the copy up to now, list the parts of a snapshot, and delete what is no longer needed. Raises as `ship`."""
        self.ship()
        base = uploaded.base
        if base.stream != self._stream:
            return  # a gap since then: the next snapshot counts
        listed = SnapshotParts(
            run=self._epoch.run,
            base=base.segment,
            previous=base.checksum,
            needs=self._number,
            committed_at=time.time(),
            database_bytes=uploaded.database_bytes,
            parts=uploaded.parts,
        )
        self._put(snapshot_name(self._name, base.segment), listed.sealed())
        self._snapshot_bytes, self._base = uploaded.database_bytes, base.segment
        self._parts = [snapshot_name(self._name, base.segment, number) for number in range(1, len(uploaded.parts) + 1)]
        self.is_restorable = True
        self._delete_old()

    def _delete_old(self) -> None:
        """Keep the last two snapshots that are whole and their segments, and this epoch's record and the one before."""
        names = self._storage.names()
        streams = streams_of(names)
        kept = [(stream, base) for stream in streams for base in reversed(stream.snapshots)][:_KEPT]
        first = {stream.name: base for stream, base in kept}  # the older one of two in a stream comes last
        old = [epoch_name(number) for number in range(1, self._epoch.number - 1) if epoch_name(number) in names]
        for stream in streams:
            if stream.epoch <= self._epoch.number and stream.name != self._name and stream.name not in first:
                old += stream.objects
            elif stream.name in first:
                old += [name for name in stream.objects if needed_from(name) < first[stream.name]]
        self._storage.delete(old)

    def _put(self, name: str, content: bytes) -> None:
        self._storage.put(name, content)
        self.bytes_written += len(content)

    def close(self) -> None:
        """Close what follows the run; do so before its store is closed."""
        self._follower.close()


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while content := opened.read(_PART_BYTES):
            yield content
