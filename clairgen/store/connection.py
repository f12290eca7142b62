"""Connections to `run.db`: opened with the right pragmas, checked for their schema version; SQLite's errors as StoreError."""

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiosqlite

from clairgen.errors import InUseError, RunError, StoreError
from clairgen.filters.jaccard import percentage
from clairgen.store.file_systems import is_shared, refuse_unsafe_file_system
from clairgen.store.schema import FUNCTIONS, MIGRATIONS, VERSION
from clairgen.store.statements import COMPRESSED, compressed

PERCENTAGE = "percentage"
"""The SQL function of connections that write which the filter `jaccard` compares with its bounds."""
BUSY_SECONDS = 30
_SHORT_BUSY_SECONDS = 10
SHARED_BUSY_SECONDS = 1
"""Where one process at a time uses a run: long enough for another one's short write, or for the end of its session."""


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors over the database at `path` into a StoreError that says what to do.

    Raises InUseError where another process has it, on a shared file system.
    """
    try:
        yield
    except sqlite3.Error as error:
        if "is locked" in str(error) and is_shared(path):
            raise in_use(path) from error
        raise StoreError(_sentence(error, path)) from error


@asynccontextmanager
async def transaction(connection: aiosqlite.Connection) -> AsyncIterator[None]:
    """A transaction that writes: committed at the end of the block, rolled back at an error, which is raised as it is."""
    await connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        await connection.execute("COMMIT")
    except BaseException:
        # After some errors, such as a full disk, SQLite has rolled back already.
        with contextlib.suppress(aiosqlite.Error):
            await connection.execute("ROLLBACK")
        raise


async def open_writer(path: Path) -> aiosqlite.Connection:
    """Open for writing, creating and migrating the database as needed. Only the holder of the run's lock may do this.

    On a shared file system no other process can use the database until `close_writer`.
    """
    refuse_unsafe_file_system(path)
    with store_errors(path):
        connection = await aiosqlite.connect(
            writer_uri(path, "rwc"), uri=True, isolation_level=None, timeout=BUSY_SECONDS
        )
        try:
            await connection.execute("PRAGMA journal_mode = WAL")
            await connection.execute("PRAGMA synchronous = FULL")
            await connection.create_function(COMPRESSED, 1, compressed, deterministic=True)
            await connection.create_function(PERCENTAGE, 1, percentage, deterministic=True)
            for name, (arguments, function) in FUNCTIONS.items():
                await connection.create_function(name, arguments, function, deterministic=True)
            await _migrate(connection, path)
        except BaseException:
            await connection.close()
            raise
    return connection


async def close_writer(connection: aiosqlite.Connection, path: Path) -> None:
    """Close what `open_writer` opened; on a shared file system with a rollback journal, so that others can read it."""
    if is_shared(path):
        with contextlib.suppress(aiosqlite.Error):  # whoever reads it next does the same
            await connection.execute(f"PRAGMA busy_timeout = {SHARED_BUSY_SECONDS * 1000}")
            await connection.execute("PRAGMA journal_mode = DELETE")
    await connection.close()


async def open_beside_writer(path: Path) -> aiosqlite.Connection:
    """Open for reading in the process that writes the database, which is open."""
    with store_errors(path):
        connection = await aiosqlite.connect(
            writer_uri(path, "rw"), uri=True, isolation_level=None, timeout=BUSY_SECONDS
        )
        await connection.execute("PRAGMA query_only = ON")
    return connection


def writer_uri(path: Path, mode: str) -> str:
    """The address by which a process that may write the database at `path` opens it, or attaches it."""
    return f"{path.resolve().as_uri()}?mode={mode}&vfs={'unix-excl' if is_shared(path) else 'unix'}"


async def open_for_short_write(path: Path) -> aiosqlite.Connection:
    """Open for one short transaction, which begins here, beside whoever holds the run's lock.

    It never migrates: another schema than this version's is refused as `open_reader` does, inside the transaction, so that no
    migration comes between.
    """
    refuse_unsafe_file_system(path)
    with store_errors(path):
        connection = await aiosqlite.connect(writer_uri(path, "rw"), uri=True, isolation_level=None, timeout=0)
        try:
            await connection.create_function(COMPRESSED, 1, compressed, deterministic=True)
            await _begin(connection, SHARED_BUSY_SECONDS if is_shared(path) else _SHORT_BUSY_SECONDS)
            refuse_other(await version_of(connection), path)
        except BaseException:
            await connection.close()
            raise
    return connection


async def _begin(connection: aiosqlite.Connection, most_seconds: float) -> None:
    """Begin a transaction that writes, as soon as nobody else does.

    A busy `generate` commits group after group with only a moment between, which SQLite's own waiting, in steps of up to 100 ms,
    often misses.
    """
    give_up = time.monotonic() + most_seconds
    while True:
        try:
            await connection.execute("PRAGMA synchronous = FULL")  # which looks into the database too
            await connection.execute(
                "PRAGMA wal_autocheckpoint = 0"
            )  # for whoever holds the lock: a copy may follow the log
            await connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
        else:
            return
        await asyncio.sleep(random.uniform(0.0005, 0.003))  # noqa: S311 - when to try again


async def version_of(connection: aiosqlite.Connection) -> int:
    """Number of the last migration that ran."""
    async with connection.execute("PRAGMA user_version") as cursor:
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def schema_version(path: Path) -> int:
    """The schema version of a database that may be old, and that a killed process may have left to be rolled back.

    Only the holder of the run's lock may ask for it.
    """
    with store_errors(path):
        async with aiosqlite.connect(writer_uri(path, "rw"), uri=True) as connection:
            return await version_of(connection)


def is_file(path: Path) -> bool:
    """Whether there is such a file; False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


