"""Rate limiter of one endpoint and model, shared by all who send there: requests and tokens per minute, pauses after a 429.

The configured limit counts, and the announced one where that is lower. Where neither is known, 429s show it: between two of
them the endpoint accepted what its limit allows, so that rate is kept and then raised a little at a time. Tokens are charged
by an estimate before a request and corrected after it.
"""

import math
from collections.abc import Callable

from clairgen.inference.announced_limits import RateLimits

_MINUTE = 60.0
_CATCH_UP_SECONDS = 0.005  # a permit that a timer gave out late does not delay the next one
_BURST_KEPT = 0.95  # of a burst: requests may arrive closer together than they were sent
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 60.0
_PAUSED_PERMITS = 10  # at a measured rate: what is a little too fast needs no long pause
_REFILLED_SECONDS = 1.0  # of a pause: at most this much of what is not used is saved up by a limit

# Requests that were accepted between two 429s:
_FEW = 5  # too few to show a rate
_MANY = 20  # 429s come now and then
_PLENTY = 100  # 429s are so rare that they do no harm, whatever causes them

_SLOWEST = 30.0  # requests per minute; anything slower results from the pauses
_LEAST_KEPT = 0.7  # of the rate learned before, if 429s come more often
_KEPT = 0.97  # of a rate that was measured
_KEPT_OF_A_GUESS = 0.5
_KEPT_OF_A_TRIAL = 0.8  # of the rate of the last second, if one 429 ends a series of doublings
_SIMILAR = 0.6
_GROWTH = 0.002  # times the square of the quiet seconds since a rate was measured
_SLOWLY_SECONDS = (
    8.0  # after that the measured rate was too low: an open breaker or a lack of requests kept the count down
)
_DOUBLING_SECONDS = 2.0
_QUIET_OF_A_RATE = (12.5, 1 / 8)  # requests that make a second of quiet, and what a second counts for at least:
_QUIET_OF_A_GUESS = (4.0, 1 / 4)  # at a slow endpoint too, one 429 in a hundred requests is enough


