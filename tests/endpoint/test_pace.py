import asyncio

from clairgen.endpoint.pace import Pace
from tests.clocks import FakeClock


async def turns(pace: Pace, clock: FakeClock, count: int, tokens: int = 0) -> list[float]:
    start = clock()

    async def one() -> float:
        await pace.turn(tokens)
        return clock() - start

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def test_requests_are_spread_evenly_without_a_burst() -> None:
    clock = FakeClock()
    assert await turns(Pace(60, None, clock, clock.sleep), clock, 4) == [0, 1, 2, 3]


async def test_tokens_are_spread_by_their_estimate_and_put_right_afterwards() -> None:
    clock = FakeClock()
    pace = Pace(None, 600, clock, clock.sleep)
    assert await turns(pace, clock, 3, tokens=20) == [0, 2, 4]
    pace.correct(-20)
    assert await turns(pace, clock, 1, tokens=20) == [0]


async def test_without_limits_nobody_waits() -> None:
    clock = FakeClock()
    assert await turns(Pace(None, None, clock, clock.sleep), clock, 100, tokens=1000) == [0] * 100
    assert clock.slept == []


async def test_rate_limit_slows_everybody_for_as_long_as_the_endpoint_asks() -> None:
    clock = FakeClock()
    pace = Pace(None, None, clock, clock.sleep)
    pace.refused(7.0)
    pace.refused(30.0)  # of the same burst: no second pause
    assert await turns(pace, clock, 3) == [7, 7, 7]


async def test_pause_doubles_and_halves_with_every_answer() -> None:
    clock = FakeClock()
    pace = Pace(None, None, clock, clock.sleep)
    pauses = []
    for _ in range(8):
        pace.refused(None)
        pauses.append((await turns(pace, clock, 1))[0])
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    pace.accepted()
    pace.refused(None)
    assert await turns(pace, clock, 1) == [30]


async def test_who_sleeps_when_a_pause_begins_waits_for_its_end() -> None:
    clock = FakeClock()
    pace = Pace(60, None, clock, clock.sleep)

    async def refuse_midway() -> None:
        await clock.sleep(0.5)
        pace.refused(10.0)

    waits, _ = await asyncio.gather(turns(pace, clock, 3), refuse_midway())
    assert sorted(waits) == [0, 10.5, 11.5]
