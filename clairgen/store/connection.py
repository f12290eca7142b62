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

from clairgen.errors import RunError, StoreError
from clairgen.store.schema import FUNCTIONS, MIGRATIONS, VERSION
from clairgen.store.statements import COMPRESSED, compressed

_BUSY_SECONDS = 30
_SHORT_BUSY_SECONDS = 10
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "ceph", "lustre", "afs"}


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors over the database at `path` into a StoreError that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
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
    """Open for writing, creating and migrating the database as needed. Only the holder of the run's lock may do this."""
    refuse_network_file_system(path)
    with store_errors(path):
        connection = await aiosqlite.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
        try:
            await connection.execute("PRAGMA journal_mode = WAL")
            await connection.execute("PRAGMA synchronous = FULL")
            await connection.create_function(COMPRESSED, 1, compressed, deterministic=True)
            for name, (arguments, function) in FUNCTIONS.items():
                await connection.create_function(name, arguments, function, deterministic=True)
            await _migrate(connection, path)
        except BaseException:
            await connection.close()
            raise
    return connection


async def open_for_short_write(path: Path) -> aiosqlite.Connection:
    """Open for one short transaction, which begins here, beside whoever holds the run's lock.

    It never migrates: another schema than this version's is refused as `open_reader` does, inside the transaction, so that no
    migration comes between.
    """
    refuse_network_file_system(path)
    with store_errors(path):
        connection = await aiosqlite.connect(
            f"{path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0
        )
        try:
            await connection.create_function(COMPRESSED, 1, compressed, deterministic=True)
            await _begin(connection)
            _refuse_other(await version_of(connection), path)
        except BaseException:
            await connection.close()
            raise
    return connection


async def _begin(connection: aiosqlite.Connection) -> None:
    """Begin a transaction that writes, as soon as nobody else does.

    A busy `generate` commits group after group with only a moment between, which SQLite's own waiting, in steps of up to 100 ms,
    often misses.
    """
    give_up = time.monotonic() + _SHORT_BUSY_SECONDS
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


async def open_reader(path: Path, *, snapshot: bool = False) -> aiosqlite.Connection:
    """Open for reading only. Reading never migrates: an older schema is refused with the command that does.

    A `snapshot` is one read transaction, which sees the database as it is now until the connection is closed.
    """
    if not is_file(path):
        lacks = f"it has no {path.name}" if path.parent.exists() else "there is no such file or folder"
        raise RunError(f"{path.parent} is not a run directory: {lacks}; name the folder given to --run")
    with store_errors(path):
        connection, version = await _opened_for_reading(path, snapshot=snapshot)
    try:
        _refuse_other(version, path)
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
            raise RunError(
                f"{path.parent} was stopped in the middle of a write; let the next command finish it: "
                f"clairgen migrate {path.parent}"
            ) from error
        if _has_content(path, "-wal"):
            raise
    return await _connected(path, "mode=ro&immutable=1", snapshot=snapshot)


async def _connected(path: Path, options: str, *, snapshot: bool) -> tuple[aiosqlite.Connection, int]:
    uri = f"{path.resolve().as_uri()}?{options}"
    connection = await aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
    try:
        if snapshot:
            await connection.execute("BEGIN")
        return connection, await version_of(connection)  # with its first read a transaction begins to see
    except BaseException:
        await connection.close()
        raise


def _has_content(path: Path, suffix: str) -> bool:
    log = path.with_name(f"{path.name}{suffix}")
    return log.exists() and log.stat().st_size > 0


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
        async with aiosqlite.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True) as connection:
            return await version_of(connection)


def refuse_network_file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> None:
    """Raise RunError on a network file system, where write-ahead logging can lose data. Only Linux says which file system."""
    if not mounts.exists():
        return
    place = path.resolve()
    kinds = {
        Path(_unescaped(fields[1])): fields[2]
        for line in mounts.read_text().splitlines()
        if len(fields := line.split()) > 2
    }
    mount = max(
        (point for point in kinds if place.is_relative_to(point)), key=lambda point: len(point.parts), default=None
    )
    if mount is not None and kinds[mount] in _NETWORK_FILE_SYSTEMS:
        raise RunError(
            f"{path.parent} is on a network file system ({kinds[mount]}), where the run's database could be damaged; "
            "choose a folder on a local disk for --run"
        )


def committed_rows(path: Path) -> int:
    """How many tasks, answers, ended pairs and evaluated items a run has on disk; 0 where that cannot be read."""
    parts = "completions", "pairs WHERE status != 'pending'", "evaluation_items", "tasks"
    sql = " + ".join(f"(SELECT count(*) FROM {part})" for part in parts)
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return int(connection.execute(f"SELECT {sql}").fetchone()[0])
    except sqlite3.Error:
        return 0


def holds_nothing(path: Path) -> bool:
    """Whether a run's database has no tables yet, because what made it was stopped before that; False if it cannot be read."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("PRAGMA user_version").fetchone()[0] == 0)
    except sqlite3.Error:
        return False


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


def _refuse_other(version: int, path: Path) -> None:
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


def _unescaped(mount_point: str) -> str:
    r"""A mount point as /proc/mounts writes it, its octal escapes (\040 for a space) undone."""
    return mount_point.encode().decode("unicode_escape")
