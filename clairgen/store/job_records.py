"""A job of a service: what was submitted, where it stands, and why one is not taken."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from clairgen.errors import InputError, UserError


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    """It waits for its turn, also again after the service ended in the middle of it."""
    RUNNING = "running"
    """The worker is at it."""
    WAITING = "waiting"
    """All that is left of it is in batches at a provider, which are looked at from time to time; nobody works on it meanwhile."""
    STOPPING = "stopping"
    """It was cancelled and finishes what is in flight."""
    DONE = "done"
    """It ended; its exit code is 1 where some of its tasks failed."""
    FAILED = "failed"
    """It stopped with an error, which its sentence says."""
    CANCELLED = "cancelled"
    """It was cancelled before its end; what it did is kept."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is done unless the job is resumed."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class QueueFullError(UserError):
    """As many jobs are queued as there may be."""


class OtherRequestError(InputError):
    """An idempotency key was used before, for another request."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to submit. `run` is the run, or another folder, that it works on.

    `target` is the folder that it writes, in which one job at a time does; None for one that writes only files of its own.
    `awaits` are folders that it needs and that were not there yet: it waits for the jobs before it that write them.
    A repeated submission with the same `key` by the same `submitted_by` is the same job if its `request`, as it was sent, is
    the same.
    """

    verb: str
    arguments: Mapping[str, Any]
    run: str | None
    request: Mapping[str, Any]
    submitted_by: str = ""
    key: str | None = None
    target: str | None = None
    awaits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. `writes` is whether it writes the run. `command` is the command line that does the same.

    Times are in UTC. `starts` counts how often the worker began with it, `cancels` how often it was cancelled since, and
    `waits_for` is the job that comes first because it writes the same folder, or one that this job needs, if there is one.
    `sentence` says how it ended, or why it waits; it goes on no earlier than `not_before`, in seconds since 1970. `deaths` counts
    how often in a row the worker ended while it ran, the last time with `committed` on disk.
    """

    id: int
    verb: str
    arguments: Mapping[str, Any]
    run: str | None
    writes: bool
    command: str
    submitted_by: str
    state: JobState
    cancels: int
    starts: int
    submitted_at: str
    started_at: str | None
    ended_at: str | None
    exit_code: int | None
    sentence: str | None
    waits_for: int | None
    not_before: float
    deaths: int
    committed: int

    @property
    def next_look_at(self) -> str | None:
        """When the batches of a waiting job are looked at next, in UTC, ISO 8601; None for a job that does not wait for any."""
        if self.state is not JobState.WAITING:
            return None
        return datetime.datetime.fromtimestamp(self.not_before, datetime.UTC).isoformat(timespec="milliseconds")
