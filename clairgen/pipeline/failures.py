"""Failures of one task, which are recorded, and errors that stop a session."""

import asyncio
import traceback
from dataclasses import dataclass

from clairgen.errors import RequestFailedError, RunStoppedError, UserError


@dataclass(slots=True)
class Stop:
    """A session's stop event, and the first error that set it; None while none did, as when the user stops it."""

    event: asyncio.Event
    error: RunStoppedError | UserError | None = None

    def because_of(self, error: RunStoppedError | UserError) -> None:
        """Stop the session; of several errors the first is kept."""
        self.error = self.error or error
        self.event.set()


def task_failure(error: Exception) -> RequestFailedError:
    """An error as the failure of one task: a fault of clairgen itself must not end a run of days, so it says where it was."""
    if isinstance(error, RequestFailedError):
        return error
    where = traceback.extract_tb(error.__traceback__)[-1]
    detail = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno}); please report this"
    return RequestFailedError("internal-error", detail)
