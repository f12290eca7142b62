"""The seam to the network: bytes to bytes. Everything above it can be tested with another transport.

pyreqwest does the work: a Rust client that costs 0.04 ms of CPU a call where httpx costs 2 to 9, however many connections
are open. Its exceptions do not tell a refused connection from a torn one, and call a first byte that is late a time-out of
the connection; the chain of causes tells them apart. HTTP/1.1 on purpose:
over HTTP/2 all asks share one connection, which providers hold to about 100 streams, and one tear would cost all of them.
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

_IDLE_SECONDS = 60
_LIMITS = "x-ratelimit-"
_HEADERS = ("content-type", "retry-after")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds: for the connection, for the first byte and then for each further one, for the whole."""

    connect: float = 15.0
    first_byte: float = 600.0
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class Response:
    """What came over the wire: of the headers those that clairgen reads, by names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Sends one request. Raises RetryableError: `unreachable` (nothing was sent), `timed-out` or `torn-connection`."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Response:
        """Post `body` and wait for the whole answer."""

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Response:
        """Get `url` and wait for the whole answer."""

    async def close(self) -> None:
        """Close all connections."""


class HttpTransport:
    """Transport over HTTP/1.1, connections kept alive."""

    def __init__(self) -> None:
        self._clients: dict[Timeouts, tuple[Client, timedelta]] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Response:
        """Post `body` and wait for the whole answer."""
        client, total = self._clients.get(timeouts) or self._opened(timeouts)
        request = client.post(url).headers(headers).body_bytes(body).timeout(total).build()
        try:
            response = await request.send()
            answer = (await response.bytes()).to_bytes()
        except PyreqwestError as error:
            raise _retryable(error, url, timeouts) from error
        return Response(response.status, _headers(response), answer)

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Response:
        """Get `url` and wait for the whole answer."""
        client, total = self._clients.get(timeouts) or self._opened(timeouts)
        try:
            response = await client.get(url).headers(headers).timeout(total).build().send()
            answer = (await response.bytes()).to_bytes()
        except PyreqwestError as error:
            raise _retryable(error, url, timeouts) from error
        return Response(response.status, _headers(response), answer)

    async def close(self) -> None:
        """Close all connections."""
        for client, _ in self._clients.values():
            await client.close()

    def _opened(self, timeouts: Timeouts) -> tuple[Client, timedelta]:
        """A client with these time-outs: connect and read time-outs belong to a client, not to a request."""
        client = (
            ClientBuilder()
            .error_for_status(False)
            .follow_redirects(False)
            .connect_timeout(timedelta(seconds=timeouts.connect))
            .read_timeout(timedelta(seconds=timeouts.first_byte))
            .pool_idle_timeout(timedelta(seconds=_IDLE_SECONDS))
            .max_connections(None)
            .build()
        )
        return self._clients.setdefault(timeouts, (client, timedelta(seconds=timeouts.total)))


def _headers(answered: AnyResponse) -> dict[str, str]:
    """The headers that clairgen reads. One that is not ASCII is left out: it must not cost a paid answer."""
    found: dict[str, str] = {}
    for name in answered.headers:
        if name in _HEADERS or name.startswith(_LIMITS):
            with contextlib.suppress(ValueError):
                found[name] = answered.get_header(name) or ""
    return found


def _retryable(error: PyreqwestError, url: str, timeouts: Timeouts) -> RetryableError:
    details = getattr(error, "details", None) or {}
    causes = [cause["message"] for cause in details.get("causes") or []]
    why = causes[-1] if causes else error.message
    if any("(Connect)" in cause for cause in causes):
        return RetryableError("unreachable", f"no connection to {url}: {why}")
    if isinstance(error, RequestTimeoutError):
        limits = f"{timeouts.first_byte:g} s for a next byte, {timeouts.total:g} s for all of it"
        return RetryableError("timed-out", f"no answer from {url} in time ({limits})", billed=True)
    return RetryableError("torn-connection", f"the connection to {url} broke off: {why}", billed=True)
