import pytest

from clairgen.inference.announced_limits import RateLimits
from clairgen.inference.rate_limit import RateLimiter
from tests.clocks import FakeClock


def permits(limiter: RateLimiter, clock: FakeClock, count: int, tokens: int = 0) -> list[float]:
    """When each of `count` requests that are waiting now would be sent, from now."""
    found = []
    for _ in range(count):
        found.append(round(max(limiter.next_permit(), limiter.paused_until, clock()) - clock(), 6))
        limiter.sent(tokens)
    return found


def test_requests_are_spread_evenly_without_a_burst() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(60), clock)
    clock.seconds += 100  # what was not used is gone
    assert permits(limiter, clock, 4) == pytest.approx([0, 1, 2, 3], abs=0.01)


def test_a_configured_burst_is_sent_at_once_a_little_short_and_then_at_the_rate() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(60), clock, burst=20)
    at = permits(limiter, clock, 21)
    assert at[:19] == [0] * 19
    assert at[19:] == [1, 2]


def test_tokens_are_spread_by_their_estimate_and_corrected_afterwards() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(None, 600), clock)
    assert permits(limiter, clock, 3, tokens=20) == [0, 2, 4]
    limiter.adjust(-40)
    assert permits(limiter, clock, 1) == [2]


def test_without_limits_nothing_waits() -> None:
    clock = FakeClock()
    assert permits(RateLimiter(RateLimits(), clock), clock, 100, tokens=1000) == [0] * 100


def test_a_429_pauses_all_requests_for_as_long_as_the_endpoint_says() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(), clock)
    sent = clock()
    assert limiter.rate_limited(7.0, sent)
    assert not limiter.rate_limited(30.0, sent)  # of the same burst: no second pause
    clock.seconds += 7.5
    assert not limiter.rate_limited(30.0, sent)  # nor if its 429 arrives late
    clock.seconds -= 7.5
    first, second, third = permits(limiter, clock, 3)
    assert first == 7 < second < third


def test_permits_from_before_a_pause_do_not_all_become_valid_at_its_end() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(60), clock)
    permits(limiter, clock, 5)  # the last of them in 4 s
    limiter.rate_limited(10.0, clock())
    first, second, third = permits(limiter, clock, 3)
    assert first == 10
    assert second >= 11
    assert third >= 12


def test_pause_doubles_and_halves_with_every_answer() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(), clock)
    pauses = []
    for _ in range(9):
        limiter.rate_limited(None, clock())
        pauses.append(limiter.paused_until - clock())
        clock.seconds = limiter.paused_until
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    limiter.answered()
    limiter.rate_limited(None, clock())
    assert limiter.paused_until - clock() == 30


@pytest.mark.parametrize(
    ("configured", "announced", "kept"), [(None, 600, 600), (6000, 600, 600), (60, 600, 60), (60, None, 60)]
)
def test_the_lower_of_configured_and_announced_limit_is_kept(
    configured: float | None, announced: float | None, kept: float
) -> None:
    limiter = RateLimiter(RateLimits(configured), FakeClock())
    limiter.announced(RateLimits(announced))
    assert limiter.requests_per_minute == kept


def test_an_endpoint_that_announces_that_it_is_exhausted_gets_no_requests_for_that_long() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(), clock)
    limiter.announced(RateLimits(exhausted_seconds=3))
    assert permits(limiter, clock, 1) == [3]


def test_a_429_of_what_was_sent_before_an_announced_pause_shows_no_rate() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(), clock)
    limiter.announced(RateLimits(exhausted_seconds=3))
    assert not limiter.rate_limited(None, clock())
    assert limiter.requests_per_minute is None


def answered(limiter: RateLimiter, clock: FakeClock, count: int, seconds: float) -> None:
    for _ in range(count):
        clock.seconds += seconds / count
        limiter.sent(0)
        limiter.answered()


def test_the_rate_that_was_accepted_between_two_429s_is_learned() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(), clock)
    answered(limiter, clock, 301, 1.0)  # the last one gets a 429
    limiter.rate_limited(0.5, clock())
    assert limiter.requests_per_minute == pytest.approx(0.5 * 300 * 60)  # half of what a burst may have flattered
    clock.seconds += 0.5  # what the limit saves up in a pause is accepted after it
    answered(limiter, clock, 301, 2.5)
    limiter.rate_limited(None, clock())
    assert limiter.requests_per_minute == pytest.approx(0.97 * 6000, rel=0.01)
    answered(limiter, clock, 500, 5.0)
    assert 6000 < (limiter.requests_per_minute or 0) < 6200


def test_what_got_a_429_is_not_counted_as_accepted_however_late_that_arrives() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(), clock)
    answered(limiter, clock, 301, 1.0)
    sent = clock()
    limiter.rate_limited(2.0, sent)
    for _ in range(100):
        limiter.rate_limited(2.0, sent)
    assert limiter.requests_per_minute == pytest.approx(0.5 * 200 * 60)


def test_a_429_now_and_then_at_any_rate_slows_nothing_down() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(), clock)
    for _ in range(60):
        rate = (limiter.requests_per_minute or 6000) / 60
        answered(limiter, clock, round(3 * rate), 3.0)
        limiter.rate_limited(None, clock())
        clock.seconds = max(clock(), limiter.paused_until)
    assert (limiter.requests_per_minute or 0) > 1500  # a quarter, after sixty of them


def test_429s_also_show_that_the_configured_limit_is_too_high() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(60_000), clock)
    answered(limiter, clock, 301, 1.0)  # the last one gets a 429
    limiter.rate_limited(2.0, clock())
    assert limiter.requests_per_minute == pytest.approx(0.5 * 300 * 60)


def test_tokens_that_are_owed_are_paid_back_at_the_rate_that_holds_by_then() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(tokens_per_minute=600), clock)
    limiter.sent(1000)
    assert limiter.next_permit() == clock() + 100
    limiter.configure(RateLimits(tokens_per_minute=6000), 1)
    assert limiter.next_permit() == pytest.approx(clock() + 10)
    clock.seconds += 5
    limiter.configure(RateLimits(tokens_per_minute=600), 1)
    assert limiter.next_permit() == pytest.approx(clock() + 50)


def test_nothing_is_permitted_once_it_is_closed_and_a_permit_that_was_taken_back_is_given_again() -> None:
    clock = FakeClock()
    limiter = RateLimiter(RateLimits(60), clock)
    limiter.closes_at = clock() + 10
    first = limiter.next_permit()
    second = limiter.next_permit()
    limiter.take_back()
    assert (limiter.is_closed, limiter.next_permit()) == (False, second)
    assert second > first
    clock.seconds += 10
    assert limiter.is_closed
    limiter.closes_at, before = clock() + 10, limiter.paused_until
    limiter.pause(7)
    assert (limiter.is_closed, limiter.paused_until, before < limiter.paused_until) == (False, clock() + 7, True)
