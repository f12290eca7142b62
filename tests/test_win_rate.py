import random

import pytest

from clairgen.records import Variant
from clairgen.stats import FEWEST_TASKS, Tally, WinRate, win_rate


def tallies(wins: int, losses: int, ties: int = 0) -> list[Tally]:
    """One comparison a task."""
    return [Tally(wins=1)] * wins + [Tally(losses=1)] * losses + [Tally(ties=1)] * ties


def test_the_interval_is_bonett_and_prices_for_paired_proportions() -> None:
    wins, losses, ties = 40, 10, 150
    found = win_rate(tallies(wins, losses, ties))
    padded = wins + losses + ties + 2
    won, lost = (wins + 1) / padded, (losses + 1) / padded
    reach = 1.959963984540054 * ((won + lost - (won - lost) ** 2) / padded) ** 0.5
    assert found.mean == pytest.approx((wins + ties / 2) / (padded - 2))
    assert (found.low, found.high) == pytest.approx(
        ((1 + won - lost - reach) / 2, (1 + won - lost + reach) / 2), abs=1e-12
    )


@pytest.mark.slow
@pytest.mark.parametrize("won", [0.5, 0.3, 0.1])
@pytest.mark.parametrize("tasks", [20, 100])
def test_the_interval_holds_the_truth_as_often_as_it_says(won: float, tasks: int) -> None:
    draw = random.Random(f"{won} {tasks}")
    lost = 0.3
    truth = won + (1 - won - lost) / 2
    held = 0
    for _ in range(1000):
        found = win_rate(
            Tally(wins=int(at < won), losses=int(won <= at < won + lost), ties=int(at >= won + lost))
            for at in (draw.random() for _ in range(tasks))
        )
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    assert 930 <= held <= 985


def test_samples_of_one_task_do_not_count_as_tasks() -> None:
    """Comparisons of a task that all end alike say no more than one of them."""
    draw = random.Random(0)
    once = tallies(30, 20)
    repeated = [Tally(8 * one.wins, 8 * one.losses) for one in once]
    assert win_rate(repeated) == win_rate(once)
    independent = [Tally(wins := sum(draw.random() < 0.6 for _ in range(8)), 8 - wins) for _ in range(50)]
    narrow, wide = win_rate(independent), win_rate(once)
    assert narrow.high is not None and narrow.low is not None and wide.high is not None and wide.low is not None
    assert narrow.high - narrow.low < 0.6 * (wide.high - wide.low)


@pytest.mark.parametrize(
    ("rate", "recommended"),
    [
        (win_rate(tallies(40, 10)), Variant.APO_ZERO),
        (win_rate(tallies(10, 40)), Variant.APO_DOWN),
        (win_rate(tallies(26, 24)), None),
        (win_rate(tallies(0, 0, 500)), None),
        (win_rate(tallies(FEWEST_TASKS - 1, 0)), None),
        (win_rate(tallies(FEWEST_TASKS, 0)), Variant.APO_ZERO),
        (win_rate([]), None),
        (win_rate([Tally(), Tally()]), None),
    ],
)
def test_what_is_recommended(rate: WinRate, recommended: Variant | None) -> None:
    assert rate.recommendation is recommended


def test_what_is_not_clear_says_what_would_help() -> None:
    leaning = win_rate(tallies(57, 43, 20))
    assert leaning.recommendation is None
    assert not leaning.is_small
    assert leaning.more_tasks is not None
    factor = (leaning.tasks + leaning.more_tasks) / leaning.tasks
    more = win_rate(tallies(round(57 * factor), round(43 * factor), round(20 * factor)))
    assert more.recommendation is Variant.APO_ZERO
    assert win_rate(tallies(3, 0)).more_tasks == FEWEST_TASKS - 3
    balanced = win_rate(tallies(30, 30))
    assert (balanced.more_tasks, balanced.is_small) == (None, False)
    assert win_rate(tallies(2000, 2000)).is_small
    assert win_rate(tallies(0, 0, 200)).is_small


@pytest.mark.parametrize(
    ("tally", "score", "leaning"),
    [
        (Tally(2, 1), 2 / 3, Variant.APO_ZERO),
        (Tally(0, 1, 3), 3 / 8, Variant.APO_DOWN),
        (Tally(1, 1), 0.5, None),
        (Tally(0, 0, 2), 0.5, None),
        (Tally(), None, None),
    ],
)
def test_what_a_pair_leans_to(tally: Tally, score: float | None, leaning: Variant | None) -> None:
    assert (tally.score, tally.leaning) == (score, leaning)
