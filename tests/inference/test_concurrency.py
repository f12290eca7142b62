from collections.abc import Callable

import pytest

from clairgen.inference.concurrency import MAX_CONCURRENCY, ConcurrencyLimit
from tests.clocks import FakeClock


def worked(concurrency: ConcurrencyLimit, clock: FakeClock, rate: Callable[[float], float], answers: int) -> None:
    """Answers at the rate that a server gives at a concurrency."""
    for _ in range(answers):
        clock.seconds += 1 / rate(concurrency.limit)
        concurrency.answered(saturated=True)


@pytest.mark.parametrize("slots", [8, 64, 256])
def test_the_limit_approaches_the_slots_that_a_server_has(slots: int) -> None:
    clock = FakeClock()
    concurrency = ConcurrencyLimit(None, clock)
    worked(concurrency, clock, lambda limit: min(limit, slots) / 2.0, 20_000)
    found = []
    for _ in range(200):
        worked(concurrency, clock, lambda limit: min(limit, slots) / 2.0, 50)
        found.append(concurrency.limit)
    assert 0.8 * slots <= sum(found) / len(found) <= 1.6 * slots


def test_the_limit_of_a_server_without_bounds_grows_to_the_maximum() -> None:
    clock = FakeClock()
    concurrency = ConcurrencyLimit(None, clock)
    worked(concurrency, clock, lambda limit: limit, 20_000)
    assert concurrency.limit == MAX_CONCURRENCY


def test_a_limit_that_is_never_reached_stays() -> None:
    clock = FakeClock()
    concurrency = ConcurrencyLimit(None, clock)
    before = concurrency.limit
    for _ in range(1000):
        clock.seconds += 1
        concurrency.answered(saturated=False)
    assert concurrency.limit == before


def test_429s_halve_the_limit_and_a_configured_one_recovers() -> None:
    found, configured = ConcurrencyLimit(None, FakeClock()), ConcurrencyLimit(8, FakeClock())
    before = found.limit
    found.rate_limited()
    configured.rate_limited()
    assert (found.limit, configured.limit) == (before / 2, 4)
    for _ in range(100):
        configured.answered(saturated=False)
    assert configured.limit == 8
