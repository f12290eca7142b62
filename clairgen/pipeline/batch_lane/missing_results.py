"""Requests that a batch has no result for: which go into another batch by themselves, and which were perhaps paid for.

Only what the provider says was not processed is requested again. All else may have been answered and billed, so it fails by a
name of its own, is counted at its most, and is requested again only if the user says so.
"""

from collections.abc import Callable, Mapping
from typing import Final

from clairgen.errors import RequestError, RequestFailedError, RetryableError
from clairgen.inference.batch_service import ENDED, RemoteBatch

_UNFINISHED: Final[Mapping[str, tuple[str, str, int | None]]] = {
    "expired": ("batch-expired", "the batch expired before this request was processed", 0),
    "cancelled": ("batch-cancelled", "the batch was cancelled before this request was processed", 0),
    "failed": ("batch-failed", "the batch failed before this request was processed", None),
}
"""States after which what has no line was not processed: the reason, what is said, what it cost (None if that is not known)."""


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
    detail = f"{said}; the request is sent again only if you say so, since it was probably paid for"
    return lambda: RequestFailedError(reason, detail, billed=True)
