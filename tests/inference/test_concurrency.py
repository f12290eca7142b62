from collections.abc import Callable

import pytest

from clairgen.inference.concurrency import WIDEST, Width
from tests.clocks import FakeClock


def worked(width: Width, clock: FakeClock, rate: Callable[[float], float], answers: int) -> None:
    """Answers that come at the rate that a server gives at a width."""
    for _ in range(answers):
        clock.seconds += 1 / rate(width.now)
        width.answered(full=True)


@pytest.mark.parametrize("places", [8, 64, 256])
def test_width_finds_the_places_that_a_server_has(places: int) -> None:
    clock = FakeClock()
    width = Width(None, clock)
    worked(width, clock, lambda now: min(now, places) / 2.0, 20_000)
    found = []
    for _ in range(200):
        worked(width, clock, lambda now: min(now, places) / 2.0, 50)
        found.append(width.now)
    assert 0.8 * places <= sum(found) / len(found) <= 1.6 * places


def test_width_of_a_server_without_bounds_grows_to_the_widest() -> None:
    clock = FakeClock()
    width = Width(None, clock)
    worked(width, clock, lambda now: now, 20_000)
    assert width.now == WIDEST


def test_width_that_nobody_fills_stays() -> None:
    clock = FakeClock()
    width = Width(None, clock)
    before = width.now
    for _ in range(1000):
        clock.seconds += 1
        width.answered(full=False)
    assert width.now == before


def test_refusals_halve_a_width_and_a_told_one_regains_what_was_told() -> None:
    found, told = Width(None, FakeClock()), Width(8, FakeClock())
    before = found.now
    found.refused()
    told.refused()
    assert (found.now, told.now) == (before / 2, 4)
    for _ in range(100):
        told.answered(full=False)
    assert told.now == 8
