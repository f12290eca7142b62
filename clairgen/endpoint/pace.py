"""One pace for everybody at an endpoint and model: requests and tokens a minute, and the pause that a 429 asks of all.

What the user told counts, and what the endpoint announces where that is lower. Where neither is known, refusals teach:
between two of them the endpoint let through what its limit allows, so that rate is kept to and then tried a little faster.
Tokens are charged by an estimate before the call and put right after it.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from clairgen.endpoint.limits import Limits

_MINUTE = 60.0
_CATCH_UP_SECONDS = 0.005  # a turn that a timer gave late does not delay the next one
_BURST_KEPT = 0.95  # of a burst: the requests may come closer together than they were sent
_FIRST_PAUSE_SECONDS = 0.5
_PAUSED_TURNS = 10  # at a rate that was measured: what is a little too fast needs no long pause
_LONGEST_PAUSE_SECONDS = 60.0
_FEW = 5  # let through between two refusals: too few to tell a rate by
_SLOWEST = 60.0  # a minute: what is slower than that the pauses bring about
_KEPT = 0.97  # of a rate that was measured
_GROWTH = 0.002  # times the square of the seconds since the last refusal: slowly at first
_KEPT_OF_A_GUESS = 0.5
_GUESS_DOUBLES_SECONDS = 2.0


class Pace:
    """When the next call may go out. `clock` gives seconds; all times are on it."""

    def __init__(self, limits: Limits, clock: Callable[[], float], burst: float = 1.0) -> None:
        self._told = limits
        self._limits = limits
        self._clock = clock
        self._burst = max(1.0, burst * _BURST_KEPT)
        self._next_request = -math.inf  # the burst is there from the start
        self._next_token = clock()
        self._paused_until = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._learned: float | None = None
        self._measured = False
        self._let_through = 0
        self._refused_at: float | None = None
        self._began = clock()

    @property
    def paused_until(self) -> float:
        """When everybody may go on after a 429."""
        return self._paused_until

    @property
    def requests_per_minute(self) -> float | None:
        """The rate that is kept to now, told, announced or learned; None without a limit."""
        known = self._limits.requests_per_minute
        if self._learned is None or self._refused_at is None:
            return known
        quiet = self._clock() - self._refused_at
        grown = 1 + _GROWTH * quiet * quiet if self._measured else 2 ** min(quiet / _GUESS_DOUBLES_SECONDS, 64)
        return _lower(known, self._learned * grown)

    def turn(self) -> float:
        """Give out the next turn: when it is, long ago where nothing limits. They are given out in the order of asking."""
        rate = self.requests_per_minute
        if rate is None and self._limits.tokens_per_minute is None:
            return 0.0
        now = self._clock()
        interval = _MINUTE / rate if rate else 0.0
        credit = max((self._burst - 1) * interval, _CATCH_UP_SECONDS)
        at = max(self._next_request, now - credit)
        self._next_request = at + interval
        return max(at, self._next_token)

    def begin(self, tokens: int) -> None:
        """A call goes out that is expected to cost so many tokens."""
        self._let_through += 1
        self.correct(tokens)

    def correct(self, tokens: int) -> None:
        """Count tokens that a call costs, or by how much an estimate was wrong."""
        if rate := self._limits.tokens_per_minute:
            self._next_token = max(self._next_token, self._clock() if tokens > 0 else 0.0) + tokens * _MINUTE / rate

    def announced(self, limits: Limits) -> None:
        """Keep to the limits that the endpoint announces where they are lower than those that were told."""
        told = self._told
        self._limits = replace(
            told,
            requests_per_minute=_lower(told.requests_per_minute, limits.requests_per_minute),
            tokens_per_minute=_lower(told.tokens_per_minute, limits.tokens_per_minute),
        )
        if limits.exhausted_seconds:
            self._paused_until = max(self._paused_until, self._clock() + limits.exhausted_seconds)

    def refused(self, retry_after_seconds: float | None) -> bool:
        """Pause everybody after a 429: as long as the endpoint asks, else twice as long as the last time.

        False if everybody was pausing already: others in flight were refused by the same burst.
        """
        now = self._clock()
        self._let_through -= 1
        if now < self._paused_until:
            return False
        pause = retry_after_seconds if retry_after_seconds is not None else self._pause_seconds
        self._learn(now, pause)
        if retry_after_seconds is None and self._measured and pause <= _FIRST_PAUSE_SECONDS:
            pause = min(pause, _PAUSED_TURNS * _MINUTE / (self._learned or _SLOWEST))
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        self._paused_until = now + pause
        return True

    def accepted(self) -> None:
        """An answer came: the next pause is half as long."""
        self._pause_seconds = max(_FIRST_PAUSE_SECONDS, self._pause_seconds / 2)

    def _learn(self, now: float, pause: float) -> None:
        """What was let through since the last refusal is what the limit let through; at the first one also its burst."""
        seconds = now - (self._began - pause if self._refused_at is None else self._refused_at)
        self._measured = self._refused_at is not None and self._let_through >= _FEW
        rate = _MINUTE * max(1, self._let_through) / max(seconds, _FIRST_PAUSE_SECONDS)
        self._learned = max(_SLOWEST, rate * (_KEPT if self._measured else _KEPT_OF_A_GUESS))
        self._refused_at, self._let_through = now, 0


def _lower(told: float | None, announced: float | None) -> float | None:
    return min((limit for limit in (told, announced) if limit is not None), default=None)
