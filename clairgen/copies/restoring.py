"""Making a run directory of a copy: the newest whole snapshot and the segments after it, up to the last that is whole.

Everything is put together beside the run and checked, by SQLite too, before any of it is in its place; the database comes last.
"""

import datetime
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clairgen.config.prices import PICODOLLARS, dollars
from clairgen.copies.epochs import KNOWN, RESTORED, Epoch, newest_allowance, newest_epoch, tokens_text, was_restorable
from clairgen.copies.objects import (
    FilePiece,
    Segment,
    SnapshotParts,
    StreamNames,
    digest_of,
    segment_name,
    snapshot_name,
    streams_of,
    unsealed,
)
from clairgen.copies.small_files import is_copied
from clairgen.copies.storage import Storage
from clairgen.errors import CopyError, NewerCopyError, RunError
from clairgen.store import RunDirectory
from clairgen.store.directory import UNFINISHED
from clairgen.store.read_connection import holds_nothing
from clairgen.store.restored import check_restored
from clairgen.whole_files import put_in_place
from clairgen.wording import counted

_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Restored:
    """What a run directory was restored from: `committed_at` is the time, in seconds since 1970, of the copy's last segment.

    `lost_usd` is the most that may have been spent after that, and counts as spent. `left_out` counts later objects that are not
    used, because something before them is damaged or missing.
    """

    run: str
    answers: int
    pairs: int
    committed_at: float
    lost_usd: float
    left_out: int

    @property
    def sentence(self) -> str:
        """What was restored, as of when."""
        at = datetime.datetime.fromtimestamp(self.committed_at, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
        spent = (
            f"; up to {dollars(self.lost_usd)} may have been spent after that, and count as spent"
            if self.lost_usd
            else ""
        )
        left_out = f"; {counted(self.left_out, 'later object')} could not be used" if self.left_out else ""
        return f"{counted(self.answers, 'answer')} and {counted(self.pairs, 'pair')}, as of {at} UTC{left_out}{spent}"


def is_restorable_into(directory: RunDirectory) -> bool:
    """Whether a folder has no run yet, nor anything else but what stopping in the middle of this left."""
    if directory.database.exists() and not holds_nothing(directory.database):
        return False
    directory.check_new()
    return True


class _DamagedError(Exception):
    """An object that has to be there is not, or is not whole."""


def restore(storage: Storage, directory: RunDirectory, *, accept_loss: bool = False) -> Restored:
    """Restore a run into a folder that is empty or not there; hold its lock, if it is there.

    Raises CopyError where there is no copy, or a damaged one: with `accept_loss` the newest state that is whole is taken then.
    RunError for a folder with something in it.
    """
    if not is_restorable_into(directory):
        raise RunError(f"{directory.path} has a run, and a copy is restored into a new folder; name another for --run")
    for attempt in range(_TRIES):
        epoch = _epoch_of(storage, accept_loss=accept_loss)
        draft = directory.path / UNFINISHED
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir(parents=True)
            found = _restored(storage, epoch, RunDirectory(draft), accept_loss=accept_loss)
            if found is not None:
                _move(RunDirectory(draft), directory)
                return found
        except OSError as error:
            raise CopyError(f"{directory.path} cannot be written: {error.strerror}; check the disk") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        if attempt and _epoch_of(storage, accept_loss=accept_loss) == epoch:
            break  # nobody has gone on with the copy and deleted what was being read
    raise CopyError(
        f"the copy at {storage.address} cannot be restored: no snapshot in it is whole, with all segments that it needs"
    )


def _epoch_of(storage: Storage, *, accept_loss: bool) -> Epoch:
    """The epoch to restore from; with `accept_loss`, where none can be read, what the newest list of a snapshot says of it.

    Raises CopyError.
    """
    try:
        epoch = newest_epoch(storage)
    except CopyError as error:
        if not accept_loss or isinstance(error, NewerCopyError):
            raise
        epoch = None
    if epoch is not None:
        return epoch
    snapshots = [(stream, base) for stream in streams_of(storage.names()) for base in reversed(stream.snapshots)]
    if snapshots and not accept_loss:
        raise CopyError(
            f"the copy at {storage.address} is damaged: it lacks the record of whose it is; use clairgen restore with "
            "--accept-loss, and go on with a new place for --copy-to"
        )
    for stream, base in snapshots:
        listed = SnapshotParts.unsealed(storage.get(snapshot_name(stream.name, base)))
        if listed is not None:
            return Epoch(stream.epoch, f"restored from {stream.name}", listed.run, "", "", "")
    raise CopyError(f"there is no copy of a run at {storage.address}")


def _restored(storage: Storage, epoch: Epoch, draft: RunDirectory, *, accept_loss: bool) -> Restored | None:
    """The newest state that is whole, in a folder of its own; None where there is none."""
    for stream in streams_of(storage.names()):
        attempt = _Attempt(storage, epoch, stream, draft)
        for base in reversed(stream.snapshots):
            try:
                found = attempt.from_snapshot(base)
            except _DamagedError:
                continue
            if found.left_out and not accept_loss:
                raise CopyError(
                    f"the copy at {storage.address} is damaged: it can be restored with {found.sentence}; to accept that, use "
                    "clairgen restore with --accept-loss"
                )
            return found
        if was_restorable(storage, stream) and not accept_loss:
            raise CopyError(
                f"the copy at {storage.address} is damaged: none of its newest snapshots is whole; to go back to an older one, "
                "if there is one, use clairgen restore with --accept-loss"
            )
    return None


class _Attempt:
    """Restoring from one stream of a copy."""

    def __init__(self, storage: Storage, epoch: Epoch, stream: StreamNames, draft: RunDirectory) -> None:
        self._storage = storage
        self._epoch = epoch
        self._stream = stream
        self._draft = draft

    def from_snapshot(self, base: int) -> Restored:
        """What a snapshot and the segments after it give. Raises _DamagedError where they end before it is good."""
        for path in self._draft.path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        listed = SnapshotParts.unsealed(self._storage.get(snapshot_name(self._stream.name, base)))
        if listed is None or listed.run != self._epoch.run:
            raise _DamagedError
        with self._draft.database.open("w+b") as database:
            for number, digest in enumerate(listed.parts, start=1):
                part = self._storage.get(snapshot_name(self._stream.name, base, number))
                content = unsealed(part)
                if part is None or content is None or digest_of(part) != digest:
                    raise _DamagedError
                database.write(content)
            last, committed_at = self._apply_segments(listed, database.fileno())
            if last < listed.needs:
                raise _DamagedError
            os.fsync(database.fileno())
        facts = check_restored(
            self._draft.database,
            self._epoch.run,
            f"{KNOWN}{self._epoch.copy}",
            tokens_text(self._epoch.token, RESTORED),
            newest_allowance(self._storage),
        )
        left_out = sum(number > last + 1 for number in self._stream.segments)
        if self._is_damaged(last + 1):
            left_out += 1
        return Restored(self._epoch.run, facts.answers, facts.pairs, committed_at, facts.lost / PICODOLLARS, left_out)

    def _is_damaged(self, number: int) -> bool:
        """Whether the segment at which restoring ended is one that was whole once, since there are others after it."""
        return number in self._stream.segments and number < self._stream.segments[-1]

    def _apply_segments(self, listed: SnapshotParts, database: int) -> tuple[int, float]:
        """Apply the segments after a snapshot as far as they are whole; the last one's number, and its time."""
        number, previous, committed_at = listed.base, listed.previous, listed.committed_at
        while True:
            content = self._storage.get(segment_name(self._stream.name, number + 1))
            segment = Segment.unsealed(content)
            if content is None or segment is None or segment.number != number + 1 or segment.run != self._epoch.run:
                return number, committed_at
            if segment.previous != previous:
                return number, committed_at
            for page, body in segment.pages.items():
                os.pwrite(database, body, (page - 1) * segment.page_bytes)
            if segment.pages:
                os.ftruncate(database, segment.database_pages * segment.page_bytes)
            for piece in segment.files:
                _apply(self._draft.path, piece)
            number, previous, committed_at = number + 1, digest_of(content), segment.committed_at


def _apply(folder: Path, piece: FilePiece) -> None:
    """Change a small file as a piece says. Raises _DamagedError for a name that no copy has."""
    if not is_copied(piece.name):
        raise _DamagedError
    file = folder / piece.name
    if piece.start < 0:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(exist_ok=True)
    with file.open("r+b" if file.exists() else "w+b") as opened:
        opened.truncate(piece.start)
        opened.seek(piece.start)
        opened.write(piece.content)


def _move(draft: RunDirectory, directory: RunDirectory) -> None:
    """Put what was restored in its place, the database last, since with it a folder is a run."""
    names = [path for path in draft.path.iterdir() if path.name != draft.database.name]
    for path in names:
        target = directory.path / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
    for suffix in ("-wal", "-shm", "-journal"):
        directory.database.with_name(f"{directory.database.name}{suffix}").unlink(missing_ok=True)
    put_in_place(draft.database, directory.database)
