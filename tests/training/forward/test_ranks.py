"""Two ranks (gloo) with one pair each give the gradients of one process with both, under DDP and under FSDP2."""

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from clairgen_train.forward import install_shared_forward
from tests.training.forward.batches import CONFIGS, Pair, batch_of, furthest, model_of, outputs_and_gradients
from tests.training.ranks import on_ranks

PAIRS = [Pair(7, 4, 8, 9), Pair(5, 0, 3, 9)]


def _rank(rank: int, place: Path, wrapping: str) -> None:
    model = model_of(CONFIGS["llama"])
    assert install_shared_forward(model) is None
    wrapped: nn.Module = model
    if wrapping == "ddp":
        wrapped = DistributedDataParallel(model)
    else:
        mesh = distributed.device_mesh.init_device_mesh("cpu", (2,))
        for layer in cast("nn.ModuleList", model.base_model.layers):
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    batch = {name: values[rank::2] for name, values in batch_of(PAIRS).items()}
    _, _, gradients = outputs_and_gradients(wrapped, batch)
    whole = {n.removeprefix("module."): g.full_tensor() if isinstance(g, DTensor) else g for n, g in gradients.items()}
    if rank == 0:
        torch.save(whole, place / "gradients")


@pytest.mark.parametrize("wrapping", ["ddp", "fsdp2"])
def test_two_ranks_give_the_gradients_of_one_process(tmp_path: Path, wrapping: str) -> None:
    on_ranks(_rank, tmp_path, wrapping)
    gradients = torch.load(tmp_path / "gradients", weights_only=True)
    _, _, expected = outputs_and_gradients(model_of(CONFIGS["llama"]), batch_of(PAIRS))
    assert furthest(gradients, expected) <= 1e-4
