"""Failures of one task, which are recorded, and errors that stop a session."""

import asyncio
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from clairgen.errors import EndpointsError, RequestFailedError, RunStoppedError, UserError

INTERNAL_ERROR: Final = "internal-error"
"""The reason of a task that failed through a fault of clairgen or of a plugin."""
LASTING: Final = frozenset(
    {
        *("blank-prompt", "nul-in-prompt", "surrogate-in-prompt", "too-few-answers", "too-long-to-measure"),
        *("context-overflow", "content-policy", "request-too-large", "truncated"),
    }
)
"""Reasons by which a task fails again for as long as its prompt and the configuration stay as they are."""
_INTERNAL_ERRORS_AT_START = 10
_INTERNAL_ERRORS_LATER = 50


@dataclass(slots=True)
class Stop:
    """A session's stop event, and the first error that set it; None while none did, as when the user stops it."""

    event: asyncio.Event
    error: RunStoppedError | UserError | None = None
    _internal_errors: Counter[str] = field(default_factory=Counter)
    _succeeded: set[str] = field(default_factory=set)

    def because_of(self, error: RunStoppedError | UserError) -> None:
        """Stop the session; of several errors the first is kept."""
        self.error = self.error or error
        self.event.set()

    def succeeded(self, recipe: str) -> None:
        """A task of a recipe was done."""
        self._internal_errors[recipe] = 0
        self._succeeded.add(recipe)

    def failed(self, recipe: str, failure: RequestFailedError) -> None:
        """A task of a recipe failed. Raises EndpointsError when one after the other does through clairgen's own fault."""
        if failure.reason != INTERNAL_ERROR:
            return
        self._internal_errors[recipe] += 1
        count = self._internal_errors[recipe]
        if count >= (_INTERNAL_ERRORS_LATER if recipe in self._succeeded else _INTERNAL_ERRORS_AT_START):
            raise EndpointsError(
                f"{count} tasks of {recipe} in a row failed through a fault of clairgen or of a plugin ({failure.detail}); once "
                "that is fixed, run again with --retry-failed"
            )


def task_failure(error: Exception) -> RequestFailedError:
    """An error as the failure of one task: a fault of clairgen itself must not end a run of days, so it says where it was."""
    if isinstance(error, RequestFailedError):
        return error
    where = traceback.extract_tb(error.__traceback__)[-1]
    detail = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno}); please report this"
    return RequestFailedError(INTERNAL_ERROR, detail)
