"""The boundary to the network: bytes out, bytes in. Everything above it can be tested with another transport.

There are two implementations. `HttpxTransport` is the reference: pure Python, so it runs on every platform. `PyreqwestTransport`
is the fast path, a Rust client that takes 0.06 ms of processor time per request where httpx takes 0.8; it is used wherever it is
installed, which is wherever it has a wheel.

What both guarantee: HTTP/1.1 (over HTTP/2 all requests would share one connection, which providers limit to about 100 streams,
and one broken connection would lose all of them), connections kept alive, no redirects, and the
proxies of the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), since on some clusters they are the only way out. Bodies are
read in chunks, unpacked, up to `MAX_BODY_BYTES`: a longer one, however small it was packed, is never in memory. A good answer
of the type `text/event-stream` is read as a stream, whether one was requested or not (`event_stream`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from clairgen.errors import RetryableError

IDLE_SECONDS = 60
"""How long an unused connection is kept open."""
MAX_BODY_BYTES = 8_000_000
"""The longest body that is read, unpacked: two million tokens. Measuring and filtering more would delay everything else."""
TIER_HEADER = "x-gemini-service-tier"
"""In which Gemini says the service tier that it used."""
_HEADERS_READ = ("content-type", "retry-after", "retry-after-ms", TIER_HEADER)
_RATE_LIMIT_HEADERS = "x-ratelimit-"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds: for the connection, for the first byte and then for each further one, for the whole.

    Of a stream each event counts as such a byte, while comments that keep the connection open do not.
    """

    connect: float = 15.0
    first_byte: float = 600.0
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class Response:
    """What was received; of the headers only those that clairgen reads, by their names in lower case.

    A body that is longer than `MAX_BODY_BYTES` was cut off one byte after them. Of a stream of events the body is that of the
    same answer without streaming; `repaired` is whether bytes in it that are not UTF-8 were replaced, `is_whole` whether it
    ended as streams end, with `[DONE]`.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    repaired: bool = False
    is_whole: bool = True


class Transport(Protocol):
    """Sends single requests.

    Raises RetryableError with the reason `unreachable` (nothing was sent), `timed-out` or `torn-connection`; the last two may
    have been billed. For streams see `read_events`.
    """

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Response:
        """Post `body` and wait for the whole answer, or as much of it as is read."""

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Response:
        """Get `url` and wait for the whole answer, or as much of it as is read."""

    async def close(self) -> None:
        """Close all connections."""


def is_header_read(name: str) -> bool:
    """Whether clairgen reads the header of this name, in lower case."""
    return name in _HEADERS_READ or name.startswith(_RATE_LIMIT_HEADERS)


def unreachable(url: str, why: str) -> RetryableError:
    """No connection was made, so nothing was sent."""
    return RetryableError("unreachable", f"no connection to {url}: {why}")


def timed_out(url: str, timeouts: Timeouts) -> RetryableError:
    """The request was sent, or may have been, and the answer took too long."""
    limits = f"{timeouts.first_byte:g} s for a next byte, {timeouts.total:g} s for all of it"
    return RetryableError("timed-out", f"no answer from {url} in time ({limits})", billed=True)


def torn_connection(url: str, why: str) -> RetryableError:
    """The connection ended before the whole answer was received."""
    return RetryableError("torn-connection", f"the connection to {url} broke off: {why}", billed=True)
