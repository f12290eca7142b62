"""The reference transport: httpx, which runs wherever Python does."""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import httpx

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

_GZIP = 31  # zlib's number for the format
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE_BYTES = 1 << 20
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)


class HttpxTransport:
    """See `Transport`. `trust_env` is on: proxies and certificates are those of the environment, as for pyreqwest.

    Each request in flight has a client of its own. The connection pool of one client looks at all of its connections for every
    event: with 256 of them a request takes 50 ms of processor time, with one it takes about 1 ms.
    """

    def __init__(self) -> None:
        self._certificates = httpx.create_ssl_context(trust_env=True)  # slow to make, so that all clients share it
        self._clients: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Response:
        """See `Transport`."""
        return await self._send("POST", url, headers, body, timeouts)

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Response:
        """See `Transport`."""
        return await self._send("GET", url, headers, None, timeouts)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.aclose()

    def _opened(self) -> httpx.AsyncClient:
        limits = httpx.Limits(keepalive_expiry=IDLE_SECONDS)
        client = httpx.AsyncClient(verify=self._certificates, limits=limits, follow_redirects=False, trust_env=True)
        self._clients.append(client)
        return client

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> Response:
        limits = httpx.Timeout(timeouts.first_byte, connect=timeouts.connect, pool=None)
        client = self._idle.pop() if self._idle else self._opened()
        try:
            async with asyncio.timeout(timeouts.total):  # httpx has no limit for the whole
                asked = {**headers, "accept-encoding": "gzip"}
                async with client.stream(method, url, headers=asked, content=body, timeout=limits) as response:
                    read = _headers(response)
                    if is_event_stream(response.status_code, read):
                        async with aclosing(_stream(response, url, timeouts)) as pieces:
                            return await read_events(response.status_code, read, pieces, timeouts.first_byte)
                    return Response(response.status_code, read, await _body(response))
        except (httpx.HTTPError, httpx.InvalidURL, zlib.error, TimeoutError) as error:
            raise _retryable(error, url, timeouts) from error
        finally:
            self._idle.append(client)


async def _body(response: httpx.Response) -> bytes:
    """The body up to the limit."""
    body = bytearray()
    async with aclosing(_unpacked(response)) as pieces:
        async for piece in pieces:
            body += piece[: MAX_BODY_BYTES + 1 - len(body)]
            if len(body) > MAX_BODY_BYTES:
                break
    return bytes(body)


async def _stream(response: httpx.Response, url: str, timeouts: Timeouts) -> AsyncGenerator[bytes]:
    """A stream's bytes as they come."""
    try:
        async with aclosing(_unpacked(response)) as pieces:
            async for piece in pieces:
                yield piece
    except (httpx.HTTPError, zlib.error) as error:
        raise _retryable(error, url, timeouts) from error


async def _unpacked(response: httpx.Response) -> AsyncGenerator[bytes]:
    """Pieces of at most a megabyte. httpx would unpack a whole one at once, which can be a thousand times as long."""
    packed = response.headers.get("content-encoding", "").strip().lower() in ("gzip", "x-gzip")
    unpacking = zlib.decompressobj(_GZIP)
    async for piece in response.aiter_raw():
        if not packed:
            yield piece
            continue
        while piece:
            if unpacking.eof and piece.startswith(_GZIP_MAGIC):  # some servers pack each piece by itself
                unpacking = zlib.decompressobj(_GZIP)
            yield unpacking.decompress(piece, _PIECE_BYTES)
            piece = unpacking.unconsumed_tail
            if unpacking.unused_data.startswith(_GZIP_MAGIC):
                piece = unpacking.unused_data
    if packed and not unpacking.eof:
        raise httpx.DecodingError("the gzip data end too early")


def _headers(response: httpx.Response) -> dict[str, str]:
    """The headers that clairgen reads, unless they are not ASCII."""
    return {name: value for name, value in response.headers.items() if is_header_read(name) and value.isascii()}


def _retryable(error: Exception, url: str, timeouts: Timeouts) -> RetryableError:
    why = str(error) or type(error).__name__
    if isinstance(error, _NOTHING_SENT):
        return unreachable(url, why)
    if isinstance(error, (TimeoutError, httpx.TimeoutException)):
        return timed_out(url, timeouts)
    return torn_connection(url, why)
