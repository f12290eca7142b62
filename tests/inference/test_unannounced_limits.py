"""Pace and width together against servers that refuse without saying why: all they allow is used."""

import heapq
import itertools
import math
import random
from collections.abc import Callable

import pytest

from clairgen.inference.concurrency import Width
from clairgen.inference.rate_limit import Limits, Pace
from tests.clocks import FakeClock

_SENDING_SECONDS = 0.0001
_REFUSING_SECONDS = 0.001
_OUT_BEFORE_THE_FIRST_REFUSAL = 80


class Bucket:
    """A limit of requests: a bucket of `burst`, filled at `a_second`."""

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
    asks: int, latency: Callable[[], float], admits: Callable[[float], bool], chance: random.Random
) -> tuple[float, float, Width]:
    """Seconds that the asks took, the share of them that was refused, and the width at the end."""
    clock = FakeClock()
    pace, width, numbers = Pace(Limits(), clock), Width(None, clock), itertools.count()
    events: list[tuple[float, int, str, float]] = []
    waiting, in_flight, answered, refused, seconds_each = asks, 0, 0, 0, 0.0
    turn: float | None = None
    alarm = start = clock()
    while answered < asks:
        while waiting and in_flight < width.now:
            turn = pace.turn() if turn is None or turn < pace.paused_until else turn
            if turn > clock():
                if alarm <= clock():
                    alarm = turn + 0.001 * chance.random()
                    heapq.heappush(events, (alarm, next(numbers), "turn", 0.0))
                break
            turn, waiting, in_flight = None, waiting - 1, in_flight + 1
            pace.begin(0)
            clock.seconds += _SENDING_SECONDS
            outcome, after = ("answered", latency()) if admits(clock()) else ("refused", _REFUSING_SECONDS)
            heapq.heappush(events, (clock() + after, next(numbers), outcome, clock()))
        at, _, event, sent_at = heapq.heappop(events)
        clock.seconds = max(clock(), at)
        if event == "answered":
            width.answered(full=in_flight >= width.now)
            pace.accepted()
            in_flight, answered = in_flight - 1, answered + 1
            seconds_each += (0.05 if seconds_each else 1.0) * (clock() - sent_at - seconds_each)
        elif event == "refused":
            in_flight, waiting, refused = in_flight - 1, waiting + 1, refused + 1
            if pace.refused(None, sent_at):
                width.refused((pace.requests_per_minute or 0.0) / 60 * seconds_each)
    return clock() - start, refused / asks, width


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
def test_a_limit_that_nobody_names_is_used_whole_and_seldom_passed(
    a_second: float, burst: float, latency: float, sigma: float, seed: int
) -> None:
    chance, asks = random.Random(seed), 30 * int(max(a_second, burst))
    seconds, refused, _ = simulated(
        asks, lambda: latency * chance.lognormvariate(0, sigma), Bucket(a_second, burst).admits, chance
    )
    ideal = (asks - burst) / a_second + latency
    assert seconds <= 1.15 * ideal
    assert refused * asks <= _OUT_BEFORE_THE_FIRST_REFUSAL + 0.02 * asks


@pytest.mark.parametrize("burst", [1, 10])
def test_a_limit_without_a_burst_is_found_from_far_below(burst: int) -> None:
    """All that is sent at the start but a few is refused, and what is let through in that second tells no rate."""
    chance = random.Random(0)
    seconds, refused, _ = simulated(6000, lambda: 0.2, Bucket(100, burst).admits, chance)
    assert seconds <= 1.5 * 6000 / 100
    assert refused <= 0.02


@pytest.mark.parametrize("places", [16, 64, 256])
@pytest.mark.parametrize("sigma", [0.3, 0.6])
def test_a_server_of_some_places_is_kept_full_however_its_latencies_vary(places: int, sigma: float) -> None:
    chance = random.Random(0)
    free = [0.0] * places

    def queued() -> float:
        """An ask takes the place that is free first, and waits for it."""
        now = max(clock_of[0], 0.0)
        begins = max(now, free[0])
        end = begins + 2.0 * chance.lognormvariate(0, sigma)
        heapq.heapreplace(free, end)
        return end - now

    clock_of = [0.0]

    def admits(now: float) -> bool:
        clock_of[0] = now
        return True

    asks = 80 * places + 2000
    seconds, _, width = simulated(asks, queued, admits, chance)
    ideal = asks * 2.0 * math.exp(sigma**2 / 2) / places
    assert seconds <= 1.12 * ideal
    assert width.now >= 0.7 * places
