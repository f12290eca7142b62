"""The table of jobs in a service's database, as it is read: one job, the latest, what is due, how many there are."""

import json
import math
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from clairgen.keys import canonical_json, digest
from clairgen.store.job_records import Job, JobState, OtherRequestError
from clairgen.store.service_database import ServiceDatabase

ACTIVE: Final = "('running', 'stopping')"
OVER: Final = "('done', 'failed', 'cancelled')"
LONGEST_LOOK_SECONDS: Final = 6 * 3600.0
"""Between two looks at the batches of a waiting job."""
LONGEST_WAIT_SECONDS: Final = 60.0
"""Before a job that was put back can be claimed again."""
_FOLDERS: Final = "(SELECT job.target UNION ALL SELECT value FROM json_each(job.awaits))"
_WAITS_FOR: Final = f"""
    CASE WHEN job.state = 'queued' THEN coalesce(
        (SELECT min(o.id) FROM jobs o WHERE o.target IN {_FOLDERS} AND o.state IN {ACTIVE}),
        (SELECT min(o.id) FROM jobs o WHERE o.target IN {_FOLDERS} AND o.state IN ('queued', 'waiting') AND o.id < job.id)
    ) END
"""


class JobTable:
    """The jobs in the database at `path`. Its methods block, and may be called from any thread."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._database = ServiceDatabase(path)
        self._connection = self._database.connection
        self._reading, self._writing = self._database.reading, self._database.writing

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def targets(self) -> frozenset[str]:
        """The folders that jobs write which are not over."""
        with self._reading():
            sql = f"SELECT DISTINCT target FROM jobs WHERE state NOT IN {OVER} AND target IS NOT NULL"
            return frozenset(row["target"] for row in self._connection.execute(sql))

    def job(self, number: int) -> Job | None:
        """A job; None for an id that there is not."""
        with self._reading():
            found = self._jobs("job.id = ?", (number,))
        return found[0] if found else None

    def jobs(
        self, *, state: JobState | None = None, run: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[Job]:
        """The latest jobs first: of a state, on a run, with ids below `before`."""
        conditions = {"job.state = ?": state, "job.run = ?": run, "job.id < ?": before}
        given = {condition: value for condition, value in conditions.items() if value is not None}
        with self._reading():
            return self._jobs(" AND ".join(given) or "1", (*given.values(), limit), "ORDER BY job.id DESC LIMIT ?")

    def submitted(self, submitted_by: str, key: str | None, request: Mapping[str, Any]) -> Job | None:
        """The job that was submitted with this key; None if there is none. Raises OtherRequestError."""
        with self._reading():
            return self._submitted(submitted_by, key, digest(canonical_json(request)))

    def can_be_claimed(self, verbs: Sequence[str], deaths: int) -> bool:
        """Whether there is a job that could be claimed."""
        with self._reading():
            return self._first(verbs, deaths) is not None

    def to_look_at(self, most: int, besides: Collection[int]) -> list[Job]:
        """At most so many waiting jobs whose batches are to be looked at by now, the longest due first; none of `besides`."""
        now_seconds = self._clock()
        with self._reading():
            # A time that lies further ahead is of a clock that was put back since.
            found = self._jobs(
                "job.state = 'waiting' AND job.not_before NOT BETWEEN ? AND ?",
                (math.nextafter(now_seconds, math.inf), now_seconds + LONGEST_LOOK_SECONDS),
                "ORDER BY job.not_before",
            )
        return [job for job in found if job.id not in besides][:most]

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        with self._reading():
            rows = self._connection.execute("SELECT state, count(*) AS jobs FROM jobs GROUP BY state").fetchall()
        return dict.fromkeys(JobState, 0) | {JobState(row["state"]): row["jobs"] for row in rows}

    def check_writable(self) -> None:
        """Raise StoreError where nothing can be written."""
        with self._writing():
            self._connection.execute("UPDATE jobs SET id = id WHERE id = -1")

    def cancels(self) -> dict[int, int]:
        """How often each job that is being worked on was cancelled."""
        with self._reading():
            rows = self._connection.execute(f"SELECT id, cancels FROM jobs WHERE state IN {ACTIVE}").fetchall()
        return {row["id"]: row["cancels"] for row in rows}

    def runs_of(self, verbs: Sequence[str]) -> list[str]:
        """The runs on which a job of these verbs has begun, also one that was deleted since."""
        marks = ", ".join("?" * len(verbs))
        with self._reading():
            sql = (
                f"SELECT run FROM jobs WHERE starts > 0 AND run IS NOT NULL AND verb IN ({marks}) "
                f"UNION SELECT run FROM deleted_work WHERE verb IN ({marks}) ORDER BY run"
            )
            return [row["run"] for row in self._connection.execute(sql, (*verbs, *verbs))]

    def spent(self) -> int:
        """What all runs have cost, in picodollars, by what was noted; also those that are deleted."""
        with self._reading():
            return int(self._connection.execute("SELECT total(picodollars) AS total FROM spent").fetchone()["total"])

    def _first(self, verbs: Sequence[str], deaths: int) -> Any:  # noqa: ANN401 - a row, or None
        marks, now_seconds = ", ".join("?" * len(verbs)), self._clock()
        return self._connection.execute(
            f"SELECT id FROM jobs job WHERE state = 'queued' AND verb IN ({marks}) AND deaths >= ? "
            f"AND not_before NOT BETWEEN ? AND ? AND {_WAITS_FOR} IS NULL ORDER BY id LIMIT 1",
            # A time that lies further ahead is of a clock that was put back since.
            (*verbs, deaths, math.nextafter(now_seconds, math.inf), now_seconds + LONGEST_WAIT_SECONDS),
        ).fetchone()

    def _submitted(self, submitted_by: str, key: str | None, request: str) -> Job | None:
        found = self._connection.execute(
            "SELECT id, request_digest FROM jobs WHERE submitted_by = ? AND idempotency_key = ?", (submitted_by, key)
        ).fetchone()
        if found is None:
            return None
        if found["request_digest"] != request:
            raise OtherRequestError(
                f"the idempotency key {key!r} was used for job {found['id']}, which is another request; use a new key"
            )
        return self._job(found["id"])

    def _job(self, number: int) -> Job:
        [found] = self._jobs("job.id = ?", (number,))
        return found

    def _jobs(self, condition: str, parameters: Sequence[object], rest: str = "") -> list[Job]:
        sql = f"SELECT job.*, {_WAITS_FOR} AS waits_for FROM jobs job WHERE {condition} {rest}"
        return [_job_of(row) for row in self._connection.execute(sql, parameters)]


def _job_of(row: sqlite3.Row) -> Job:
    facts = {name: row[name] for name in Job.__dataclass_fields__}
    return Job(
        **facts
        | {
            "arguments": json.loads(row["arguments"]),
            "state": JobState(row["state"]),
            "writes": bool(row["writes"]),
        }
    )
