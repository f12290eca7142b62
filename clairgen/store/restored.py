"""A database that was restored from a copy: checked by SQLite before it is used, and marked with what it was restored from."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from clairgen.errors import CopyError
from clairgen.store.metadata import metadata_row
from clairgen.store.spending import lost_spending


@dataclass(frozen=True, slots=True)
class RestoredFacts:
    """What a restored database has: answers, made pairs, and what may have been spent beyond what it knew, in picodollars."""

    answers: int
    pairs: int
    lost: int


def check_restored(path: Path, run: str, key: str, value: str, allowed: int) -> RestoredFacts:
    """What a restored database has, once it is checked and its metadata says `value` under `key`.

    It counts from then on that the run may have come to `allowed` picodollars. Raises CopyError if SQLite finds damage in it, or
    if it is of another run.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            found = [str(row[0]) for row in database.execute("PRAGMA integrity_check(3)")]
            if found != ["ok"]:
                raise CopyError(f"the database of the copy is damaged: {'; '.join(found)}")
            (of,) = database.execute("SELECT value FROM meta WHERE key = 'run_id'").fetchone() or (None,)
            if of != run:
                raise CopyError(f"the database of the copy is that of another run ({of})")
            database.execute("PRAGMA journal_mode = DELETE")  # so that the file alone is all of it
            database.execute(*metadata_row(key, value))
            lost = 0
            if allowed:  # not in the copy of an older version, whose table may be another one
                sql, values = lost_spending(allowed)
                (lost,) = database.execute(f"{sql} RETURNING max_cost", values).fetchone() or (0,)
            database.execute("PRAGMA journal_mode = WAL")
            sql = "SELECT (SELECT count(*) FROM completions), (SELECT count(*) FROM pairs WHERE status = 'made')"
            answers, pairs = database.execute(sql).fetchone()
            return RestoredFacts(int(answers), int(pairs), int(lost))
    except sqlite3.Error as error:
        raise CopyError(f"the database of the copy cannot be read: {error}") from error
