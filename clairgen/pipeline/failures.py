"""Failures of one task, which are recorded, what would help against them, and errors that stop a session."""

import asyncio
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from clairgen.errors import EndpointsError, RequestFailedError, RunStoppedError, UserError
from clairgen.wording import counted

INTERNAL_ERROR: Final = "internal-error"
"""The reason of a task that failed through a fault of clairgen or of a plugin."""
_CONTEXT: Final = "a model with a longer context, a smaller max_tokens, or shorter prompts"
_CONTENT: Final = "another model or provider, or leave these tasks out"
_DATA: Final = "correct these rows of the data set; corrected ones are new tasks"
_TOKENS: Final = "a larger max_tokens"
_NEEDED: Final = {
    "answer-too-large": "a smaller max_tokens",
    "bad-request": "what the server says",
    "blank-prompt": _DATA,
    "content-filter": _CONTENT,
    "content-policy": _CONTENT,
    "context-overflow": _CONTEXT,
    "no-score": "an `api` that gives this reward model's scores",
    "nul-in-prompt": _DATA,
    "only-thinking": "another seed or model",
    "refusal": _CONTENT,
    "request-too-large": _CONTEXT,
    "score-not-a-number": "a reward model that gives finite numbers",
    "several-scores": "a reward model that gives one number",
    "surrogate-in-prompt": _DATA,
    "too-few-answers": _DATA,
    "too-long-to-measure": "a smaller max_tokens",
    "tool-call": "another seed or model",
    "truncated": _TOKENS,
    "truncated-turn": _TOKENS,
    "unusable-turn": "another seed or model",
}
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


def needed_change(reason: str) -> str | None:
    """What has to change before tasks that failed for this reason can succeed; None if they may succeed as they are."""
    return "what the server says" if reason.startswith("http-") else _NEEDED.get(reason)


def retry_sentences(counts: Mapping[str, int], again: str) -> list[str]:
    """How many failed tasks, counted by reason, may succeed when they are tried again, and what the others need.

    `again` is the command that continues the run.
    """
    hopeless = {reason: count for reason, count in counts.items() if needed_change(reason) is not None}
    failed, lost = sum(counts.values()), sum(hopeless.values())
    sentences = []
    if failed > lost:
        first = f"{counted(failed - lost, 'failed task')} may succeed without a change; try" if lost else "Try them"
        sentences.append(f"{first} again with: {again} --retry-failed")
    if lost:
        needs = "; ".join(f"{count:,} {reason}: {needed_change(reason)}" for reason, count in hopeless.items())
        which = counted(lost, "other failed task" if failed > lost else "failed task")
        sentences.append(f"{which} would fail again unless something changes ({needs}); then add --retry-failed.")
    return sentences


def task_failure(error: Exception) -> RequestFailedError:
    """An error as the failure of one task: a fault of clairgen itself must not end a run of days, so it says where it was."""
    if isinstance(error, RequestFailedError):
        return error
    where = traceback.extract_tb(error.__traceback__)[-1]
    detail = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno}); please report this"
    return RequestFailedError(INTERNAL_ERROR, detail)
