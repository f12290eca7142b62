"""A run that is killed again and again, at any moment, ends with the weights, trajectories and log of one that was left alone.

`make kill-trial-training` sets TRAINING_KILLS for many more than the few kills of the ordinary tests.
"""

import json
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from torch.multiprocessing import get_context

from clairgen.errors import DrainedError
from clairgen_train.run import prepare, run
from clairgen_train.run_folder import RunFolder
from tests.training.small_run import settings, trained
from tests.training.test_run import logged, same

KILLS = int(os.environ.get("TRAINING_KILLS", "4"))
GIVEN: dict[str, object] = {"epochs": 4 + KILLS // 4, "checkpoints": 1, "keep_checkpoints": 3}


@pytest.mark.process
@pytest.mark.timeout(300 + 60 * KILLS)
@pytest.mark.parametrize("objective", ["apo-zero", "kto"])
def test_a_run_that_is_killed_at_any_moment_ends_as_one_that_was_not(tmp_path: Path, objective: str) -> None:
    whole = trained(tmp_path, "whole", objective=objective, **GIVEN)
    killed, seed = RunFolder(tmp_path / "killed"), random.randrange(2**32)
    chance = random.Random(seed)
    for number in range(KILLS):
        process = started(tmp_path, killed.path, objective)
        wait_for_lines(process, killed.log, chance.choice((0, 0, 1, 2, 3)))
        time.sleep(chance.uniform(0, 0.1 if killed.log.is_file() else 2))
        kill, code = (process.terminate, signal.SIGTERM) if number % 3 == 2 else (process.kill, signal.SIGKILL)
        kill()
        process.join()
        assert process.exitcode in (0, -code), f"seed {seed}, kill {number}"
    process = started(tmp_path, killed.path, objective)
    process.join()
    assert (process.exitcode, killed.is_finished) == (0, True), f"seed {seed}"
    assert same(whole.path, killed.path), f"seed {seed}"
    assert logged(whole) == logged(killed), f"seed {seed}"
    assert pq.read_table(whole.trajectories).equals(pq.read_table(killed.trajectories)), f"seed {seed}"
    one, other = (json.loads((folder.path / "result.json").read_text()) for folder in (whole, killed))
    assert one == other


def started(folder: Path, out: Path, objective: str) -> BaseProcess:
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.training.test_kills"])
    process: BaseProcess = context.Process(target=train, args=(folder, out, objective))
    process.start()
    return process


def train(folder: Path, out: Path, objective: str) -> None:
    """As the command does, in a process of its own."""
    torch.set_num_threads(1)
    try:
        with RunFolder(out).locked():
            prepared = prepare(str(folder / "pairs.jsonl"), out, settings(folder, objective=objective, **GIVEN))
            if not prepared.is_finished:
                run(prepared)
    except DrainedError:
        pass


def wait_for_lines(process: BaseProcess, log: Path, count: int) -> None:
    """Wait until the log is `count` lines longer, or the process has ended."""
    before = lines(log)
    while process.is_alive() and lines(log) < before + count:
        time.sleep(0.01)


def lines(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.is_file() else 0
