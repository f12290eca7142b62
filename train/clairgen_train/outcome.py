"""The last numbers of a run: means over held-out pairs with their standard errors, from the trajectories."""

import math
from collections.abc import Sequence
from pathlib import Path


def outcome(trajectories: Path, beta: float) -> dict[str, object]:
    """Mean and standard error at the last step of reward margin and both log-likelihoods' change; empty without a file."""
    if not trajectories.is_file():
        return {}
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(trajectories)
    last = table.filter(pc.equal(table["step"], pc.max(table["step"]))).to_pydict()
    chosen = [now - before for now, before in zip(last["chosen_logps"], last["ref_chosen_logps"], strict=True)]
    rejected = [now - before for now, before in zip(last["rejected_logps"], last["ref_rejected_logps"], strict=True)]
    margins = [beta * (up - down) for up, down in zip(chosen, rejected, strict=True)]
    return {
        "held_out_pairs": len(margins),
        "reward_margin": _mean(margins),
        "chosen_change": _mean(chosen),
        "rejected_change": _mean(rejected),
    }


def _mean(values: Sequence[float]) -> dict[str, float | None]:
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return {"mean": mean, "se": None, "n": count}
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return {"mean": mean, "se": math.sqrt(variance / count), "n": count}