async def _migrate(connection: aiosqlite.Connection, path: Path) -> None:
    version = await version_of(connection)
    _refuse_newer(version, path)
    for number in range(version, VERSION):
        script = f"BEGIN IMMEDIATE;\n{MIGRATIONS[number]}\nPRAGMA user_version = {number + 1};\nCOMMIT;"
        await connection.executescript(script)


def refuse_other(version: int, path: Path) -> None:
    """Raise RunError for another schema than this version's."""
    _refuse_newer(version, path)
    if version == 0:
        raise RunError(
            f"{path.parent} holds nothing yet: the generate that made it was stopped before it began; run that again"
        )
    if version < VERSION:
        raise RunError(
            f"{path.parent} was written by an older version; bring it up to date with: clairgen migrate {path.parent}"
        )


def _refuse_newer(version: int, path: Path) -> None:
    if version > VERSION:
        raise RunError(
            f"{path.parent} was written by a newer clairgen (schema {version}, this one knows {VERSION}); "
            "install that version or a later one"
        )


def in_use(path: Path) -> InUseError:
    """The error where another process has a database on a shared file system."""
    return InUseError(
        f"{path.parent} is in use by another process, and on a network file system, where nobody reads a run while it is written "
        "and nobody writes it while it is read: clairgen status shows how far it is, and all else has to wait for that process"
    )


def _sentence(error: sqlite3.Error, path: Path) -> str:
    said = str(error)
    if "disk is full" in said or "disk I/O error" in said:
        return (
            f"the disk that holds {path} is full or failing ({said}): free some space and run the same command again; "
            "nothing committed is lost"
        )
    if "is locked" in said:
        return f"another command has been writing {path} all the time; try again in a moment"
    if "readonly" in said or "unable to open" in said:
        return f"the database {path} cannot be opened or written ({said}): check the folder's permissions"
    if "not a database" in said or "malformed" in said:
        is_of_run = path.name == "run.db"
        instead = "name another --run folder or restore the file" if is_of_run else "restore it, or move it away"
        return f"{path} is not a database of {'a run' if is_of_run else 'jobs'}, or is damaged ({said}): {instead}"
    return f"the database {path} failed: {said}"
