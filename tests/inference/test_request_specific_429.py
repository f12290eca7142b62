import pytest

from clairgen.inference.retry import Suspicion, Traffic


def refused(traffic: Traffic, suspicion: Suspicion, times: int, *, others_answered: int, others_refused: int) -> int:
    """Refusals until the ask is singled out, at most so many, with what becomes of the others between two of them."""
    for count in range(times):
        suspicion.refused()
        if suspicion.singled_out:
            return count + 1
        traffic.answered += others_answered
        traffic.refused += others_refused
    return times


@pytest.mark.parametrize(
    ("others_answered", "others_refused", "tries"),
    [(1, 0, 11), (100, 1, 11), (10, 10, 35), (10, 30, 82), (0, 10, 1000)],
)
def test_the_more_others_are_refused_the_more_it_takes_to_single_one_out(
    others_answered: int, others_refused: int, tries: int
) -> None:
    traffic = Traffic(asking=1000)
    assert refused(
        traffic, Suspicion(traffic), 1000, others_answered=others_answered, others_refused=others_refused
    ) == pytest.approx(tries, abs=2)


def test_refusals_while_nobody_is_answered_tell_nothing_once_others_wait_as_well() -> None:
    traffic = Traffic(answered=500, asking=2)
    suspicion = Suspicion(traffic)
    assert refused(traffic, suspicion, 1000, others_answered=0, others_refused=1) == 1000
    assert suspicion.wait_seconds() == 0


def test_an_ask_under_suspicion_waits_longer_each_time() -> None:
    traffic = Traffic(asking=1000)
    suspicion = Suspicion(traffic)
    refused(traffic, suspicion, 4, others_answered=5, others_refused=0)
    assert suspicion.suspected
    assert [suspicion.wait_seconds() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_when_only_such_are_left_they_are_told_without_the_others() -> None:
    traffic = Traffic(asking=2)
    left = [Suspicion(traffic), Suspicion(traffic)]
    for suspicion in left:
        refused(traffic, suspicion, 2, others_answered=5, others_refused=0)
    assert traffic.refusing == 2
    for suspicion in left:
        assert refused(traffic, suspicion, 20, others_answered=0, others_refused=0) < 20
        suspicion.end()
        traffic.asking -= 1
    assert traffic.refusing == 0
