import random

from clairgen.reporting.position_bias import judge_report


def verdicts(bias: float, count: int, seed: int) -> int:
    """How many of `count` verdicts fall on the first position, when it is chosen with probability one half plus `bias`."""
    drawn = random.Random(seed)
    return sum(drawn.random() < 0.5 + bias for _ in range(count))


def leaning(first: int, count: int) -> str:
    return judge_report("judge", first=first, second=count - first).leaning


def test_planted_bias_of_twenty_points_is_found() -> None:
    """First place 60%, second 40%, over 400 verdicts."""
    found = [leaning(verdicts(0.1, 400, seed), 400) for seed in range(200)]
    assert found.count("first position") >= 190
    assert "second position" not in found


def test_fair_judge_is_rarely_accused() -> None:
    accused = [leaning(verdicts(0.0, 400, seed), 400) != "neither position" for seed in range(1000)]
    assert 20 <= sum(accused) <= 80  # a 95% interval leaves out the truth in about 5%


def test_nothing_judged_accuses_nobody() -> None:
    report = judge_report("judge", first=0, second=0, ties=3, unreadable=7)
    assert (report.interval, report.leaning, report.ties, report.unreadable) == (None, "neither position", 3, 7)
    assert report.to_json()["first_position"] == {"mean": None, "se": None, "n": 0}
