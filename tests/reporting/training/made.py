"""Trajectories of runs that never were, as training writes them: each pair drifts its own way around a planned mean."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from clairgen.reporting.training.trajectory import Trajectory
from clairgen.reporting.training.trajectory_files import FILE, read_trajectory

Plan = Callable[[float], float]
"""From the share of the run that is done, 0 to 1, to a mean change in nats since its start."""


def still(_: float) -> float:
    return 0.0


def line(nats: float) -> Plan:
    return lambda done: nats * done


@dataclass(frozen=True)
class Planned:
    """A run to be made: mean changes of chosen and rejected in nats, each pair's own noise, and sampled lengths if any."""

    objective: str = "apo-zero"
    chosen: Plan = still
    rejected: Plan = still
    noise: float = 3.0
    length: Plan | None = None
    pairs: int = 100
    measurements: int = 19
    steps_an_epoch: int = 60
    beta: float = 0.1
    data: str = "datasets/first"
    model: str = "models/base"


def columns(planned: Planned, seed: int = 0) -> dict[str, list[object]]:
    """The columns of the file, row by row: pairs inside measurements."""
    random = np.random.default_rng(seed)
    n = planned.pairs
    tokens = random.integers(60, 500, (2, n))
    reference = -1.4 * tokens * random.lognormal(0, 0.25, (2, n))
    own = random.normal(0, 1, (2, n))  # how much more or less than the mean a pair moves
    start = random.integers(80, 400, n).astype(float)
    rows: dict[str, list[object]] = {name: [] for name in _SCHEMA.names}
    for at in range(planned.measurements):
        done = at / max(planned.measurements - 1, 1)
        moved = [plan(done) * (1 + 0.2 * own[side]) for side, plan in enumerate((planned.chosen, planned.rejected))]
        noise = random.normal(0, planned.noise, (2, n)) * (at > 0)  # before the first step the model is the reference
        logps = reference + np.array(moved) + noise
        sampled: Sequence[int | None] = [None] * n
        if planned.length is not None:
            sampled = (
                np.maximum(start * (1 + planned.length(done)) + random.normal(0, 40, n), 1).round().astype(int).tolist()
            )
        _extend(
            rows,
            step=[at * planned.steps_an_epoch] * n,
            epoch=[float(at)] * n,
            pair_id=[f"pair-{number}" for number in range(n)],
            chosen_logps=logps[0],
            rejected_logps=logps[1],
            ref_chosen_logps=reference[0],
            ref_rejected_logps=reference[1],
            chosen_tokens=tokens[0],
            rejected_tokens=tokens[1],
            sampled_tokens=sampled,
        )
    return rows


def write(out: Path, planned: Planned, changed: Mapping[str, Sequence[object]] | None = None, *, seed: int = 0) -> Path:
    """The output folder of a planned run; `changed` are columns in place of the planned ones."""
    out.mkdir(parents=True, exist_ok=True)
    metadata = {
        "clairgen_objective": planned.objective,
        "clairgen_beta": str(planned.beta),
        "clairgen_data": planned.data,
        "clairgen_model": planned.model,
        "clairgen_version": "0.1.0",
    }
    schema = _SCHEMA.with_metadata({key.encode(): value.encode() for key, value in metadata.items()})
    pq.write_table(pa.table({**columns(planned, seed), **(changed or {})}, schema=schema), out / FILE)
    return out


def trajectory(
    out: Path, planned: Planned, changed: Mapping[str, Sequence[object]] | None = None, *, seed: int = 0
) -> Trajectory:
    """What is read of a planned run."""
    return read_trajectory(write(out, planned, changed, seed=seed))


HEALTHY = Planned(chosen=lambda done: 9 * done**0.5, rejected=lambda done: -14 * done**0.7)
FOUR = {
    "apo-zero": replace(HEALTHY, length=line(0.05)),
    "apo-down": replace(HEALTHY, objective="apo-down", chosen=line(-12), rejected=line(-30), length=line(0.1)),
    "dpo": replace(HEALTHY, objective="dpo", chosen=line(-8), rejected=lambda done: -40 * done**0.6, length=line(0.35)),
    "sft": replace(
        HEALTHY,
        objective="sft",
        chosen=lambda done: 34 * done**0.4 - 14 * done**2,
        rejected=lambda done: 20 * done**0.4,
        length=line(1.2),
    ),
}
"""Four runs on the same pairs, as one would compare them."""

_TYPES: dict[str, pa.DataType] = {
    "step": pa.int64(),
    "epoch": pa.float64(),
    "pair_id": pa.string(),
    **dict.fromkeys(("chosen_logps", "rejected_logps", "ref_chosen_logps", "ref_rejected_logps"), pa.float64()),
    **dict.fromkeys(("chosen_tokens", "rejected_tokens", "sampled_tokens"), pa.int64()),
}
_SCHEMA = pa.schema(list(_TYPES.items()))


def _extend(rows: dict[str, list[object]], **values: Sequence[object] | NDArray[np.generic]) -> None:
    for name, column in values.items():
        rows[name].extend(column.tolist() if isinstance(column, np.ndarray) else column)
