"""Ranks forked from one process that has loaded torch and trl, so that each need not load them again."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import start_processes

RANKS = 2


def on_ranks(work: Callable[..., None], folder: Path, *arguments: object) -> None:
    """Run `work(rank, folder, *arguments)` on two ranks of a process group over gloo."""
    get_context("forkserver").set_forkserver_preload(["tests.training.on_ranks", "tests.training.forward.test_ranks"])
    start_processes(_rank, (work, folder, *arguments), nprocs=RANKS, start_method="forkserver")  # type: ignore[no-untyped-call] # so it is in torch


def _rank(rank: int, work: Callable[..., None], folder: Path, *arguments: Any) -> None:  # noqa: ANN401 - of any work
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": RANKS, "LOCAL_WORLD_SIZE": RANKS, "OMP_NUM_THREADS": 1}
    os.environ |= {name: str(value) for name, value in variables.items()}  # as torch's launcher sets them
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=RANKS)
    torch.set_num_threads(1)
    work(rank, folder, *arguments)
    distributed.destroy_process_group()
