"""What chance alone makes of 100 runs: in at least 95 of 100 nothing is told but that nothing was learned."""

from dataclasses import replace
from pathlib import Path

import pytest

from clairgen.reporting.training.diagnostics.diagnostic import EXPECTED_DIRECTIONS
from clairgen.reporting.training.diagnostics.registry import diagnostics
from tests.reporting.training.made import FOUR, HEALTHY, Planned, still, trajectory

pytestmark = pytest.mark.slow

RUNS = 100


@pytest.mark.parametrize("pairs", [12, 100])
def test_noise_alone_raises_nothing_but_no_change(tmp_path: Path, pairs: int) -> None:
    told, unchanged = 0, 0
    for seed in range(RUNS):
        objective = list(EXPECTED_DIRECTIONS)[seed % len(EXPECTED_DIRECTIONS)]
        planned = Planned(objective=objective, length=still, pairs=pairs, measurements=7)
        names = {one.name for one in diagnostics(trajectory(tmp_path, planned, seed=seed))}
        unchanged += "no_change" in names
        told += bool(names - {"no_change"})
    assert told <= 0.05 * RUNS
    assert unchanged >= 0.9 * RUNS  # its interval is one of 95%


def test_healthy_runs_are_left_in_peace(tmp_path: Path) -> None:
    told = 0
    for seed in range(RUNS):
        objective = list(EXPECTED_DIRECTIONS)[seed % len(EXPECTED_DIRECTIONS)]
        planned = FOUR["apo-down"] if objective == "apo-down" else replace(HEALTHY, objective=objective, length=still)
        told += bool(diagnostics(trajectory(tmp_path, replace(planned, measurements=7), seed=seed)))
    assert told <= 0.05 * RUNS
