"""Several processes for one run, one per GPU: torch's launcher for copies of the model, accelerate's for shards.

`launch` starts them on one machine, or this machine's among several `Nodes`; where a launcher started them, on one machine or
several, `joined` makes a run of them.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from clairgen.errors import ConfigError, DrainedError, RunError, RunStoppedError
from clairgen_train import handled_signals
from clairgen_train.run_folder import RunFolder
from clairgen_train.settings import Parallel, TrainingSettings

if TYPE_CHECKING:
    from accelerate import PartialState

_SET_BY_LAUNCHERS = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_PORT = "29500"  # torch's own
_SECONDS_TO_STOP = 600
"""How long the processes may take for a step and a checkpoint after a signal."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """Machines that train together: this is number `rank` of `count`, from 0; all meet at `port` of `host`, the first one."""

    count: int
    rank: int
    host: str
    port: int

    @classmethod
    def named(cls, count: int | None, rank: int | None, rendezvous: str | None) -> "Nodes | None":
        """The nodes that --nodes, --node-rank and --rendezvous name; None without any. Raises ConfigError for what names none."""
        if count is None and rank is None and rendezvous is None:
            return None
        if count is None or rank is None or rendezvous is None:
            raise ConfigError(
                "--nodes, --node-rank and --rendezvous belong together: how many machines train, which of them this is (from 0), "
                "and HOST:PORT of the first one, the same on all"
            )
        if not 0 <= rank < count:
            raise ConfigError(f"--node-rank {rank} is none of {count} nodes, which are counted from 0 to {count - 1}")
        host, _, port = rendezvous.rpartition(":") if ":" in rendezvous else (rendezvous, "", _PORT)
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ConfigError(f"--rendezvous {rendezvous!r} is not HOST:PORT, such as node-1:{_PORT}")
        return cls(count, rank, host.strip("[]"), int(port))


def launch(
    folder: RunFolder,
    settings: TrainingSettings,
    *,
    cpu: bool = False,
    pass_fds: Sequence[int] = (),
    nodes: Nodes | None = None,
    work: Sequence[str] = (),
) -> None:
    """Train what is prepared in `folder` with `settings.gpus` processes and wait for them.

    `cpu` runs them on CPUs, over gloo; the launcher keeps `pass_fds` open, such as the folder's lock. Of several `nodes` the
    processes of this one are started; `work` is what each runs in place of `python -m clairgen_train`, and prepares the folder as
    `joined` does. A first signal makes the processes save a checkpoint and stop, a second one kills them. Raises ConfigError
    where there are fewer GPUs, RunStoppedError if a process failed, DrainedError if a signal ended the run early.
    """
    ranks = settings.gpus or 1
    if not cpu:
        _require_gpus(ranks)
    work = work or ("-m", "clairgen_train", str(folder.path))
    command = [sys.executable, *launcher(settings, ranks, nodes, cpu=cpu), *work]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    environment |= {"ACCELERATE_USE_CPU": "true"} if cpu else {}
    environment.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_SECONDS_TO_STOP))
    environment.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // ranks, 1)))
    process = subprocess.Popen(  # noqa: S603 - our own module, arguments as a list
        command, env=environment, pass_fds=pass_fds, start_new_session=True
    )
    with _passing_signals_to(process) as received:
        code = process.wait()
    if folder.is_finished:
        return
    if code and not received:
        raise RunStoppedError(
            f"a training process failed with exit code {code}, for the reason above; checkpoints are kept, run the same command "
            "to continue"
        )
    raise DrainedError("Stopped because a signal came; a checkpoint is saved, run the same command to continue.")


def has_gpu() -> bool:
    """Whether PyTorch sees a card on this machine."""
    import torch

    return torch.cuda.is_available()


def is_launched() -> bool:
    """Whether a launcher such as torchrun started this process as one of several.

    Raises ConfigError where they could not find each other: each would train alone, perhaps in the same folder.
    """
    size = os.environ.get("WORLD_SIZE") or "1"
    in_step = os.environ.get("SLURM_STEP_NUM_TASKS") or "1"
    if size == "1":
        if in_step != "1" and "WORLD_SIZE" not in os.environ:
            raise ConfigError(
                f"srun started {in_step} processes that do not know of each other; set WORLD_SIZE=$SLURM_NTASKS, "
                "RANK=$SLURM_PROCID, LOCAL_RANK=$SLURM_LOCALID, MASTER_ADDR and MASTER_PORT in each, or start one a node with "
                "--nodes, --node-rank and --rendezvous; WORLD_SIZE=1 says that this one is to train alone"
            )
        return False
    if missing := [name for name in _SET_BY_LAUNCHERS if not os.environ.get(name)]:
        raise ConfigError(
            f"WORLD_SIZE={size} says that this process is one of several, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set; set what torchrun sets, or start them with torchrun"
        )
    return True


@contextmanager
def joined(folder: RunFolder, settings: TrainingSettings, prepare: Callable[[], object]) -> Iterator[bool]:
    """For a process that a launcher started: the first one locks the folder and calls `prepare`, the others wait.

    Gives whether this process is the first. Raises what `prepare` raises, RunStoppedError in the others then, RunError where they
    do not share the folder.
    """
    from accelerate.utils import broadcast_object_list

    if settings.gpus is not None:
        raise ConfigError(
            "gpus starts processes, and torchrun has started some already; leave gpus out (--set gpus=null)"
        )
    state, is_prepared = process_state(), [False]
    with ExitStack() as stack:
        try:
            if state.is_main_process:
                stack.enter_context(folder.locked())
                prepare()
                is_prepared = [True]
        finally:
            broadcast_object_list(is_prepared)
        if not is_prepared[0]:
            raise RunStoppedError("the first process could not prepare the run; it says why")
        require_one_folder(folder)
        yield bool(state.is_main_process)


def process_state() -> "PartialState":
    """What this process is of the run's processes; it joins those that a launcher started."""
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.accelerator.is_available())


