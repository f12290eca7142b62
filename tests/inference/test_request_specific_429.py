import pytest

from clairgen.inference.retry import RequestSpecific429, Traffic


def attempts(
    traffic: Traffic, own_429s: RequestSpecific429, times: int, *, others_answered: int, others_limited: int
) -> int:
    """429s until the request counts as rejected alone, at most `times`, with what becomes of others between two of them."""
    for count in range(times):
        own_429s.rate_limited()
        if own_429s.rejected_alone:
            return count + 1
        traffic.answered += others_answered
        traffic.rate_limited += others_limited
    return times


@pytest.mark.parametrize(
    ("others_answered", "others_limited", "expected"),
    [(1, 0, 11), (100, 1, 11), (10, 10, 35), (10, 30, 82), (0, 10, 1000)],
)
def test_the_more_429s_others_get_the_more_it_takes_to_call_one_rejected_alone(
    others_answered: int, others_limited: int, expected: int
) -> None:
    traffic = Traffic(pending=1000)
    assert attempts(
        traffic, RequestSpecific429(traffic), 1000, others_answered=others_answered, others_limited=others_limited
    ) == pytest.approx(expected, abs=2)


def test_429s_while_no_other_is_answered_say_nothing_once_others_wait_as_well() -> None:
    traffic = Traffic(answered=500, pending=2)
    own_429s = RequestSpecific429(traffic)
    assert attempts(traffic, own_429s, 1000, others_answered=0, others_limited=1) == 1000
    assert own_429s.wait_seconds() == 0


def test_a_suspected_request_waits_longer_each_time() -> None:
    traffic = Traffic(pending=1000)
    own_429s = RequestSpecific429(traffic)
    attempts(traffic, own_429s, 4, others_answered=5, others_limited=0)
    assert own_429s.suspected
    assert [own_429s.wait_seconds() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_when_only_such_requests_are_left_they_are_found_without_the_others() -> None:
    traffic = Traffic(pending=2)
    left = [RequestSpecific429(traffic), RequestSpecific429(traffic)]
    for own_429s in left:
        attempts(traffic, own_429s, 2, others_answered=5, others_limited=0)
    assert traffic.pending_rate_limited == 2
    for own_429s in left:
        assert attempts(traffic, own_429s, 20, others_answered=0, others_limited=0) < 20
        own_429s.close()
        traffic.pending -= 1
    assert traffic.pending_rate_limited == 0
