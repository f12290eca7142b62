"""Batches that a provider refuses after looking at their lines: which requests go into another one, in which parts."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import orjson

from clairgen.errors import EndpointsError, RequestError, RequestFailedError, RetryableError, RunStoppedError, UserError
from clairgen.pipeline.batch_lane.batch_results import BatchResults
from clairgen.pipeline.batch_lane.collection import batch_file
from clairgen.pipeline.batch_lane.lifecycle import BatchRefusedError, OpenBatch
from clairgen.store import BatchRecord

_REFUSED_IN_A_ROW: Final = 20
_TOO_MUCH_WAITS: Final = "token_limit_exceeded"
_ALONE_TRIES: Final = 3
_OF_LINES: Final = frozenset(
    {
        *("duplicate_custom_id", "invalid_custom_id", "invalid_json_line", "invalid_method", "invalid_request"),
        *("invalid_url", "mismatched_model", "missing_required_parameter", "model_mismatch", "too_many_requests"),
        *("too_many_tasks", "file_too_large", _TOO_MUCH_WAITS),
    }
)
"""Why a provider refuses a file for some of its lines, or for how many they are: parts of it may be taken."""


class Refusals:
    """The refusals of a session; `parts` says which part of a refused batch a request belongs to, by its key."""

    def __init__(self, folder: Path) -> None:
        self.parts: dict[str, str] = {}
        self._folder = folder
        self._in_a_row = Counter[str]()
        self._alone_tries = Counter[str]()

    def accepted(self, role: str) -> None:
        """A batch of this role was not refused."""
        self._in_a_row[role] = 0

    async def waited_for_others(self, open_batch: OpenBatch, error: BatchRefusedError) -> bool:
        """Whether a batch may be created again: it was refused for all that waits at the provider, of which there is less now."""
        if {refusal.code for refusal in error.refusals} != {_TOO_MUCH_WAITS}:
            return False
        account, identity = open_batch.account, open_batch.batch.id
        account.enqueued.give_back(identity)
        if account.enqueued.others(identity):
            await account.enqueued.changed_for(identity)
        elif self._alone_tries[identity] < _ALONE_TRIES:
            self._alone_tries[identity] += 1
            await account.sleep(account.longest_poll_seconds)
        else:
            return False
        await open_batch.submit_again()
        return True

    async def settle(
        self,
        open_batch: OpenBatch,
        error: BatchRefusedError,
        results: BatchResults,
        fail: Callable[[RunStoppedError | UserError], None],
    ) -> None:
        """Have the requests of a refused batch collected again in parts, until the one that is refused is alone.

        `fail` is given an EndpointsError where that would not help.
        """
        batch, said, keys = open_batch.batch, str(error), list(results.waiting)
        retryable: Callable[[], RequestError] = lambda: RetryableError("batch-refused", said, status=400)  # noqa: E731
        failure = retryable
        if open_batch.created_before:
            pass  # what was in the way then may be gone by now
        elif self._is_hopeless(batch.role, error):
            fail(EndpointsError(f"the provider does not take the batches of {batch.role!r}: {said}"))
        elif len(keys) > 1:
            self.parts |= await asyncio.to_thread(self._divided, batch, keys, error)
        else:
            failure = lambda: RequestFailedError("batch-refused", said, status=400)  # noqa: E731
        await results.fail_rest(failure, cost=0)
        await open_batch.end("failed", said)

    def _is_hopeless(self, role: str, error: BatchRefusedError) -> bool:
        """Whether a batch was refused for what all have, or one after the other was."""
        self._in_a_row[role] += 1
        of_lines = bool(error.refusals) and all(one.code in _OF_LINES or one.line is not None for one in error.refusals)
        return not of_lines or self._in_a_row[role] >= _REFUSED_IN_A_ROW

    def _divided(self, batch: BatchRecord, keys: Sequence[str], error: BatchRefusedError) -> dict[str, str]:
        """The part for each request: what the provider points at apart from the rest, else the halves."""
        named = {refusal.line for refusal in error.refusals}
        suspects = set[str]()
        file = batch_file(self._folder, batch.id)
        if named != {None} and file.exists():
            with file.open("rb") as lines:
                suspects = {orjson.loads(line)["custom_id"] for number, line in enumerate(lines, 1) if number in named}
        if not suspects or len(suspects) >= len(keys):
            suspects = set(keys[: len(keys) // 2])
        return {key: f"{batch.id}-{'first' if key in suspects else 'rest'}" for key in keys}
