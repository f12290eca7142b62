"""The fast transport: pyreqwest, a Rust HTTP client.

Its exceptions do not distinguish a refused connection from a broken one, and report a late first byte as a time-out of the
connection; the chain of causes tells them apart.
"""

import contextlib
from collections.abc import Mapping
from datetime import timedelta

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError, RequestTimeoutError
from pyreqwest.response import Response as PyreqwestResponse

from clairgen.errors import RetryableError
from clairgen.inference.transport import (
    IDLE_SECONDS,
    Response,
    Timeouts,
    is_header_read,
    timed_out,
    torn_connection,
    unreachable,
)


class PyreqwestTransport:
    """See `Transport`."""

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
            .pool_idle_timeout(timedelta(seconds=IDLE_SECONDS))
            .max_connections(None)
            .build()
        )
        return self._clients.setdefault(timeouts, (client, timedelta(seconds=timeouts.total)))


def _headers(response: PyreqwestResponse) -> dict[str, str]:
    """The headers that clairgen reads. One that is not ASCII is left out: it must not cost a paid answer."""
    found: dict[str, str] = {}
    for name in response.headers:
        if is_header_read(name):
            with contextlib.suppress(ValueError):
                found[name] = response.get_header(name) or ""
    return found


def _retryable(error: PyreqwestError, url: str, timeouts: Timeouts) -> RetryableError:
    details = getattr(error, "details", None) or {}
    causes = [cause["message"] for cause in details.get("causes") or []]
    why = causes[-1] if causes else error.message
    if any("(Connect)" in cause for cause in causes):
        return unreachable(url, why)
    if isinstance(error, RequestTimeoutError):
        return timed_out(url, timeouts)
    return torn_connection(url, why)
