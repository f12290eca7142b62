"""`service.db`: what a service keeps beside its runs, jobs and coordinated groups, in one database with numbered migrations."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from clairgen.errors import RunError, StoreError
from clairgen.store.connection import store_errors
from clairgen.store.file_systems import refuse_network_file_system

_BUSY_SECONDS: Final = 30
MIGRATIONS: Final = (
    """
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        verb TEXT NOT NULL,
        arguments TEXT NOT NULL,
        run TEXT,
        writes INTEGER NOT NULL,
        command TEXT NOT NULL DEFAULT '',
        submitted_by TEXT NOT NULL,
        idempotency_key TEXT,
        request_digest TEXT NOT NULL,
        state TEXT NOT NULL,
        cancels INTEGER NOT NULL DEFAULT 0,
        starts INTEGER NOT NULL DEFAULT 0,
        not_before REAL NOT NULL DEFAULT 0,
        submitted_at TEXT NOT NULL,
        started_at TEXT,
        ended_at TEXT,
        exit_code INTEGER,
        sentence TEXT,
        UNIQUE (submitted_by, idempotency_key)
    ) STRICT;
    CREATE INDEX jobs_by_state ON jobs (state, id);
    CREATE INDEX jobs_by_run ON jobs (run, state, id);
    """,
    """
    ALTER TABLE jobs ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN committed INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE deleted_work (run TEXT NOT NULL, verb TEXT NOT NULL, PRIMARY KEY (run, verb)) STRICT;
    """,
    """
    ALTER TABLE jobs ADD COLUMN target TEXT;
    ALTER TABLE jobs ADD COLUMN awaits TEXT NOT NULL DEFAULT '[]';
    UPDATE jobs SET target = CASE WHEN verb = 'export' THEN 'exports/' || json_extract(arguments, '$.name')
        WHEN writes THEN run END;
    CREATE INDEX jobs_by_target ON jobs (target, state, id);
    CREATE TABLE spent (
        run TEXT NOT NULL,
        run_id TEXT NOT NULL,
        picodollars INTEGER NOT NULL,
        PRIMARY KEY (run, run_id)
    ) STRICT;
    """,
    """
    CREATE TABLE groups (
        name TEXT PRIMARY KEY,
        budget INTEGER,
        made_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE group_endpoints (
        group_name TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        requests_per_minute REAL,
        tokens_per_minute REAL,
        concurrency INTEGER,
        PRIMARY KEY (group_name, endpoint)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE members (
        group_name TEXT NOT NULL,
        run_id TEXT NOT NULL,
        run TEXT NOT NULL,
        location TEXT NOT NULL,
        session TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        allotted INTEGER NOT NULL,
        spent INTEGER NOT NULL,
        lost INTEGER NOT NULL,
        seen_at TEXT NOT NULL,
        PRIMARY KEY (group_name, run_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE shard_leases (
        group_name TEXT NOT NULL,
        work TEXT NOT NULL,
        number INTEGER NOT NULL,
        count INTEGER NOT NULL,
        session TEXT NOT NULL,
        holder TEXT NOT NULL,
        state TEXT NOT NULL,
        PRIMARY KEY (group_name, work, number)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE groups ADD COLUMN made_by TEXT NOT NULL DEFAULT '';
    ALTER TABLE members ADD COLUMN former TEXT NOT NULL DEFAULT '';
    """,
    "ALTER TABLE spent ADD COLUMN settled INTEGER NOT NULL DEFAULT 0;",
)


class ServiceDatabase:
    """The database at `path`, one connection that threads take turns at. Amounts of money in it are picodollars."""

    def __init__(self, path: Path) -> None:
        refuse_network_file_system(path)
        self._path = path
        self._lock = threading.Lock()
        with store_errors(path):
            self.connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self.connection.row_factory = sqlite3.Row
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
                self.connection.execute("PRAGMA synchronous = FULL")
                self._migrate()
            except BaseException:
                self.connection.close()
                raise
        self._opened = _identity(path)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self.connection.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read, while no other thread uses the connection."""
        with self._lock, store_errors(self._path):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction, committed at the end of the block."""
        with self._lock, store_errors(self._path):
            self._check_in_place()
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:  # a full disk has ended it already
                    self.connection.execute("ROLLBACK")
                raise

    def _migrate(self) -> None:
        [(version,)] = self.connection.execute("PRAGMA user_version")
        if version > len(MIGRATIONS):
            raise RunError(
                f"{self._path} was written by a newer clairgen (schema {version}, this one knows {len(MIGRATIONS)}); "
                "install that version or a later one"
            )
        for number in range(version, len(MIGRATIONS)):
            script = f"BEGIN IMMEDIATE;\n{MIGRATIONS[number]}\nPRAGMA user_version = {number + 1};\nCOMMIT;"
            self.connection.executescript(script)

    def _check_in_place(self) -> None:
        """Raise StoreError where what is written would be in no file, or in one that nobody will read."""
        if _identity(self._path) != self._opened:
            raise StoreError(
                f"{self._path} was removed or replaced while it was open, so nothing can be kept in it; put it back, or start "
                "the service again"
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is there; None for none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
