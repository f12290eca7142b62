"""Two processes over gloo train as one does."""

from pathlib import Path

import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from clairgen_train.launch import launch
from clairgen_train.run import prepare
from tests.training.small_run import settings, trained


def test_two_ranks_equal_one(tmp_path: Path) -> None:
    alone = trained(tmp_path, "alone", device_batch_size=2)
    chosen = settings(tmp_path, device_batch_size=2, gpus=2, reference_cache=str(tmp_path / "other-cache"))
    folder = prepare(str(tmp_path / "pairs.jsonl"), tmp_path / "two", chosen)
    launch(folder, chosen, cpu=True)
    one, two = (load_file(path / "model.safetensors") for path in (alone.path, folder.path))
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-4
    measured = [pq.read_table(run.trajectories) for run in (alone, folder)]
    assert measured[0]["pair_id"] == measured[1]["pair_id"]
    for column in ("chosen_logps", "rejected_logps"):
        first, second = (torch.tensor(table[column].to_pylist()) for table in measured)
        assert torch.allclose(first, second, atol=1e-2)
