"""The seam to the network: one POST, bytes to bytes. Everything above it can be tested with another transport.

pyreqwest does the work: a Rust client that costs 0.04 ms of CPU a call where httpx costs 2 to 9, however many connections
are open. Its exceptions do not tell a refused connection from a torn one; the chain of causes does.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError, RequestTimeoutError
from pyreqwest.response import Response as AnyResponse

from clairgen.errors import RetryableError

_CONNECT_SECONDS = 15
_IDLE_SECONDS = 60
_HEADERS = ("content-type", "retry-after")


@dataclass(frozen=True, slots=True)
class Response:
    """What came over the wire: of the headers those that clairgen reads, by names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Sends one request. Raises RetryableError: `unreachable` (nothing was sent), `timed-out` or `torn-connection`."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> Response:
        """Post `body` and wait for the whole answer, at most `timeout_seconds`."""

    async def close(self) -> None:
        """Close all connections."""


class HttpTransport:
    """Transport over HTTP/1.1 and HTTP/2, connections kept alive."""

    def __init__(self) -> None:
        self._client: Client = (
            ClientBuilder()
            .error_for_status(False)
            .follow_redirects(False)
            .connect_timeout(timedelta(seconds=_CONNECT_SECONDS))
            .pool_idle_timeout(timedelta(seconds=_IDLE_SECONDS))
            .max_connections(None)
            .build()
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> Response:
        """Post `body` and wait for the whole answer, at most `timeout_seconds`."""
        request = (
            self._client.post(url).headers(headers).body_bytes(body).timeout(timedelta(seconds=timeout_seconds)).build()
        )
        try:
            response = await request.send()
            answer = bytes(await response.bytes())
        except PyreqwestError as error:
            raise _retryable(error, url, timeout_seconds) from error
        return Response(response.status, _headers(response), answer)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def _headers(answered: AnyResponse) -> dict[str, str]:
    """The headers that clairgen reads. One that is not ASCII is left out: it must not cost a paid answer."""
    found: dict[str, str] = {}
    for name in _HEADERS:
        with contextlib.suppress(ValueError):
            if (value := answered.get_header(name)) is not None:
                found[name] = value
    return found


def _retryable(error: PyreqwestError, url: str, timeout_seconds: float) -> RetryableError:
    details = getattr(error, "details", None) or {}
    causes = [cause["message"] for cause in details.get("causes") or []]
    why = causes[-1] if causes else error.message
    if any("(Connect)" in cause for cause in causes):
        return RetryableError("unreachable", f"no connection to {url}: {why}")
    if isinstance(error, RequestTimeoutError):
        return RetryableError("timed-out", f"no whole answer from {url} within {timeout_seconds:g} s", billed=True)
    return RetryableError("torn-connection", f"the connection to {url} broke off: {why}", billed=True)
