import random
import statistics

import pytest

from clairgen.config.role import Price
from clairgen.pipeline.estimate import measured_cost
from clairgen.store import UsageSample

PRICE = Price(input=10, output=30)


def sample(usages: list[tuple[int, int]]) -> UsageSample:
    prompts, answers = [p for p, _ in usages], [a for _, a in usages]
    return UsageSample(
        len(usages),
        statistics.fmean(prompts),
        statistics.fmean(answers),
        statistics.fmean(p * p for p in prompts),
        statistics.fmean(a * a for a in answers),
        statistics.fmean(p * a for p, a in usages),
    )


def test_equal_answers_leave_no_doubt() -> None:
    found = measured_cost(sample([(200, 30)] * 20), 100, PRICE)
    assert found.expected == pytest.approx(100 * (200 * 10 + 30 * 30) / 1e6)
    assert found.high - found.low == pytest.approx(0, abs=1e-6)


def test_the_interval_is_that_of_the_costs_themselves() -> None:
    usages = [(100, 10), (300, 50), (250, 80), (120, 20)]
    costs = [(p * 10 + a * 30) / 1e6 for p, a in usages]
    found = measured_cost(sample(usages), 7, PRICE)
    error = 1.96 * statistics.stdev(costs) * (49 / 4 + 7) ** 0.5
    assert found.high - found.expected == pytest.approx(error)
    assert found.low == pytest.approx(max(0.0, found.expected - error))


@pytest.mark.slow
def test_nineteen_of_twenty_totals_lie_between_low_and_high() -> None:
    chance, inside = random.Random(0), 0
    for _ in range(400):
        drawn = [(chance.randint(100, 500), min(400, round(chance.expovariate(1 / 100)))) for _ in range(250)]
        found = measured_cost(sample(drawn[:50]), 200, PRICE)
        inside += found.low <= sum((p * 10 + a * 30) / 1e6 for p, a in drawn[50:]) <= found.high
    assert 0.92 <= inside / 400 <= 0.98
