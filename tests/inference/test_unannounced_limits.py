"""Rate limiter and concurrency limit together against servers that send 429s without naming a limit: all they allow is used."""

import heapq
import itertools
import math
import random
from collections.abc import Callable

import pytest

from clairgen.inference.announced_limits import RateLimits
from clairgen.inference.concurrency import ConcurrencyLimit
from clairgen.inference.rate_limit import RateLimiter
from tests.clocks import FakeClock

pytestmark = pytest.mark.slow

_SENDING_SECONDS = 0.0001
_REJECTING_SECONDS = 0.001
_SENT_BEFORE_THE_FIRST_429 = 80


class Bucket:
    """A limit of requests: a token bucket of `burst`, refilled with `a_second` tokens a second."""

    def __init__(self, a_second: float, burst: float) -> None:
        self._a_second, self._burst, self._left, self._at = a_second, burst, burst, -math.inf

    def admits(self, now: float) -> bool:
        """Whether there is room for one more."""
        self._left = min(self._burst, self._left + (now - self._at) * self._a_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def simulated(
    requests: int, latency: Callable[[], float], admits: Callable[[float], bool], chance: random.Random
) -> tuple[float, float, ConcurrencyLimit]:
    """Seconds that the requests took, the share of them that got a 429, and the concurrency limit at the end."""
    clock = FakeClock()
    limiter, concurrency, numbers = RateLimiter(RateLimits(), clock), ConcurrencyLimit(None, clock), itertools.count()
    events: list[tuple[float, int, str, float]] = []
    waiting, in_flight, answered, limited, seconds_each = requests, 0, 0, 0, 0.0
    permit: float | None = None
    alarm = start = clock()
    while answered < requests:
        while waiting and in_flight < concurrency.limit:
            permit = limiter.next_permit() if permit is None or permit < limiter.paused_until else permit
            if permit > clock():
                if alarm <= clock():
                    alarm = permit + 0.001 * chance.random()
                    heapq.heappush(events, (alarm, next(numbers), "permit", 0.0))
                break
            permit, waiting, in_flight = None, waiting - 1, in_flight + 1
            limiter.sent(0)
            clock.seconds += _SENDING_SECONDS
            outcome, after = ("answered", latency()) if admits(clock()) else ("429", _REJECTING_SECONDS)
            heapq.heappush(events, (clock() + after, next(numbers), outcome, clock()))
        at, _, event, sent_at = heapq.heappop(events)
        clock.seconds = max(clock(), at)
        if event == "answered":
            concurrency.answered(saturated=in_flight >= concurrency.limit)
            limiter.answered()
            in_flight, answered = in_flight - 1, answered + 1
            seconds_each += (0.05 if seconds_each else 1.0) * (clock() - sent_at - seconds_each)
        elif event == "429":
            in_flight, waiting, limited = in_flight - 1, waiting + 1, limited + 1
            if limiter.rate_limited(None, sent_at):
                concurrency.rate_limited((limiter.requests_per_minute or 0.0) / 60 * seconds_each)
    return clock() - start, limited / requests, concurrency


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("a_second", "burst", "latency", "sigma"),
    [
        (100, 100, 0.2, 0.0),
        (100, 100, 0.2, 0.6),
        (100, 500, 0.2, 0.0),
        (1000, 500, 0.5, 0.0),
        (10, 100, 2.0, 0.6),
        (10, 10, 1, 0),
    ],
)
def test_a_limit_that_is_not_announced_is_used_fully_and_seldom_exceeded(
    a_second: float, burst: float, latency: float, sigma: float, seed: int
) -> None:
    chance, requests = random.Random(seed), 30 * int(max(a_second, burst))
    seconds, limited, _ = simulated(
        requests, lambda: latency * chance.lognormvariate(0, sigma), Bucket(a_second, burst).admits, chance
    )
    ideal = (requests - burst) / a_second + latency
    assert seconds <= 1.15 * ideal
    assert limited * requests <= _SENT_BEFORE_THE_FIRST_429 + 0.02 * requests


@pytest.mark.parametrize("burst", [1, 10])
def test_a_limit_without_a_burst_is_found_from_far_below(burst: int) -> None:
    """All but a few of the first requests get a 429, and what is accepted in that second shows no rate."""
    chance = random.Random(0)
    seconds, limited, _ = simulated(6000, lambda: 0.2, Bucket(100, burst).admits, chance)
    assert seconds <= 1.5 * 6000 / 100
    assert limited <= 0.02


@pytest.mark.parametrize("slots", [16, 64, 256])
@pytest.mark.parametrize("sigma", [0.3, 0.6])
def test_a_server_with_a_number_of_slots_is_kept_full_however_its_latencies_vary(slots: int, sigma: float) -> None:
    chance = random.Random(0)
    free = [0.0] * slots

    def queued() -> float:
        """A request takes the slot that is free first, and waits for it."""
        now = max(clock_of[0], 0.0)
        begins = max(now, free[0])
        end = begins + 2.0 * chance.lognormvariate(0, sigma)
        heapq.heapreplace(free, end)
        return end - now

    clock_of = [0.0]

    def admits(now: float) -> bool:
        clock_of[0] = now
        return True

    requests = 80 * slots + 2000
    seconds, _, concurrency = simulated(requests, queued, admits, chance)
    ideal = requests * 2.0 * math.exp(sigma**2 / 2) / slots
    assert seconds <= 1.12 * ideal
    assert concurrency.limit >= 0.7 * slots