def require_one_folder(folder: RunFolder) -> None:
    """Raise RunError in every process unless all see the folder of the first: pairs, settings and checkpoints are in it."""
    from accelerate.utils import broadcast_object_list, gather_object

    state = process_state()
    if state.num_processes == 1:
        return
    name = [f".seen-by-all-{os.getpid()}-{time.time_ns()}"]
    broadcast_object_list(name)
    file = folder.path / name[0]
    if state.is_main_process:
        file.touch()
    state.wait_for_everyone()
    seen = gather_object([file.exists()])
    if state.is_main_process:
        file.unlink()
    if not all(seen):
        raise RunError(
            f"process {seen.index(False)} of {len(seen)} does not see the first one's folder {folder.path}; give all nodes the "
            "same folder, on a disk that they share"
        )


@contextmanager
def _passing_signals_to(process: "subprocess.Popen[bytes]") -> Iterator[list[int]]:
    """Pass signals on to the launcher `process`, once, since it passes them on to the ranks; the list holds what was received.

    The launcher has a session of its own, so that a terminal's Ctrl-C does not reach the ranks as well, as a second signal.
    """
    received: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        process.send_signal(signal.SIGTERM)  # a second one makes it kill the ranks

    with handled_signals(forward):
        yield received


def launcher(settings: TrainingSettings, ranks: int, nodes: Nodes | None, *, cpu: bool) -> list[str]:
    """The launcher's module and options; neither reads the user's own accelerate configuration."""
    if nodes is not None and settings.parallel is not Parallel.DDP:
        raise ConfigError(
            f"--nodes takes parallel: ddp, and this is {settings.parallel.value}; use the GPUs of one machine"
        )
    if cpu or settings.parallel is Parallel.DDP:
        meeting = (
            ["--standalone"]
            if nodes is None
            else [
                f"--nnodes={nodes.count}",
                f"--node-rank={nodes.rank}",
                f"--master-addr={nodes.host}",
                f"--master-port={nodes.port}",
            ]
        )
        return ["-m", "torch.distributed.run", *meeting, f"--nproc-per-node={ranks}"]
    spec = find_spec("trl")
    if spec is None or spec.origin is None:
        raise ConfigError("the configuration files of trl are not found; reinstall trl, or use parallel: ddp")
    file = Path(spec.origin).parent / "accelerate_configs" / f"{settings.parallel.value}.yaml"
    if settings.parallel is not Parallel.FSDP2 and find_spec("deepspeed") is None:
        raise ConfigError(
            f"parallel: {settings.parallel.value} needs deepspeed; install it with: pip install deepspeed"
        )
    precision = settings.precision if settings.precision in ("bf16", "fp16") else "no"
    options = ["--config_file", str(file), "--num_processes", str(ranks), "--mixed_precision", precision]
    return ["-m", "accelerate.commands.launch", *options]


def _require_gpus(ranks: int) -> None:
    import torch

    seen = torch.cuda.device_count()
    if seen < ranks:
        raise ConfigError(
            f"{ranks} GPUs are requested and {seen} are found here; lower --gpus, or check CUDA_VISIBLE_DEVICES"
        )
