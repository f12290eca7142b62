"""Several processes over gloo train as one does, and stop together."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from clairgen.errors import ConfigError, RunStoppedError
from clairgen_train.launch import Nodes, is_launched, launch, launcher
from clairgen_train.run import prepare
from clairgen_train.run_folder import RunFolder
from clairgen_train.trl_config import require_batch_size, trl_config
from tests.training.on_ranks import join_run
from tests.training.ranks import on_ranks
from tests.training.small_run import pair, settings, trained, written

pytestmark = pytest.mark.skipif(torch.cuda.device_count() == 1, reason="two ranks cannot share one GPU")

PAIRS = 31  # of which 3 are held out, so that the rest divides by the batch size of 4


def test_two_ranks_equal_one_whatever_the_users_accelerate_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "home" / "accelerate"
    own.mkdir(parents=True)
    (own / "default_config.yaml").write_text(
        "compute_environment: LOCAL_MACHINE\nnum_processes: 3\nmixed_precision: fp16\n"
    )
    monkeypatch.setenv("HF_HOME", str(own.parent))
    for name, value in (("MIXED_PRECISION", "bf16"), ("USE_FSDP", "true")):
        monkeypatch.setenv(f"ACCELERATE_{name}", value)
    written(tmp_path / "pairs.jsonl", [pair(number) for number in range(PAIRS)])
    alone = trained(tmp_path, "alone", device_batch_size=2)
    chosen = settings(tmp_path, device_batch_size=2, gpus=2, reference_cache=str(tmp_path / "other-cache"))
    folder = prepare(str(tmp_path / "pairs.jsonl"), tmp_path / "two", chosen)
    launch(folder, chosen, cpu=True)
    assert folder.is_finished
    assert {path.name for path in folder.path.glob("checkpoint-14/rng_state_*")} == {
        "rng_state_0.pth",
        "rng_state_1.pth",
    }
    one, two = (load_file(path / "model.safetensors") for path in (alone.path, folder.path))
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-4
    measured = [pq.read_table(run.trajectories) for run in (alone, folder)]
    assert measured[0]["pair_id"] == measured[1]["pair_id"]
    for column in ("chosen_logps", "rejected_logps"):
        first, second = (torch.tensor(table[column].to_pylist()) for table in measured)
        assert torch.allclose(first, second, atol=1e-2)


def joined(folder: Path, out: str, *, objective: str = "apo-zero", data: str = "pairs.jsonl") -> list[str]:
    """What each of two nodes refuses that join the run in `folder`/`out`."""
    on_ranks(join_run, folder, str(folder / data), out, objective)
    (folder / "rendezvous").unlink(missing_ok=True)
    return [file.read_text() for file in sorted(folder.glob("refused-*"))]


@pytest.mark.parametrize("objective", ["apo-zero", "kto"])
def test_two_nodes_that_share_a_folder_train_as_one_process(tmp_path: Path, objective: str) -> None:
    alone = trained(tmp_path, "alone", objective=objective)
    assert joined(tmp_path, "shared", objective=objective) == []
    one, two = (load_file(path / "model.safetensors") for path in (alone.path, tmp_path / "shared"))
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-4


def test_nodes_that_share_no_folder_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "pairs.jsonl", [pair(number) for number in range(30)])
    settings(tmp_path)
    refused = joined(tmp_path, "out-{rank}")
    assert len(refused) == 2
    for sentence in refused:
        assert "process 1 of 2 does not see the first one's folder" in sentence
        assert "on a disk that they share" in sentence
    assert not list((tmp_path / "out-0").glob(".seen*"))


def test_all_nodes_stop_where_the_first_cannot_prepare_the_run(tmp_path: Path) -> None:
    settings(tmp_path)
    first, other = joined(tmp_path, "out", data="missing.jsonl")
    assert "missing.jsonl" in first
    assert other == "the first process could not prepare the run; it says why"


LAUNCHED = """
import sys
from pathlib import Path
from clairgen.errors import DrainedError
from clairgen_train.launch import Nodes, is_launched, launch, launcher
from clairgen_train.run_folder import RunFolder

