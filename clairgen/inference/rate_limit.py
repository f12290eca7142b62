"""One pace for everybody at an endpoint and model: requests and tokens a minute, and the pause that a 429 asks of all.

What the user told counts, and what the endpoint announces where that is lower. Where neither is known, refusals teach:
between two of them the endpoint let through what its limit allows, so that rate is kept to and then tried a little faster.
Tokens are charged by an estimate before the call and put right after it.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

_MINUTE = 60.0
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests and tokens a minute, None where nothing was said; `exhausted_seconds` is how long there is no room at all."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    exhausted_seconds: float = 0.0


def announced_limits(headers: Mapping[str, str]) -> Limits | None:
    """What the headers of an answer announce; None if they announce nothing."""
    if not any(name.startswith("x-ratelimit-") for name in headers):
        return None
    exhausted = max(_exhausted(headers, kind) for kind in ("requests", "tokens"))
    return Limits(_per_minute(headers, "requests"), _per_minute(headers, "tokens"), exhausted)


def _per_minute(headers: Mapping[str, str], kind: str) -> float | None:
    """The limit of a minute. One that takes longer to fill again is of a day or a month and no pace to keep to."""
    limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
    if not limit:
        return None
    left, fills_in = _number(headers.get(f"x-ratelimit-remaining-{kind}")), _seconds(headers, kind)
    if left is not None and fills_in is not None and fills_in > _MINUTE * (limit - left) / limit + 1:
        return None
    return limit


def _exhausted(headers: Mapping[str, str], kind: str) -> float:
    left = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
    return 0.0 if left is None or left > 0 else _seconds(headers, kind) or 0.0


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < math.inf else None


def _seconds(headers: Mapping[str, str], kind: str) -> float | None:
    """A duration such as 6m0s, 20ms or 1.5, in seconds."""
    text = headers.get(f"x-ratelimit-reset-{kind}", "")
    if _DURATION.fullmatch(text):
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    return _number(text)


_CATCH_UP_SECONDS = 0.005  # a turn that a timer gave late does not delay the next one
_BURST_KEPT = 0.95  # of a burst: the requests may come closer together than they were sent
_FIRST_PAUSE_SECONDS = 0.5
_PAUSED_TURNS = 10  # at a rate that was measured: what is a little too fast needs no long pause
_LONGEST_PAUSE_SECONDS = 60.0
_FEW = 5  # let through between two refusals: too few to tell a rate by
_MANY = 20  # let through between two refusals: they come now and then
_PLENTY = 100  # let through between two refusals: so seldom they do no harm, whoever's fault they are
_LEAST_KEPT = 0.7  # of what was learned before, if they come more often
_SLOWEST = 30.0  # a minute: what is slower than that the pauses bring about
_KEPT = 0.97  # of a rate that was measured
_GROWTH = 0.002  # times the square of the quiet seconds since a rate was measured
_SLOWLY_SECONDS = 8.0  # after that it was measured too low: a rest or a want of asks held back what was counted
_DOUBLES_SECONDS = 2.0
_QUIET_OF_A_RATE = (12.5, 1 / 8)  # calls that make a second of quiet, and what a second counts for at least:
_QUIET_OF_A_GUESS = (4.0, 1 / 4)  # at a slow endpoint too, one refusal in a hundred calls is enough
_KEPT_OF_A_TRIAL = 0.8  # of the rate of the last second, if one refusal ends a row of doublings
_ABOUT = 0.6
_REFILLED_SECONDS = 1.0  # of a pause: so long at most a limit saves up what is not asked for
_KEPT_OF_A_GUESS = 0.5


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
        self._grows_from = self._began = clock()
        self._counted_from: float | None = None
        self._counted: tuple[int, float, float, float] | None = None  # see _keep_to_what_was_counted
        self._calls_since = 0
        self._recently = _Recently(clock)

    @property
    def paused_until(self) -> float:
        """When everybody may go on after a 429."""
        return self._paused_until

    @property
    def requests_per_minute(self) -> float | None:
        """The rate that is kept to now, told, announced or learned; None without a limit."""
        known = self._limits.requests_per_minute
        if self._learned is None:
            return known
        quiet, slowly = self._quiet(), self._slowly()
        grown = (1 + _GROWTH * min(quiet, slowly) ** 2) * 2 ** min(max(0.0, quiet - slowly) / _DOUBLES_SECONDS, 64)
        return _lower(known, self._learned * grown)

    def _quiet(self) -> float:
        seconds = self._clock() - self._grows_from
        calls, slowest = _QUIET_OF_A_RATE if self._measured else _QUIET_OF_A_GUESS
        return max(min(seconds, self._calls_since / calls), seconds * slowest)

    def _slowly(self) -> float:
        return _SLOWLY_SECONDS if self._measured else 0.0

    def turn(self) -> float:
        """Give out the next turn: when it is, long ago where nothing limits. They are given out in the order of asking."""
        rate = self.requests_per_minute
        if rate is None and self._limits.tokens_per_minute is None:
            return 0.0
        now = self._clock()
        interval = _MINUTE / rate if rate else 0.0
        credit = max((self._burst - 1) * interval, _CATCH_UP_SECONDS)
        at = max(self._next_request, now - credit, self._paused_until)
        self._next_request = at + interval
        return max(at, self._next_token)

    def begin(self, tokens: int) -> None:
        """A call goes out that is expected to cost so many tokens."""
        self._let_through += 1
        self._calls_since += 1
        self._recently.count()
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

    def refused(self, retry_after_seconds: float | None, sent_at: float) -> bool:
        """Pause everybody after a 429: as long as the endpoint asks, else twice as long as the last time.

        False if the call went out before the last pause was over: it was refused by the same burst, however late one hears.
        """
        if sent_at < self._paused_until:
            if self._counted is not None:
                calls, *rest = self._counted
                self._keep_to_what_was_counted(calls - 1, *rest)
            return False
        now = self._clock()
        self._let_through -= 1
        pause = retry_after_seconds if retry_after_seconds is not None else self._pause_seconds
        if retry_after_seconds is None and self._measured and pause <= _FIRST_PAUSE_SECONDS:
            pause = min(pause, _PAUSED_TURNS * _MINUTE / (self._learned or _SLOWEST))
        self._learn(now, pause)
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        self._paused_until = self._next_request = now + pause
        return True

    def accepted(self) -> None:
        """An answer came: the next pause is half as long."""
        self._pause_seconds = max(_FIRST_PAUSE_SECONDS, self._pause_seconds / 2)

    def _learn(self, now: float, pause: float) -> None:
        """What was let through since the last refusal is what the limit allows; at the first one also its burst.

        It may also be what was asked for, as after a rest, so that one refusal takes away a part at most. A refusal that comes
        before the rate was tried any faster says nothing against it: some servers refuse now and then whatever the rate.
        """
        calls, seconds = self._let_through, now - (self._began if self._counted_from is None else self._counted_from)
        rate = _MINUTE * max(1, calls) / max(seconds, _FIRST_PAUSE_SECONDS)
        least, counted_before = _SLOWEST, self._counted_from is not None
        self._counted_from, self._let_through = now + max(0.0, pause - _REFILLED_SECONDS), 0
        if self._learned is not None:
            tried = self._recently.rate_of(self.requests_per_minute or 0.0) if self._quiet() > self._slowly() else 0.0
            least = max(_SLOWEST, _KEPT_OF_A_TRIAL * tried)
            if self._measured:
                least = max(least, (_LEAST_KEPT if calls < _PLENTY else 1.0) * self._learned)
                untried = (self.requests_per_minute or 0.0) * _KEPT < self._learned
                if untried and calls >= _MANY and rate >= least:
                    self._counted = (calls, seconds, self._learned, 0.0)
                    return
        self._measured = counted_before and calls >= _FEW
        self._grows_from, self._calls_since = now, 0
        self._keep_to_what_was_counted(calls, seconds, least, _KEPT if self._measured else _KEPT_OF_A_GUESS)

    def _keep_to_what_was_counted(self, calls: int, seconds: float, least: float, kept: float) -> None:
        """Learn a part of the rate of some calls, which may turn out to be fewer, and `least` at least."""
        self._counted = calls, seconds, least, kept
        self._learned = max(least, kept * _MINUTE * max(1, calls) / max(seconds, _FIRST_PAUSE_SECONDS))


class _Recently:
    """How many calls went out in the last second or two."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._now = self._before = 0

    def count(self) -> None:
        """One went out."""
        if (seconds := self._clock() - self._began) >= 1:
            self._before = self._now if seconds < 2 else 0
            self._now, self._began = 0, self._clock()
        self._now += 1

    def rate_of(self, most: float) -> float:
        """How many a minute: `most`, if about so many went out; none if too few did."""
        calls = self._before + self._now
        rate = _MINUTE * calls / (1 + self._clock() - self._began)
        return 0.0 if calls < _MANY else most if rate >= _ABOUT * most else rate


def _lower(told: float | None, announced: float | None) -> float | None:
    return min((limit for limit in (told, announced) if limit is not None), default=None)
