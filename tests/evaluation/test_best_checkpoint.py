"""The best of several checkpoints: its lead over equals is due to choosing, a true lead is not."""

import random
from statistics import fmean

import pytest

from clairgen.errors import InputError
from clairgen.evaluation.best_checkpoint import best_checkpoint
from clairgen.evaluation.results import EvaluationResult
from clairgen.store import EvaluationRecord, ItemRecord


def result(label: str, scores: list[float | None], data: str = "d") -> EvaluationResult:
    """An evaluation in which every question stands in two rows with the same score."""
    items = [
        ItemRecord(
            2 * number + row + 1, f"{number}/{row}", str(number), "", "scored" if score is not None else "failed", score
        )
        for number, score in enumerate(scores)
        for row in range(2)
    ]
    return EvaluationResult(
        EvaluationRecord(label, "k", label, "d", len(items), {"data": data, "rules": {}, "models": {}}), items
    )


def drawn(draw: random.Random, label: str, probability: float, n: int = 100) -> EvaluationResult:
    return result(label, [float(draw.random() < probability) for _ in range(n)])


def test_the_maximum_of_equals_is_biased_and_the_held_out_score_is_not() -> None:
    draw = random.Random(1)
    found = [best_checkpoint([drawn(draw, str(number), 0.5) for number in range(8)]) for _ in range(20)]

    assert fmean(one.selection_bias for one in found) == pytest.approx(0.07, abs=0.02)  # of the order of 1.42 * 0.05
    assert fmean(one.held_out for one in found) == pytest.approx(0.5, abs=0.015)
    assert all(one.low <= one.held_out <= one.high for one in found)
    assert fmean(one.low <= 0.5 <= one.high for one in found) >= 0.9


def test_a_true_lead_remains() -> None:
    draw = random.Random(2)
    found = best_checkpoint([drawn(draw, "best", 0.9), *(drawn(draw, str(number), 0.5) for number in range(7))])

    assert found.label == "best"
    assert found.selection_bias == pytest.approx(0)
    assert found.held_out == pytest.approx(found.maximum.mean)
    assert (found.checkpoints, found.maximum.n, found.maximum.clusters) == (8, 200, 100)
    assert found.mean == pytest.approx(0.55, abs=0.05)
    assert found.deviation == pytest.approx(0.14, abs=0.05)


def test_it_is_the_same_each_time_and_knows_of_missing_scores() -> None:
    draw = random.Random(3)
    a, b = drawn(draw, "a", 0.5), result("b", [None, 1.0, 0.0, None] * 25)

    assert best_checkpoint([a, b]) == best_checkpoint([a, b])
    assert best_checkpoint([a, b]).to_json()["checkpoints"] == 2


@pytest.mark.parametrize(
    ("results", "says"),
    [
        ([result("a", [1.0, 0.0]), result("b", [1.0, 0.0], data="other")], "must be evaluated alike"),
        ([result("a", [1.0, 0.0]), result("b", [None, None])], "no answer of b has a score"),
    ],
)
def test_what_cannot_be_compared_is_refused(results: list[EvaluationResult], says: str) -> None:
    with pytest.raises(InputError, match=says):
        best_checkpoint(results)
