"""The indexes of runs, kept up to date in the background: whoever asks for a page waits for them at most a moment."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from clairgen.errors import ClairgenError, StoreError
from clairgen.service.kept_figures import Stamp, stamp_of
from clairgen.store import IndexSearch, IndexState, RunDirectory, index_file, reading_index, syncing
from clairgen.wording import counted

_WAIT_SECONDS: Final = 0.5


class NotReadyError(StoreError):
    """This needs the index of a run, which is being made."""


@dataclass(slots=True)
class _Followed:
    """What is known of a run's index; `stamp` is that of the database when it was last brought up to date, or begun to be."""

    state: IndexState = field(default_factory=IndexState)
    stamp: Stamp | None = None
    task: asyncio.Task[None] | None = None
    is_current: asyncio.Event = field(default_factory=asyncio.Event)


class PairIndexes:
    """The indexes of the runs in the folder `root`. `wait_seconds` is how long a page waits for one to be up to date."""

    def __init__(self, root: Path, wait_seconds: float = _WAIT_SECONDS) -> None:
        self._root = root
        self._wait_seconds = wait_seconds
        self._followed: dict[str, _Followed] = {}
        self._syncing = asyncio.Semaphore(1)
        self._has_tidied = False

    async def state(self, run: RunDirectory, *, waits: bool = True) -> IndexState:
        """How far a run's index is, which is brought up to date in the background if the run has changed.

        Whoever `waits` waits a moment for that.
        """
        followed = self._followed.setdefault(run.path.name, _Followed())
        stamp = stamp_of(run)
        if stamp != followed.stamp or not followed.is_current.is_set():
            followed.stamp = stamp
            followed.is_current.clear()
            if followed.task is None:
                followed.task = asyncio.create_task(self._sync(run, followed), name=f"index of {run.path.name}")
            with suppress(TimeoutError):
                await asyncio.wait_for(followed.is_current.wait(), self._wait_seconds if waits else 0)
        return followed.state

    @asynccontextmanager
    async def searching(self, run: RunDirectory) -> AsyncIterator[IndexSearch]:
        """The index of a run, to be searched. Raises StoreError."""
        file = index_file(self._root, run.path.name)
        try:
            async with reading_index(file) as search:
                yield search
        except StoreError as error:
            if _is_damaged(error):
                self._remove(file)
                self._followed.pop(run.path.name, None)
                raise StoreError("the index of the run was damaged and is made again; ask again in a moment") from error
            raise

    async def _sync(self, run: RunDirectory, followed: _Followed) -> None:
        file = index_file(self._root, run.path.name)
        try:
            self._tidy()
            async with self._syncing, syncing(file, run.database) as sync:
                goes_on = True
                while goes_on:
                    followed.state = await sync.state()
                    if followed.state.is_current:
                        followed.is_current.set()
                    goes_on = await sync.step()
        except ClairgenError as error:
            if _is_damaged(error):
                self._remove(file)
            followed.state = replace(followed.state, problem=str(error))
            followed.stamp = None
            followed.is_current.set()  # nobody waits for it
        finally:
            followed.task = None

    def _tidy(self) -> None:
        """Remove the indexes of runs that are gone, once."""
        if self._has_tidied:
            return
        self._has_tidied = True
        with suppress(OSError):
            wanted = {index_file(self._root, entry.name) for entry in self._root.iterdir()}
            for file in index_file(self._root, "any").parent.glob("*.db"):
                if file not in wanted:
                    self._remove(file)

    @staticmethod
    def _remove(file: Path) -> None:
        for suffix in ("", "-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)


def _is_damaged(error: ClairgenError) -> bool:
    cause = error.__cause__
    damaged = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF in damaged


def index_words(state: IndexState) -> str | None:
    """What a page says of an index that does not have all pairs yet; None for one that has."""
    if state.is_current:
        return None
    if state.is_complete:
        goes_on = "and is being brought up to date" if state.problem is None else f"since {state.problem}"
        return f"The index is {counted(state.changes, 'change')} of pairs behind the run, {goes_on}."
    if state.problem is not None:
        return f"There is no index of the run, so its pairs cannot be searched or sorted: {state.problem}"
    share = min(state.pairs / state.of, 1) if state.of else 0
    return (
        f"The index of the run is being made: {share:.0%} of {counted(state.of, 'pair')}. Once it is done, pairs can be "
        "searched, sorted and counted."
    )
