import pytest

from clairgen.inference.rate_limit import Limits, Pace
from tests.clocks import FakeClock


def turns(pace: Pace, clock: FakeClock, count: int, tokens: int = 0) -> list[float]:
    """When each of `count` calls that are there now would go out, from now."""
    found = []
    for _ in range(count):
        found.append(round(max(pace.turn(), pace.paused_until, clock()) - clock(), 6))
        pace.begin(tokens)
    return found


def test_requests_are_spread_evenly_without_a_burst() -> None:
    clock = FakeClock()
    pace = Pace(Limits(60), clock)
    clock.seconds += 100  # what was not used is gone
    assert turns(pace, clock, 4) == pytest.approx([0, 1, 2, 3], abs=0.01)


def test_a_told_burst_goes_out_at_once_a_little_short_and_then_the_rate() -> None:
    clock = FakeClock()
    pace = Pace(Limits(60), clock, burst=20)
    at = turns(pace, clock, 21)
    assert at[:19] == [0] * 19
    assert at[19:] == [1, 2]


def test_tokens_are_spread_by_their_estimate_and_put_right_afterwards() -> None:
    clock = FakeClock()
    pace = Pace(Limits(None, 600), clock)
    assert turns(pace, clock, 3, tokens=20) == [0, 2, 4]
    pace.correct(-40)
    assert turns(pace, clock, 1) == [2]


def test_without_limits_nobody_waits() -> None:
    clock = FakeClock()
    assert turns(Pace(Limits(), clock), clock, 100, tokens=1000) == [0] * 100


def test_rate_limit_slows_everybody_for_as_long_as_the_endpoint_asks() -> None:
    clock = FakeClock()
    pace = Pace(Limits(), clock)
    sent = clock()
    assert pace.refused(7.0, sent)
    assert not pace.refused(30.0, sent)  # of the same burst: no second pause
    clock.seconds += 7.5
    assert not pace.refused(30.0, sent)  # nor if its refusal was long on the way
    clock.seconds -= 7.5
    first, second, third = turns(pace, clock, 3)
    assert first == 7 < second < third


def test_turns_given_out_before_a_pause_do_not_all_come_at_its_end() -> None:
    clock = FakeClock()
    pace = Pace(Limits(60), clock)
    turns(pace, clock, 5)  # the last of them in 4 s
    pace.refused(10.0, clock())
    first, second, third = turns(pace, clock, 3)
    assert first == 10
    assert second >= 11
    assert third >= 12


def test_pause_doubles_and_halves_with_every_answer() -> None:
    clock = FakeClock()
    pace = Pace(Limits(), clock)
    pauses = []
    for _ in range(9):
        pace.refused(None, clock())
        pauses.append(pace.paused_until - clock())
        clock.seconds = pace.paused_until
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    pace.accepted()
    pace.refused(None, clock())
    assert pace.paused_until - clock() == 30


@pytest.mark.parametrize(
    ("told", "announced", "kept"), [(None, 600, 600), (6000, 600, 600), (60, 600, 60), (60, None, 60)]
)
def test_the_lower_of_told_and_announced_limit_is_kept(
    told: float | None, announced: float | None, kept: float
) -> None:
    pace = Pace(Limits(told), FakeClock())
    pace.announced(Limits(announced))
    assert pace.requests_per_minute == kept


def test_an_endpoint_that_announces_that_it_is_exhausted_is_left_alone_so_long() -> None:
    clock = FakeClock()
    pace = Pace(Limits(), clock)
    pace.announced(Limits(exhausted_seconds=3))
    assert turns(pace, clock, 1) == [3]


def test_a_refusal_of_what_went_out_before_an_announced_pause_teaches_no_rate() -> None:
    clock = FakeClock()
    pace = Pace(Limits(), clock)
    pace.announced(Limits(exhausted_seconds=3))
    assert not pace.refused(None, clock())
    assert pace.requests_per_minute is None


def answered(pace: Pace, clock: FakeClock, count: int, seconds: float) -> None:
    for _ in range(count):
        clock.seconds += seconds / count
        pace.begin(0)
        pace.accepted()


def test_the_rate_that_was_let_through_between_two_refusals_is_learned() -> None:
    clock = FakeClock()
    pace = Pace(Limits(), clock)
    answered(pace, clock, 301, 1.0)  # the last one is refused
    pace.refused(0.5, clock())
    assert pace.requests_per_minute == pytest.approx(0.5 * 300 * 60)  # half of what a burst may have flattered
    clock.seconds += 0.5  # what the limit saves up in a pause is let through after it
    answered(pace, clock, 301, 2.5)
    pace.refused(None, clock())
    assert pace.requests_per_minute == pytest.approx(0.97 * 6000, rel=0.01)
    answered(pace, clock, 500, 5.0)
    assert 6000 < (pace.requests_per_minute or 0) < 6200


def test_what_was_refused_is_not_counted_as_let_through_however_late_one_hears_of_it() -> None:
    clock = FakeClock()
    pace = Pace(Limits(), clock)
    answered(pace, clock, 301, 1.0)
    sent = clock()
    pace.refused(2.0, sent)
    for _ in range(100):
        pace.refused(2.0, sent)
    assert pace.requests_per_minute == pytest.approx(0.5 * 200 * 60)


def test_a_refusal_now_and_then_whatever_the_rate_slows_nothing_down() -> None:
    clock = FakeClock()
    pace = Pace(Limits(), clock)
    for _ in range(60):
        rate = (pace.requests_per_minute or 6000) / 60
        answered(pace, clock, round(3 * rate), 3.0)
        pace.refused(None, clock())
        clock.seconds = max(clock(), pace.paused_until)
    assert (pace.requests_per_minute or 0) > 1500  # a quarter, after sixty of them


def test_refusals_also_teach_that_the_told_limit_is_too_high() -> None:
    clock = FakeClock()
    pace = Pace(Limits(60_000), clock)
    answered(pace, clock, 301, 1.0)  # the last one is refused
    pace.refused(2.0, clock())
    assert pace.requests_per_minute == pytest.approx(0.5 * 300 * 60)
