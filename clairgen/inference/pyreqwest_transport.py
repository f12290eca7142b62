"""The fast transport: pyreqwest, a Rust HTTP client.

Its exceptions do not distinguish a refused connection from a broken one, and report a late first byte as a time-out of the
connection; the chain of causes tells them apart.
"""

import contextlib
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import timedelta

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError, RequestTimeoutError
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response as PyreqwestResponse

from clairgen.errors import RetryableError
from clairgen.inference.event_stream import is_event_stream, read_events
from clairgen.inference.transport import (
    IDLE_SECONDS,
    MAX_BODY_BYTES,
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
        """See `Transport`."""
        client, total = self._clients.get(timeouts) or self._opened(timeouts)
        request = client.post(url).headers(headers).body_bytes(body).timeout(total)
        # By default it waits for 64 kB before it shows the beginning, which may be all of a stream that has come to a halt.
        return await _sent(request.streamed_read_buffer_limit(0).build_streamed(), url, timeouts)

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Response:
        """See `Transport`."""
        client, total = self._clients.get(timeouts) or self._opened(timeouts)
        return await _sent(client.get(url).headers(headers).timeout(total).build_streamed(), url, timeouts)

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


async def _sent(request: StreamRequest, url: str, timeouts: Timeouts) -> Response:
    """Send a request and read its answer, all of it or as much as is read."""
    try:
        async with request as response:
            headers = _headers(response)
            if is_event_stream(response.status, headers):
                async with aclosing(_pieces(response, url, timeouts)) as pieces:
                    return await read_events(response.status, headers, pieces, timeouts.first_byte)
            return Response(response.status, headers, await _body(response))
    except (PyreqwestError, TimeoutError) as error:
        raise _retryable(error, url, timeouts) from error


async def _body(response: PyreqwestResponse) -> bytes:
    """The body up to the limit: at once if it cannot be longer, else as the client unpacks it, piece by piece."""
    if _length(response) <= MAX_BODY_BYTES:
        return (await response.bytes()).to_bytes()
    pieces: list[bytes] = []
    left = MAX_BODY_BYTES + 1
    while left and (piece := await response.body_reader.read(left)) is not None:
        pieces.append(piece.to_bytes())
        left -= len(piece)
    return b"".join(pieces)


def _length(response: PyreqwestResponse) -> float:
    """The length of the body, infinite if it is not known: of a packed one the client removes it, in chunks it does not hold."""
    if response.get_header("transfer-encoding") is not None:
        return math.inf
    length = response.get_header("content-length")
    return int(length) if length is not None else math.inf


async def _pieces(response: PyreqwestResponse, url: str, timeouts: Timeouts) -> AsyncGenerator[bytes]:
    """A stream's bytes as they come."""
    try:
        while (piece := await response.body_reader.read_chunk()) is not None:
            yield piece.to_bytes()
    except PyreqwestError as error:
        raise _retryable(error, url, timeouts) from error


def _headers(response: PyreqwestResponse) -> dict[str, str]:
    """The headers that clairgen reads. One that is not ASCII is left out: it must not cost a paid answer."""
    found: dict[str, str] = {}
    for name in response.headers:
        if is_header_read(name):
            with contextlib.suppress(ValueError):
                found[name] = response.get_header(name) or ""
    return found


def _retryable(error: PyreqwestError | TimeoutError, url: str, timeouts: Timeouts) -> RetryableError:
    if not isinstance(error, PyreqwestError):  # a stream without a next event
        return timed_out(url, timeouts)
    details = getattr(error, "details", None) or {}
    causes = [cause["message"] for cause in details.get("causes") or []]
    why = causes[-1] if causes else error.message
    if any("(Connect)" in cause for cause in causes):
        return unreachable(url, why)
    if isinstance(error, RequestTimeoutError):
        return timed_out(url, timeouts)
    return torn_connection(url, why)
