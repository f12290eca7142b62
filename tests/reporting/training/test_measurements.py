import math
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from clairgen.reporting.training.report import measurements
from clairgen.reporting.training.trajectory_files import FILE, read_trajectory
from clairgen.stats import Estimate
from tests.reporting.training.made import HEALTHY, Planned, trajectory, write

THREE = Planned(pairs=3, measurements=2, beta=0.5)
COLUMNS: dict[str, list[object]] = {
    "chosen_logps": [-10.0, -20.0, -30.0, -8.0, -20.0, -33.0],
    "rejected_logps": [-12.0, -22.0, -32.0, -14.0, -22.0, -31.0],
    "ref_chosen_logps": [-10.0, -20.0, -30.0] * 2,
    "ref_rejected_logps": [-12.0, -22.0, -32.0] * 2,
    "chosen_tokens": [5, 10, 30] * 2,
    "rejected_tokens": [6, 11, 0] * 2,
    "sampled_tokens": [None, 4, 8] * 2,
}


def test_figures_worked_by_hand(tmp_path: Path) -> None:
    start, end = measurements(trajectory(tmp_path, THREE, COLUMNS))
    assert (start.step, start.epoch, end.step, end.epoch) == (0, 0.0, 60, 1.0)
    assert end.chosen_logps.mean == pytest.approx(-61 / 3)
    assert end.chosen_logps.se == pytest.approx(math.sqrt(((37 / 3) ** 2 + (1 / 3) ** 2 + (38 / 3) ** 2) / 2 / 3))
    assert end.chosen_per_token.mean == pytest.approx((-8 / 5 - 20 / 10 - 33 / 30) / 3)
    assert end.rejected_per_token.mean == pytest.approx((-14 / 6 - 2) / 2)
    assert end.rejected_per_token.n == 2  # one has no token
    assert end.chosen_reward.mean == pytest.approx(0.5 * (2 + 0 - 3) / 3)
    assert end.rejected_reward.mean == pytest.approx(0.5 * (-2 + 0 + 1) / 3)
    assert end.margin.mean == pytest.approx(0.5 * (4 + 0 - 4) / 3)
    assert end.sampled_tokens == Estimate(6, 2, 2)


def test_ties_count_one_half_and_are_told_apart(tmp_path: Path) -> None:
    start, end = measurements(trajectory(tmp_path, THREE, COLUMNS))
    assert (start.accuracy.mean, start.ties) == (0.5, 3)
    assert (end.accuracy.mean, end.ties) == (0.5, 1)  # one right, one wrong, one tie


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf, -1e300, None])
def test_what_is_no_number_is_in_no_mean_and_is_counted(tmp_path: Path, broken: float | None) -> None:
    chosen = [*COLUMNS["chosen_logps"][:4], broken, COLUMNS["chosen_logps"][5]]
    _, end = measurements(trajectory(tmp_path, THREE, {**COLUMNS, "chosen_logps": chosen}))
    assert (end.pairs, end.not_finite, end.chosen_logps.n, end.margin.n, end.rejected_logps.n) == (3, 1, 2, 2, 2)
    assert end.chosen_logps.mean == pytest.approx(-41 / 2)
    assert end.rejected_logps.mean == pytest.approx(-45 / 2)


def test_pairs_that_a_measurement_lacks_are_in_none_of_its_means(tmp_path: Path) -> None:
    columns = {name: values[:5] for name, values in COLUMNS.items()}
    few: dict[str, list[object]] = {
        "step": [0, 0, 0, 60, 60],
        "epoch": [0.0, 0.0, 0.0, 1.0, 1.0],
        "pair_id": ["a", "b", "c", "a", "b"],
    }
    _, end = measurements(trajectory(tmp_path, THREE, {**columns, **few}))
    assert (end.pairs, end.not_finite, end.margin.n) == (2, 0, 2)
    assert end.chosen_logps.mean == -14


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    out = write(tmp_path / "a", replace(HEALTHY, pairs=20))
    told = measurements(read_trajectory(out))
    table = pq.read_table(out / FILE)
    pq.write_table(table.take(list(range(table.num_rows))[::-1]), out / FILE)
    again = measurements(read_trajectory(out))
    assert [one.step for one in again] == [one.step for one in told]
    assert again[-1].margin.mean == pytest.approx(told[-1].margin.mean or 0)
    assert again[3].chosen_logps.se == pytest.approx(told[3].chosen_logps.se or 0)