folder = RunFolder(Path(sys.argv[1]))
try:
    launch(folder, folder.settings(), cpu=True)
except DrainedError as error:
    sys.exit(f"drained: {error}")
"""


def test_sigterm_to_the_parent_ends_the_ranks_with_a_checkpoint(tmp_path: Path) -> None:
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(PAIRS)])
    folder = prepare(
        str(data), tmp_path / "out", settings(tmp_path, gpus=2, epochs=500, held_out_pairs=0, checkpoints="end")
    )
    parent = subprocess.Popen([sys.executable, "-c", LAUNCHED, str(folder.path)], stderr=subprocess.PIPE, text=True)
    _wait_until(lambda: folder.log.is_file() and len(folder.log.read_text().splitlines()) > 2)
    assert len(_ranks(folder)) == 2
    parent.send_signal(signal.SIGTERM)
    _, err = parent.communicate(timeout=120)
    assert "drained: Stopped because a signal came; a checkpoint is saved" in err
    assert folder.newest_checkpoint(2) is not None
    assert _ranks(folder) == []


def _ranks(folder: RunFolder) -> list[str]:
    """The processes that train in `folder`, without their parents."""
    commands = subprocess.run(
        ["ps", "-axww", "-o", "args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [
        line for line in commands if line.endswith(f"-m clairgen_train {folder.path}") and "distributed" not in line
    ]


def _wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 200
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_batch_that_other_processes_would_change_is_refused(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    require_batch_size(trl_config(chosen, tmp_path / "out", 1), chosen, 1)
    with pytest.raises(RunStoppedError, match="found 1 processes where 2 were started, so a step would have 2 pairs"):
        require_batch_size(trl_config(chosen, tmp_path / "out", 2), chosen, 2)


def test_nodes_are_named_by_their_number_and_where_they_meet() -> None:
    assert Nodes.named(None, None, None) is None
    assert Nodes.named(2, 1, "node-1") == Nodes(2, 1, "node-1", 29500)
    assert Nodes.named(2, 0, "[fe80::1]:80") == Nodes(2, 0, "fe80::1", 80)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((2, None, None), "belong together"),
        ((None, 0, "here:1"), "belong together"),
        ((2, 2, "here:1"), "--node-rank 2 is none of 2 nodes, which are counted from 0 to 1"),
        ((2, 0, "here:port"), "is not HOST:PORT"),
        ((2, 0, ":80"), "is not HOST:PORT"),
    ],
)
def test_what_names_no_node_is_refused(given: tuple[int | None, int | None, str | None], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Nodes.named(*given)


def test_the_processes_of_a_node_meet_those_of_the_others(tmp_path: Path) -> None:
    from torch.distributed.run import get_args_parser

    command = launcher(settings(tmp_path), 4, Nodes(3, 2, "node-1", 29501), cpu=True)
    assert command[:2] == ["-m", "torch.distributed.run"]
    parsed = get_args_parser().parse_args([*command[2:], "-m", "clairgen.cli.training_rank", "DATA", "OUT", "SETTINGS"])
    assert (parsed.nnodes, parsed.node_rank, parsed.nproc_per_node) == ("3", 2, "4")
    assert (parsed.master_addr, parsed.master_port, parsed.standalone) == ("node-1", 29501, False)
    with pytest.raises(ConfigError, match="--nodes takes parallel: ddp"):
        launcher(settings(tmp_path, parallel="fsdp2"), 1, Nodes(2, 0, "node-1", 29500), cpu=False)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "4", "RANK": "1"}, "LOCAL_RANK, MASTER_ADDR, MASTER_PORT are not set; set what torchrun sets"),
        ({"SLURM_STEP_NUM_TASKS": "8"}, "srun started 8 processes that do not know of each other"),
    ],
)
def test_processes_that_cannot_find_each_other_do_not_train_alone(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        is_launched()
