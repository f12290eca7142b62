"""The held-out tasks."""

import pytest

from clairgen.exporting.columns import is_test


def test_split_depends_on_the_task_and_the_seed_alone() -> None:
    held_out = [is_test(f"task-{number}", 0.5, seed=3) for number in range(64)]
    assert held_out == [is_test(f"task-{number}", 0.5, seed=3) for number in range(64)]
    assert held_out != [is_test(f"task-{number}", 0.5, seed=4) for number in range(64)]


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.5, 1.0])
def test_fraction_is_met(fraction: float) -> None:
    share = sum(is_test(f"task-{number}", fraction) for number in range(10_000)) / 10_000
    assert share == pytest.approx(fraction, abs=0.02)


def test_larger_fraction_keeps_the_tasks_of_a_smaller_one() -> None:
    tasks = [f"task-{number}" for number in range(1000)]
    assert {task for task in tasks if is_test(task, 0.05)} < {task for task in tasks if is_test(task, 0.2)}


def test_any_id_can_be_split() -> None:
    assert is_test("\ud800", 1.0)
    assert not is_test("\0", 0.0)
