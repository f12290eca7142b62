"""A provider's service for batches, as the lane sees it: files up, batches created, looked at and listed, results down.

Every call raises RequestError: RetryableError where nothing is known of what became of it, or the server is at fault;
UnusableEndpointError where it would never be accepted.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from clairgen.errors import RequestError, RetryableError, UnusableEndpointError
from clairgen.inference.announced_limits import retry_after_seconds
from clairgen.inference.rejection_rules import AtFault
from clairgen.inference.rejections import ErrorBody, classified, error_body

RUNNING: Final = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
"""States after which others follow."""
ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
"""States that stay. Whatever is in neither set is not understood, and nothing is concluded from it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a batch failed its validation, in the provider's words; `line` of the file, from 1, where it names one."""

    code: str
    message: str
    line: int | None


@dataclass(frozen=True, slots=True)
class RemoteBatch:
    """A batch as the provider describes it; times are its own, in seconds. `completed` and `failed` are what it counts.

    Where the provider keeps nothing by which a batch could be known, `anonymous_requests` is how many requests it has.
    """

    id: str
    status: str
    tag: str | None
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    refusals: Sequence[Refusal] = ()
    created_at: float | None = None
    expires_at: float | None = None
    completed: int | None = None
    failed: int | None = None
    anonymous_requests: int | None = None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at the provider; `bytes` is None where it does not say."""

    id: str
    name: str
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Tags:
    """What a batch is found by again: `batch` in its metadata under `KEY`, and in its file's name; `others` are for people."""

    KEY = "clairgen_batch"
    batch: str
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """The name of the batch's file."""
        return f"clairgen-{self.batch}.jsonl"


Arguments = ParamSpec("Arguments")
Listed = TypeVar("Listed", RemoteBatch, RemoteFile)


def rejected_call(
    status: int,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    what: str,
    now_seconds: float,
) -> RequestError:
    """A rejection as one of the service: what it says of one prompt it says of a whole file, so it is never a prompt's fault."""
    found = error_body(body) or ErrorBody("no explanation", frozenset(), None)
    rejection = classified(status, found)
    said = f"HTTP {status}: {rejection.said}"
    if rejection.fault in (AtFault.SERVER, AtFault.RATE):
        lower = {name.lower(): value for name, value in headers.items()}
        wait = retry_after_seconds(lower, now_seconds)
        return RetryableError(rejection.reason, said, status=status, retry_after_seconds=wait)
    hint = f"; {rejection.hint}" if rejection.hint else ""
    return UnusableEndpointError(f"it does not {what}: {said}{hint}", status, rejection.reason)


def until_repeated(
    listing: Callable[Arguments, AsyncGenerator[Listed, None]],
) -> Callable[Arguments, AsyncGenerator[Listed, None]]:
    """A listing that ends where it would begin again: a server that knows no pages sends the first for ever."""

    @wraps(listing)
    async def listed(*args: Arguments.args, **kwargs: Arguments.kwargs) -> AsyncGenerator[Listed, None]:
        seen = set[str]()
        async with aclosing(listing(*args, **kwargs)) as found:
            async for one in found:
                if one.id in seen:
                    return
                seen.add(one.id)
                yield one

    return listed


class BatchService(Protocol):
    """Batches at one base URL under one key."""

    async def upload(self, path: Path, tags: Tags) -> RemoteFile:
        """Upload a file of requests."""

    async def create(self, file_id: str, tags: Tags) -> RemoteBatch:
        """Create a batch of an uploaded file."""

    async def retrieve(self, batch_id: str) -> RemoteBatch:
        """A batch as it is now."""

    async def cancel(self, batch_id: str) -> RemoteBatch:
        """Ask for a batch to be cancelled; what it has finished stays."""

    def batches(self) -> AsyncGenerator[RemoteBatch, None]:
        """All batches of the account, the newest first."""

    def files(self) -> AsyncGenerator[RemoteFile, None]:
        """All files of the account that were uploaded for batches, the newest first."""

    async def size(self, file_id: str) -> int | None:
        """How many bytes a file has, None where the provider does not say."""

    def content(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a file, in pieces."""

    async def close(self) -> None:
        """Close all connections."""
