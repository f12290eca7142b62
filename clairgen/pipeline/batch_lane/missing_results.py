"""Requests that a batch has no result for: which go into another batch by themselves, and which were perhaps paid for.

Only what the provider says was not processed is requested again. All else may have been answered and billed, so it fails by a
name of its own, is counted at its most, and is requested again only if the user says so.
"""

from collections.abc import Callable, Container, Mapping
from typing import Final

from clairgen.errors import RequestError, RequestFailedError, RetryableError
from clairgen.inference.batch_lines import perhaps_paid
from clairgen.inference.batch_service import ENDED, RemoteBatch
from clairgen.store import Store

_UNFINISHED: Final[Mapping[str, tuple[str, str, int | None]]] = {
    "expired": ("batch-expired", "the batch expired before this request was processed", 0),
    "cancelled": ("batch-cancelled", "the batch was cancelled before this request was processed", 0),
    "failed": ("batch-failed", "the batch failed before this request was processed", None),
}
"""States after which what has no line was not processed: the reason, what is said, what it cost (None if that is not known)."""


_PAID: Final = frozenset(
    {
        *("result-lost", "result-unreadable", "missing-result"),
        *("answer-too-large", "content-filter", "refusal", "tool-call"),
    }
)
"""Reasons of requests that were probably paid for, and failed all the same."""


class PaidFailures:
    """Requests that failed so in an earlier session, of which the task may not know, since it waited no longer or was killed.

    They are requested again only if this session `retries` what failed, and once.
    """

    def __init__(self, store: Store, *, retries: bool) -> None:
        self._store = store
        self._retries = retries
        self._tried_again = set[str]()

    async def of(self, key: str, failures: Container[str]) -> RequestFailedError | None:
        """The failure of a request, of which `failures` are all in batches; None where it is requested as any other."""
        if not any(reason in failures for reason in _PAID):
            return None
        attempt = await self._store.batches.last_attempt(key)
        if attempt is None or attempt.reason not in _PAID:
            return None
        if self._retries and key not in self._tried_again:
            self._tried_again.add(key)
            return None
        return RequestFailedError(attempt.reason, attempt.detail, status=attempt.status, billed=attempt.billed)


def missing(remote: RemoteBatch | None, *, lost: bool) -> tuple[Callable[[], RequestError], int | None]:
    """Why a request has no line in a batch, and what that cost, None if it is not known.

    `remote` is the batch as it is in the end, None if the provider has lost it; `lost` is whether results are known to be gone.
    """
    if remote is None:
        return _perhaps_paid("result-lost", "the provider does not know this batch any more"), None
    if lost:
        return _perhaps_paid("result-lost", "the provider does not have the results"), None
    if remote.status not in ENDED:
        return _perhaps_paid("result-lost", f"the batch is {remote.status}, long after its expiry"), None
    if remote.status in _UNFINISHED:
        reason, said, cost = _UNFINISHED[remote.status]
        return never_processed(reason, said), cost
    said = f"the batch is {remote.status} and has no line for this request, which the provider does not explain"
    return _perhaps_paid("missing-result", said), None


def never_processed(reason: str, said: str) -> Callable[[], RequestError]:
    """Errors of requests that the provider did not get to."""
    return lambda: RetryableError(reason, said)


def _perhaps_paid(reason: str, said: str) -> Callable[[], RequestError]:
    return lambda: perhaps_paid(reason, said)
