"""How much each client may ask of the service, so that a crawler or a storm of votes does not stop the others.

A client is a token's owner, or an address where no token is needed. Behind a proxy all addresses are the proxy's.
"""

import hashlib
import ipaddress
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

_MOST_KNOWN: Final = 10_000
_MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Of each client: requests and wrong tokens in a minute, requests at once, and streams of events among these."""

    requests_per_minute: int = 1200
    wrong_tokens_per_minute: int = 20
    at_once: int = 48
    streams: int = 12


class Buckets:
    """A bucket of permits for each client, with at most `burst` in it; the last clients are remembered."""

    def __init__(self, per_minute: int, burst: float, clock: Callable[[], float]) -> None:
        self._rate = per_minute / _MINUTE
        self._most = max(1.0, burst)
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, client: str) -> float:
        """How long until the client has a permit; 0 if it has one."""
        return max(0.0, (1 - self._left(client)) / self._rate)

    def take(self, client: str) -> None:
        """Take a permit, whether there is one or not."""
        left = max(0.0, self._left(client) - 1)
        self._known[client] = (left, self._clock())
        self._known.move_to_end(client)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def _left(self, client: str) -> float:
        left, at = self._known.get(client, (self._most, 0.0))
        return min(self._most, left + (self._clock() - at) * self._rate)


class Clients:
    """What each client asks for now and has asked for lately."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._requests = Buckets(limits.requests_per_minute, limits.requests_per_minute / 4, clock)
        self._wrong_tokens = Buckets(limits.wrong_tokens_per_minute, limits.wrong_tokens_per_minute, clock)
        self._valid: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self._open: Counter[str] = Counter()

    def too_many_requests(self, client: str) -> int | None:
        """Count a request; if it is one too many, the seconds after which the client may ask again."""
        wait = self._requests.seconds_to_wait(client)
        if wait == 0:
            self._requests.take(client)
        return math.ceil(wait) or None

    def too_many_wrong_tokens(self, address: str, token: str, *, is_valid: bool) -> int | None:
        """Count a wrong token of an address; seconds to wait if there were too many.

        Valid ones have to wait then too, so that nothing can be found out by trying, but for those that came from there before.
        """
        known = (address, hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest())
        if is_valid and known in self._valid:
            return None
        if (wait := self._wrong_tokens.seconds_to_wait(address)) > 0:
            return math.ceil(wait)
        if not is_valid:
            self._wrong_tokens.take(address)
            return None
        self._valid[known] = None
        while len(self._valid) > _MOST_KNOWN:
            self._valid.popitem(last=False)
        return None

    @contextmanager
    def answering(self, client: str, *, is_stream: bool) -> Iterator[bool]:
        """Hold one of the client's requests at once; whether there was one left."""
        kinds = [(client, self._limits.at_once), *([(f"{client} stream", self._limits.streams)] if is_stream else [])]
        if any(self._open[name] >= most for name, most in kinds):
            yield False
            return
        self._open.update(name for name, _ in kinds)
        try:
            yield True
        finally:
            self._open.subtract(name for name, _ in kinds)
            for name, _ in kinds:
                if self._open[name] <= 0:
                    del self._open[name]


def network_of(address: str) -> str:
    """An address by which a client is counted: of IPv6 the network, in which one client may have all addresses."""
    try:
        six = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(six.ipv4_mapped or ipaddress.IPv6Network((six, 64), strict=False))
