"""The reference transport: httpx, which runs wherever Python does."""

import asyncio
from collections.abc import Mapping

import httpx

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
        """Post `body` and wait for the whole answer."""
        return await self._send("POST", url, headers, body, timeouts)

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Response:
        """Get `url` and wait for the whole answer."""
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
                response = await client.request(method, url, headers=headers, content=body, timeout=limits)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise _retryable(error, url, timeouts) from error
        finally:
            self._idle.append(client)
        return Response(response.status_code, _headers(response), response.content)


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
