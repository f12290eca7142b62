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

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=IDLE_SECONDS)
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)


class HttpxTransport:
    """See `Transport`. `trust_env` is on: proxies and certificates are those of the environment, as for pyreqwest."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(limits=_LIMITS, follow_redirects=False, trust_env=True)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Response:
        """Post `body` and wait for the whole answer."""
        return await self._send("POST", url, headers, body, timeouts)

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Response:
        """Get `url` and wait for the whole answer."""
        return await self._send("GET", url, headers, None, timeouts)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> Response:
        limits = httpx.Timeout(timeouts.first_byte, connect=timeouts.connect, pool=None)
        try:
            async with asyncio.timeout(timeouts.total):  # httpx has no limit for the whole
                response = await self._client.request(method, url, headers=headers, content=body, timeout=limits)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise _retryable(error, url, timeouts) from error
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