class RateLimiter:
    """When the next request may be sent. `clock` gives seconds; all times are on it, but for `closes_at`.

    From `closes_at` on, by the `lease_clock`, none may be sent until that is put off. `sent_requests`, `sent_tokens` and
    `own_pauses`, those that began with a 429 that was received here, are counted from the beginning.
    """

    def __init__(
        self,
        configured: RateLimits,
        clock: Callable[[], float],
        burst: float = 1.0,
        lease_clock: Callable[[], float] | None = None,
    ) -> None:
        self._configured = self._limits = configured
        self._announced = RateLimits()
        self._clock = clock
        self._lease_clock = lease_clock or clock
        self._burst = max(1.0, burst * _BURST_KEPT)
        self._next_request = -math.inf  # the burst is available from the start
        self._next_token = clock()
        self._last_permit = self._next_request
        self.closes_at = math.inf
        self.sent_requests = self.sent_tokens = self.own_pauses = 0
        self._paused_until = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._learned: float | None = None
        self._measured = False
        self._accepted = 0
        self._grows_from = self._began = clock()
        self._counted_from: float | None = None
        self._counted: tuple[int, float, float, float] | None = None  # see _learn_from_count
        self._requests_since = 0
        self._recent = _RecentRate(clock)

    def configure(self, configured: RateLimits, burst: float) -> None:
        """Keep to another configured limit from now on; what was announced and learned stays, and so do tokens that are owed."""
        before, now = self._limits.tokens_per_minute, self._clock()
        self._configured, self._burst = configured, max(1.0, burst * _BURST_KEPT)
        self._keep_the_lower()
        if before and self._limits.tokens_per_minute and self._next_token > now:
            self._next_token = now + (self._next_token - now) * before / self._limits.tokens_per_minute
        rate = self.requests_per_minute
        # A permit that was given out at a lower rate does not delay those at a higher one.
        self._next_request = min(self._next_request, self._clock() + (_MINUTE / rate if rate else 0.0))

    @property
    def announced_limits(self) -> RateLimits:
        """What the endpoint last said of its limits."""
        return self._announced

    @property
    def is_closed(self) -> bool:
        """Whether nothing may be sent until somebody says so."""
        return self._lease_clock() >= self.closes_at

    def take_back(self) -> None:
        """The permit that was given out last will not be used."""
        self._next_request = self._last_permit

    def pause(self, seconds: float) -> None:
        """Send nothing for so long, as somebody else got a 429 who shares the limit."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    @property
    def paused_until(self) -> float:
        """When requests may be sent again after a 429."""
        return self._paused_until

    @property
    def requests_per_minute(self) -> float | None:
        """The rate that is kept now, configured, announced or learned; None without a limit."""
        known = self._limits.requests_per_minute
        if self._learned is None:
            return known
        quiet, slowly = self._quiet(), self._slowly()
        growth = (1 + _GROWTH * min(quiet, slowly) ** 2) * 2 ** min(max(0.0, quiet - slowly) / _DOUBLING_SECONDS, 64)
        return _lower(known, self._learned * growth)

    @property
    def tokens_per_minute(self) -> float | None:
        """The limit of tokens that is kept now, configured or announced; None without one."""
        return self._limits.tokens_per_minute

    @property
    def source(self) -> str | None:
        """Where the rate that is kept now is from: "configured", "announced" or "learned"; None without one."""
        limits, configured = self._limits, self._configured
        if self.requests_per_minute != limits.requests_per_minute:
            return "learned"
        if limits.requests_per_minute is not None:
            return "configured" if limits.requests_per_minute == configured.requests_per_minute else "announced"
        if limits.tokens_per_minute is not None:
            return "configured" if limits.tokens_per_minute == configured.tokens_per_minute else "announced"
        return None

    def next_permit(self) -> float:
        """Give out the next permit, in the order of calls: the time from which it is valid, long ago without a limit."""
        rate = self.requests_per_minute
        if rate is None and self._limits.tokens_per_minute is None:
            return 0.0
        now = self._clock()
        interval = _MINUTE / rate if rate else 0.0
        credit = max((self._burst - 1) * interval, _CATCH_UP_SECONDS)
        at = max(self._next_request, now - credit, self._paused_until)
        self._last_permit, self._next_request = at, at + interval
        return max(at, self._next_token)

    def seconds_of(self, tokens: int) -> float:
        """What a request of this many tokens takes of the limits: seconds until it is refilled, 0 without a limit."""
        rate, of_tokens = self.requests_per_minute, self._limits.tokens_per_minute
        return max(_MINUTE / rate if rate else 0.0, tokens * _MINUTE / of_tokens if of_tokens else 0.0)

    def sent(self, tokens: int) -> None:
        """A request is sent that is expected to use this many tokens."""
        self._accepted += 1
        self._requests_since += 1
        self.sent_requests += 1
        self._recent.count()
        self.adjust(tokens)

    def adjust(self, tokens: int) -> None:
        """Charge the tokens of a request, or the difference by which an estimate was wrong."""
        self.sent_tokens += tokens
        if rate := self._limits.tokens_per_minute:
            self._next_token = max(self._next_token, self._clock() if tokens > 0 else 0.0) + tokens * _MINUTE / rate

    def announced(self, limits: RateLimits) -> None:
        """Keep the limits that the endpoint announces where they are lower than the configured ones."""
        self._announced = limits
        self._keep_the_lower()
        if limits.exhausted_seconds:
            self._paused_until = max(self._paused_until, self._clock() + limits.exhausted_seconds)

    def answered(self) -> None:
        """An answer was received: the next pause is half as long."""
        self._pause_seconds = max(_FIRST_PAUSE_SECONDS, self._pause_seconds / 2)

    def rate_limited(self, retry_after_seconds: float | None, sent_at: float) -> bool:
        """Pause all requests after a 429: as long as the endpoint says, and at least twice as long as the last time.

        False if the request was sent before the last pause ended: it belongs to the same burst, however late its 429 arrives.
        """
        if sent_at < self._paused_until:
            if self._counted is not None:
                requests, *rest = self._counted
                self._learn_from_count(requests - 1, *rest)
            return False
        now = self._clock()
        self.own_pauses += 1
        self._accepted -= 1
        pause = self._pause_seconds
        if self._measured and pause <= _FIRST_PAUSE_SECONDS:
            pause = min(pause, _PAUSED_PERMITS * _MINUTE / (self._learned or _SLOWEST))
        pause = max(pause, retry_after_seconds or 0.0)
        self._learn(now, pause)
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        self._paused_until = self._next_request = now + pause
        return True

    def _keep_the_lower(self) -> None:
        configured, announced = self._configured, self._announced
        self._limits = RateLimits(
            _lower(configured.requests_per_minute, announced.requests_per_minute),
            _lower(configured.tokens_per_minute, announced.tokens_per_minute),
        )

    def _quiet(self) -> float:
        seconds = self._clock() - self._grows_from
        requests, slowest = _QUIET_OF_A_RATE if self._measured else _QUIET_OF_A_GUESS
        return max(min(seconds, self._requests_since / requests), seconds * slowest)

    def _slowly(self) -> float:
        return _SLOWLY_SECONDS if self._measured else 0.0

    def _learn(self, now: float, pause: float) -> None:
        """What was accepted since the last 429 is what the limit allows; at the first one also its burst.

        It may also be no more than what was sent, as after an open breaker, so one 429 lowers the rate by a part at most. A
        429 that comes before the rate was raised says nothing against it: some servers send one now and then at any rate.
        """
        requests, seconds = self._accepted, now - (self._began if self._counted_from is None else self._counted_from)
        rate = _MINUTE * max(1, requests) / max(seconds, _FIRST_PAUSE_SECONDS)
        least, counted_before = _SLOWEST, self._counted_from is not None
        self._counted_from, self._accepted = now + max(0.0, pause - _REFILLED_SECONDS), 0
        if self._learned is not None:
            kept = self.requests_per_minute or 0.0
            tried = self._recent.compared_with(kept) if self._quiet() > self._slowly() else 0.0
            least = max(_SLOWEST, _KEPT_OF_A_TRIAL * tried)
            if self._measured:
                least = max(least, (_LEAST_KEPT if requests < _PLENTY else 1.0) * self._learned)
                not_raised = kept * _KEPT < self._learned
                if not_raised and requests >= _MANY and rate >= least:
                    self._counted = (requests, seconds, self._learned, 0.0)
                    return
        self._measured = counted_before and requests >= _FEW
        self._grows_from, self._requests_since = now, 0
        self._learn_from_count(requests, seconds, least, _KEPT if self._measured else _KEPT_OF_A_GUESS)

    def _learn_from_count(self, requests: int, seconds: float, least: float, kept: float) -> None:
        """Learn a part of the rate of these requests, which may turn out to be fewer, and at least `least`."""
        self._counted = requests, seconds, least, kept
        self._learned = max(least, kept * _MINUTE * max(1, requests) / max(seconds, _FIRST_PAUSE_SECONDS))


class _RecentRate:
    """How many requests were sent in the last second or two."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._now = self._before = 0

    def count(self) -> None:
        """One was sent."""
        if (seconds := self._clock() - self._began) >= 1:
            self._before = self._now if seconds < 2 else 0
            self._now, self._began = 0, self._clock()
        self._now += 1

    def compared_with(self, rate: float) -> float:
        """Requests per minute: `rate` if about that many were sent, 0 if too few were to show one."""
        requests = self._before + self._now
        found = _MINUTE * requests / (1 + self._clock() - self._began)
        return 0.0 if requests < _MANY else rate if found >= _SIMILAR * rate else found


def _lower(configured: float | None, announced: float | None) -> float | None:
    return min((limit for limit in (configured, announced) if limit is not None), default=None)
