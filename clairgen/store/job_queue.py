"""The durable queue of jobs of a service, in a database of its own: what changes it, which the service and its worker both do."""

import json
from collections.abc import Callable, Sequence
from typing import Final

from clairgen.errors import RunError
from clairgen.keys import canonical_json, digest
from clairgen.store.completions import now
from clairgen.store.job_records import Job, JobState, NewJob, QueueFullError
from clairgen.store.job_table import ACTIVE, LONGEST_LOOK_SECONDS, LONGEST_WAIT_SECONDS, OVER, JobTable

_MOST_PICODOLLARS: Final = 2**62
_CANCELLED: Final = "cancelled before it went on; everything committed is kept"


class JobQueue(JobTable):
    """The queue in the database at `path`. Its methods block while they write, and may be called from any thread."""

    def submit(self, job: NewJob, command: Callable[[int], str], most_queued: int) -> tuple[Job, bool]:
        """Commit a job, whose command line is that of its id; whether it is new, or was submitted before under its key.

        Raises QueueFullError, and OtherRequestError for a key that was used for another request.
        """
        arguments = json.dumps(job.arguments)
        request = digest(canonical_json(job.request))
        with self._writing():
            if (found := self._submitted(job.submitted_by, job.key, request)) is not None:
                return found, False
            self._check_room(most_queued, "submit this one again")
            cursor = self._connection.execute(
                "INSERT INTO jobs (verb, arguments, run, writes, target, awaits, submitted_by, idempotency_key, "
                "request_digest, state, submitted_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?)",
                (
                    job.verb,
                    arguments,
                    job.run,
                    job.target is not None and job.target == job.run,
                    job.target,
                    json.dumps(job.awaits),
                    job.submitted_by,
                    job.key,
                    request,
                    now(),
                ),
            )
            number = int(cursor.lastrowid or 0)
            self._connection.execute("UPDATE jobs SET command = ? WHERE id = ?", (command(number), number))
            return self._job(number), True

    def number_above(self, number: int) -> None:
        """Give the first job of an empty queue a larger id than this one."""
        with self._writing():
            self._connection.execute(
                "INSERT INTO sqlite_sequence (name, seq) "
                "SELECT 'jobs', ? WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'jobs')",
                (number,),
            )

    def claim(self, verbs: Sequence[str], deaths: int = 0) -> Job | None:
        """Begin with the first queued job of these verbs whose time has come and which waits for no other.

        During it the worker ended at least `deaths` times in a row.
        """
        with self._writing():
            if (row := self._first(verbs, deaths)) is None:
                return None
            self._connection.execute(
                "UPDATE jobs SET state = 'running', started_at = ?, ended_at = NULL, exit_code = NULL, sentence = NULL, "
                "starts = starts + 1, cancels = 0 WHERE id = ?",
                (now(), row["id"]),
            )
            return self._job(row["id"])

    def end(self, number: int, state: JobState, exit_code: int | None, sentence: str | None) -> None:
        """Commit how a job that was begun with has ended."""
        with self._writing():
            self._connection.execute(
                f"UPDATE jobs SET state = ?, exit_code = ?, sentence = ?, ended_at = ? WHERE id = ? AND state IN {ACTIVE}",
                (state, exit_code, sentence, now(), number),
            )

    def put_back(self, number: int, sentence: str, seconds: float = 0.0) -> None:
        """Queue a job again that was begun with, for `seconds` (at most 60) from now at the earliest.

        It is cancelled if that was asked for.
        """
        with self._writing():
            self._connection.execute(
                "UPDATE jobs SET state = CASE state WHEN 'stopping' THEN 'cancelled' ELSE 'queued' END, "
                "sentence = CASE state WHEN 'stopping' THEN ? ELSE ? END, "
                f"not_before = ?, ended_at = ? WHERE id = ? AND state IN {ACTIVE}",
                (_CANCELLED, sentence, self._clock() + min(seconds, LONGEST_WAIT_SECONDS), now(), number),
            )

    def wait_for_batches(self, number: int, sentence: str, seconds: float) -> None:
        """Let a job that was begun with wait for its batches, which are to be looked at in `seconds`.

        It is cancelled if that was asked for.
        """
        with self._writing():
            self._connection.execute(
                f"UPDATE jobs SET ended_at = CASE state WHEN 'stopping' THEN ? END, state = CASE state WHEN 'stopping' "
                f"THEN 'cancelled' ELSE 'waiting' END, sentence = ?, not_before = ? WHERE id = ? AND state IN {ACTIVE}",
                (now(), sentence, self._look_at(seconds), number),
            )

    def look_again(self, number: int, seconds: float) -> None:
        """Nothing has come of the batches of a waiting job: they are to be looked at again in `seconds`."""
        with self._writing():
            self._connection.execute(
                "UPDATE jobs SET not_before = ? WHERE id = ? AND state = 'waiting'", (self._look_at(seconds), number)
            )

    def go_on(self, number: int) -> None:
        """Queue a job that waits for batches."""
        with self._writing():
            self._connection.execute(
                "UPDATE jobs SET state = 'queued', not_before = 0, sentence = NULL WHERE id = ? AND state = 'waiting'",
                (number,),
            )

    def give_up(self, number: int, sentence: str) -> None:
        """A job that waits for batches has failed."""
        with self._writing():
            self._connection.execute(
                "UPDATE jobs SET state = 'failed', sentence = ?, ended_at = ? WHERE id = ? AND state = 'waiting'",
                (sentence, now(), number),
            )

    def recover(self, committed: Callable[[Job], int | None], most_deaths: int) -> list[int]:
        """Queue again what a worker that is no more had begun with, as that worker's successor; the ids of those jobs.

        `committed` is how much a job's run has on disk, None for a job that cannot end the worker. One that ended it
        `most_deaths` times in a row, with nothing more committed in between, has failed.
        """
        with self._reading():
            found = [(job, committed(job)) for job in self._jobs("job.state = 'running'", ())]
        queued = []
        with self._writing():
            self._connection.execute(
                "UPDATE jobs SET state = 'cancelled', ended_at = ?, sentence = 'cancelled; the service ended before it did' "
                "WHERE state = 'stopping'",
                (now(),),
            )
            for job, count in found:
                sql = "SELECT deaths, committed FROM jobs WHERE id = ? AND state = 'running'"
                if (row := self._connection.execute(sql, (job.id,)).fetchone()) is None:
                    continue
                deaths = 0 if count is None or count > row["committed"] else row["deaths"] + 1
                has_failed = deaths >= most_deaths
                sentence = (
                    f"the worker of jobs ended {deaths} times in a row while it did this one, which got no further in between; "
                    "see what the service printed, and resume it when the cause is gone"
                    if has_failed
                    else "interrupted when the service ended; it goes on by itself"
                )
                self._connection.execute(
                    "UPDATE jobs SET state = ?, sentence = ?, ended_at = ?, deaths = ?, committed = ? WHERE id = ?",
                    ("failed" if has_failed else "queued", sentence, now(), deaths, count or 0, job.id),
                )
                queued += [] if has_failed else [job.id]
        return sorted(queued)

    def cancel(self, number: int) -> Job | None:
        """Cancel a queued or waiting job, or ask a running one to stop, and asked again, at once.

        Raises RunError for one that is over.
        """
        with self._writing():
            if not (found := self._jobs("job.id = ?", (number,))):
                return None
            if found[0].state.is_over:
                raise RunError(f"job {number} is {found[0].state} already")
            self._connection.execute(
                f"UPDATE jobs SET cancels = cancels + 1, ended_at = CASE WHEN state IN {ACTIVE} THEN NULL ELSE ? END, "
                f"sentence = CASE WHEN state IN {ACTIVE} THEN sentence WHEN state = 'waiting' "
                "THEN 'its batches go on at the provider; resume this job to collect what they have answered' "
                "WHEN starts = 0 THEN 'cancelled before it began' "
                "ELSE ? END, "
                f"state = CASE WHEN state IN {ACTIVE} THEN 'stopping' ELSE 'cancelled' END WHERE id = ?",
                (now(), _CANCELLED, number),
            )
            return self._job(number)

    def resume(self, number: int, most_queued: int) -> Job | None:
        """Queue a job again that is over, or one that waits for batches. Raises RunError for another one, QueueFullError."""
        with self._writing():
            if not (found := self._jobs("job.id = ?", (number,))):
                return None
            if not (found[0].state.is_over or found[0].state is JobState.WAITING):
                raise RunError(f"job {number} is {found[0].state}; it can be resumed when it is over")
            self._check_room(most_queued, "resume this one")
            self._connection.execute(
                "UPDATE jobs SET state = 'queued', not_before = 0, cancels = 0, deaths = 0, exit_code = NULL, "
                "ended_at = NULL, sentence = NULL WHERE id = ?",
                (number,),
            )
            return self._job(number)

    def delete(self, number: int, remove: Callable[[int], None]) -> Job | None:
        """Delete a job that is over, and what `remove` removes of it first. Raises RunError for one that is not."""
        with self._writing():
            if not (found := self._jobs("job.id = ?", (number,))):
                return None
            if not found[0].state.is_over:
                raise RunError(f"job {number} is {found[0].state}; it can be deleted when it is over")
            self._forget(number, remove)
        return found[0]

    def prune(self, keep: int, remove: Callable[[int], None]) -> list[int]:
        """Delete all jobs that are over except the latest `keep`; their ids."""
        with self._writing():
            sql = f"SELECT id FROM jobs WHERE state IN {OVER} ORDER BY id DESC LIMIT -1 OFFSET ?"
            numbers = [int(row["id"]) for row in self._connection.execute(sql, (keep,))]
            for number in numbers:
                self._forget(number, remove)
        return numbers

    def _forget(self, number: int, remove: Callable[[int], None]) -> None:
        remove(number)
        self._connection.execute(
            "INSERT OR IGNORE INTO deleted_work SELECT run, verb FROM jobs WHERE id = ? AND run IS NOT NULL AND starts > 0",
            (number,),
        )
        self._connection.execute("DELETE FROM jobs WHERE id = ?", (number,))

    def note_spent(self, run: str, run_id: str, settled: int, total: int) -> None:
        """Commit what a run has cost, in picodollars: what is settled, which never becomes less, and the most with the rest.

        Another one that is made under its name later has another `run_id`.
        """
        amounts = (min(settled, _MOST_PICODOLLARS), min(total, _MOST_PICODOLLARS))
        with self._writing():
            self._connection.execute(
                "INSERT INTO spent (run, run_id, settled, picodollars) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
                "SET settled = max(settled, excluded.settled), picodollars = max(settled, excluded.picodollars)",
                (run, run_id, *amounts),
            )

    def hold(self, verbs: Sequence[str], sentence: str) -> None:
        """Say why queued jobs of these verbs wait."""
        marks = ", ".join("?" * len(verbs))
        with self._writing():
            self._connection.execute(
                f"UPDATE jobs SET sentence = ? WHERE state = 'queued' AND verb IN ({marks}) AND sentence IS NOT ?",
                (sentence, *verbs, sentence),
            )

    def release(self, start: str) -> None:
        """Say no longer that queued jobs wait for what a sentence with this start says."""
        with self._writing():
            self._connection.execute(
                "UPDATE jobs SET sentence = NULL WHERE state = 'queued' AND substr(sentence, 1, ?) = ?",
                (len(start), start),
            )

    def _check_room(self, most_queued: int, later: str) -> None:
        [(queued,)] = self._connection.execute("SELECT count(*) FROM jobs WHERE state = 'queued'")
        if queued >= most_queued:
            raise QueueFullError(f"the queue has {queued} jobs, as many as it may; {later} when some have begun")

    def _look_at(self, seconds: float) -> float:
        return self._clock() + min(seconds, LONGEST_LOOK_SECONDS)
