"""Connections to `run.db` that only read, and what is looked up in it without a store, on local and shared file systems."""

import contextlib
import sqlite3
from pathlib import Path

import aiosqlite

from clairgen.errors import InUseError, RunError
from clairgen.folder_lock import locked_folder
from clairgen.store.connection import (
    BUSY_SECONDS,
    SHARED_BUSY_SECONDS,
    in_use,
    is_file,
    refuse_other,
    store_errors,
    version_of,
    writer_uri,
)
from clairgen.store.file_systems import is_shared

_LOOK_SECONDS = 5


async def open_reader(path: Path, *, snapshot: bool = False) -> aiosqlite.Connection:
    """Open for reading only. Reading never migrates: an older schema is refused with the command that does.

    A `snapshot` is one read transaction, which sees the database as it is now until the connection is closed.
    """
    if not is_file(path):
        lacks = f"it has no {path.name}" if path.parent.exists() else "there is no such file or folder"
        raise RunError(f"{path.parent} is not a run directory: {lacks}; name the folder given to --run")
    with store_errors(path):
        open_it = _opened_alone if is_shared(path) else _opened_for_reading
        connection, version = await open_it(path, snapshot=snapshot)
    try:
        refuse_other(version, path)
    except RunError:
        await connection.close()
        raise
    return connection


async def _opened_for_reading(path: Path, *, snapshot: bool) -> tuple[aiosqlite.Connection, int]:
    """A connection that only reads, and the schema's version.

    Beside a database in WAL mode SQLite makes a file, even to read it. Where it cannot, as on a disk that is read-only, nobody
    can write either: without a write-ahead log the database is then whole and stays as it is. What a process that was killed
    before the database was in WAL mode has left to be rolled back is for whoever writes next.
    """
    try:
        return await _connected(path, "mode=ro", snapshot=snapshot)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        if _has_content(path, "-journal"):
            raise _unfinished(path) from error
        if _has_content(path, "-wal"):
            raise
    return await _connected(path, "mode=ro&immutable=1", snapshot=snapshot)


def _unfinished(path: Path) -> RunError:
    return RunError(
        f"{path.parent} was stopped in the middle of a write; let the next command finish it: clairgen migrate {path.parent}"
    )


async def _opened_alone(path: Path, *, snapshot: bool) -> tuple[aiosqlite.Connection, int]:
    """The same on a shared file system: any number of processes read, or one writes.

    Nothing is read through a write-ahead log, which a process has while it writes and leaves behind when it is killed, or which
    came with a run from a local disk. It is merged first, and the database is given a rollback journal.
    """
    try:
        return await _connected(path, "mode=ro", snapshot=snapshot, alone=True)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_READONLY,
        ):
            raise
        if not await _merged_log(path):  # in a folder that is read-only
            if _has_content(path, "-journal") or _has_content(path, "-wal"):
                raise _unfinished(path) from error
            return await _connected(path, "mode=ro&immutable=1", snapshot=snapshot)
    return await _connected(path, "mode=ro", snapshot=snapshot, alone=True)


async def _merged_log(path: Path) -> bool:
    """Give a database whose writer has ended a rollback journal; False where nobody can write it."""
    try:
        with locked_folder(path.parent):
            connection = await aiosqlite.connect(
                writer_uri(path, "rw"), uri=True, isolation_level=None, timeout=SHARED_BUSY_SECONDS
            )
            try:
                await connection.execute("PRAGMA journal_mode = DELETE")
            finally:
                await connection.close()
    except InUseError as error:
        raise in_use(path) from error
    except RunError:
        return False
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


async def _connected(
    path: Path, options: str, *, snapshot: bool, alone: bool = False
) -> tuple[aiosqlite.Connection, int]:
    """A connection by these options. `alone` refuses a write-ahead log, and keeps writers out until it is closed."""
    uri = f"{path.resolve().as_uri()}?{options}"
    seconds = SHARED_BUSY_SECONDS if alone else BUSY_SECONDS
    connection = await aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=seconds)
    try:
        if alone:
            await connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if snapshot:
            await connection.execute("BEGIN")
        return connection, await version_of(connection)  # with its first read a transaction begins to see
    except BaseException:
        await connection.close()
        raise


def _has_content(path: Path, suffix: str) -> bool:
    log = path.with_name(f"{path.name}{suffix}")
    return log.exists() and log.stat().st_size > 0


def committed_rows(path: Path) -> int:
    """How many tasks, answers, ended pairs and evaluated items a run has on disk; 0 where that cannot be read."""
    parts = "completions", "pairs WHERE status != 'pending'", "evaluation_items", "tasks"
    sql = " + ".join(f"(SELECT count(*) FROM {part})" for part in parts)
    try:
        with contextlib.closing(_looking_into(path)) as connection:
            return int(connection.execute(f"SELECT {sql}").fetchone()[0])
    except sqlite3.Error:
        return 0


def holds_nothing(path: Path) -> bool:
    """Whether a run's database has no tables yet, because what made it was stopped before that; False if it cannot be read."""
    try:
        with contextlib.closing(_looking_into(path)) as connection:
            return bool(connection.execute("PRAGMA user_version").fetchone()[0] == 0)
    except sqlite3.Error:
        return False


def _looking_into(path: Path) -> sqlite3.Connection:
    shared = is_shared(path)
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=SHARED_BUSY_SECONDS if shared else _LOOK_SECONDS
    )
    if shared:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # it refuses a write-ahead log
    return connection
