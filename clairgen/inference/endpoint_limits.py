"""What a server limits, the slots and the rate of an endpoint, and whose turn it is among the sessions that send there.

Without shared limits each role of a session has such an object to itself, and it is always its turn. Sessions that share one
take turns by start-time fair queueing (Goyal, Vin and Cheng, 1996): the next is the session that has taken least of the rate
limit, and among equals the one with fewest requests in flight. So where the rate is short each has about the same part of it,
and where the slots are short the same number of them; the roles of one session take turns too. Whoever had nothing to send is
owed nothing for that time. Whoever cannot send for a reason of its own does not wait here, and keeps nobody waiting.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from clairgen.inference.announced_limits import RateLimits
from clairgen.inference.concurrency import ConcurrencyLimit
from clairgen.inference.rate_limit import RateLimiter


@dataclass(slots=True, eq=False)
class Share:
    """What one session has of an endpoint's limits: requests `in_flight`, and where its latest one ends in the order of all.

    The order is in seconds in which the rate limit refills what was taken; without a rate limit they are all 0.
    """

    in_flight: int = 0
    taken_seconds: float = 0.0


@dataclass(slots=True, eq=False)
class Contender:
    """A role of a session that sends to an endpoint, and the number of its last turn there."""

    share: Share
    last_turn: int = 0


class EndpointLimits:
    """The slots and the rate limiter of an endpoint; `in_flight` counts the requests of all that send there.

    `most_ever` is how many those may be, whatever limit holds now.
    """

    def __init__(self, concurrency: ConcurrencyLimit, rate_limiter: RateLimiter) -> None:
        self.concurrency = concurrency
        self.rate_limiter = rate_limiter
        self.in_flight = 0
        self.most_ever = concurrency.maximum
        self._permit_at: float | None = None
        self._waiting: dict[Contender, Callable[[], None]] = {}
        self._virtual_seconds = 0.0  # where the latest request begins in that order
        self._first: Contender | None = None  # once it is known who comes first
        self._turns = 0
        self._waking = False

    def configure(
        self, rate: RateLimits, burst: float, concurrency: int | None, most: int, *, at_once: bool = False
    ) -> None:
        """Keep to other configured limits from now on; `at_once` is whether all further slots may be taken now."""
        if self._permit_at is not None:
            self.rate_limiter.take_back()
        self.rate_limiter.configure(rate, burst)
        self.concurrency.configure(concurrency, most, at_once=at_once)
        self.most_ever = max(self.most_ever, self.concurrency.maximum)
        self._permit_at = None
        self._wake_next()

    @property
    def waiting(self) -> int:
        """How many roles would send now but for these limits."""
        return len(self._waiting)

    def open_until(self, at: float) -> None:
        """Let requests be sent until this time by the clock of leases, and none from then on."""
        self.rate_limiter.closes_at = at
        self._wake_next()

    def permit_at(self) -> float:
        """When the next request may be sent by the rate limit; whoever's turn it is then takes the permit."""
        limiter = self.rate_limiter
        if limiter.is_closed:
            return math.inf
        if self._permit_at is None or self._permit_at < limiter.paused_until:
            self._permit_at = limiter.next_permit()  # permits from before a pause would all become valid at its end
        return max(self._permit_at, limiter.paused_until)

    def acquire(self, tokens: int) -> None:
        """Take a slot, and the permit that was waited for."""
        self.in_flight += 1
        self._permit_at = None
        self.rate_limiter.sent(tokens)

    def count_turn(self, contender: Contender, tokens: int) -> None:
        """What was acquired was shared, and this one took it."""
        share = contender.share
        start = max(share.taken_seconds, self._virtual_seconds)
        self._virtual_seconds = start
        share.taken_seconds = start + self.rate_limiter.seconds_of(tokens)
        share.in_flight += 1
        self._turns += 1
        contender.last_turn = self._turns
        self._wake_next()

    def gave_back(self, contender: Contender) -> None:
        """A slot that this one had is free."""
        contender.share.in_flight -= 1
        self._wake_next()

    def is_turn_of(self, contender: Contender) -> bool:
        """Whether nobody who waits comes before it."""
        return not self._waiting or self._next() is contender

    def wait(self, contender: Contender, wake: Callable[[], None]) -> None:
        """It could send but for these limits: `wake` is called whenever it is its turn and something has changed."""
        if contender not in self._waiting:
            self._waiting[contender], self._first = wake, None

    def leave(self, contender: Contender) -> None:
        """It no longer waits: it has nothing to send, or something else keeps it from sending."""
        if self._waiting.pop(contender, None) is not None:
            self._wake_next()

    def _next(self) -> Contender:
        if self._first is None:
            self._first = min(
                self._waiting, key=lambda one: (one.share.taken_seconds, one.share.in_flight, one.last_turn)
            )
        return self._first

    def _wake_next(self) -> None:
        """Have the first in the order look whether it can send; not at once, since it may be the one that calls this."""
        self._first = None
        if self._waiting and not self._waking:
            self._waking = True
            asyncio.get_running_loop().call_soon(self._wake_first)

    def _wake_first(self) -> None:
        self._waking = False
        if self._waiting:
            self._waiting[self._next()]()
