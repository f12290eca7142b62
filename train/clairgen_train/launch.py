"""Several processes for one run, one a GPU, by accelerate's launcher."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from clairgen.errors import ConfigError, DrainedError, RunStoppedError
from clairgen_train.run_folder import RunFolder
from clairgen_train.settings import Parallel, TrainingSettings


def launch(folder: RunFolder, settings: TrainingSettings, *, cpu: bool = False) -> None:
    """Train what is prepared in `folder` with `settings.gpus` processes and wait for them.

    `cpu` runs them without GPUs, over gloo. Raises ConfigError where there are fewer GPUs, RunStoppedError if a process failed,
    DrainedError if a signal ended the run early.
    """
    ranks = settings.gpus or 1
    if not cpu:
        _require_gpus(ranks)
    command = [sys.executable, "-m", "accelerate.commands.launch", *_accelerate(settings, ranks, cpu=cpu)]
    command += ["-m", "clairgen_train", str(folder.path)]
    process = subprocess.Popen(command)  # noqa: S603 - our own module, arguments as a list
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            continue  # the terminal has sent it to the ranks as well, which save a checkpoint and stop
    if code:
        raise RunStoppedError(
            f"a training process failed with exit code {code}, for the reason above; checkpoints are kept, run the same command "
            "to go on"
        )
    if not folder.is_finished:
        raise DrainedError("Stopped as asked; a checkpoint is kept, run the same command to go on.")


def _accelerate(settings: TrainingSettings, ranks: int, *, cpu: bool) -> list[str]:
    """The launcher's options: the file of TRL for the kind of sharding, with our number of processes and precision."""
    precision = "bf16" if settings.precision == "bf16" else "no"
    options = ["--num_processes", str(ranks), "--mixed_precision", precision]
    if cpu:
        return ["--cpu", "--num_machines", "1", "--num_cpu_threads_per_process", "1", *options]
    if settings.parallel is Parallel.DDP:
        return [*(["--multi_gpu"] if ranks > 1 else []), "--num_machines", "1", "--dynamo_backend", "no", *options]
    spec = find_spec("trl")
    if spec is None or spec.origin is None:
        raise ConfigError("trl is not installed as files; use parallel: ddp")
    file = Path(spec.origin).parent / "accelerate_configs" / f"{settings.parallel.value}.yaml"
    if settings.parallel is not Parallel.FSDP2 and find_spec("deepspeed") is None:
        raise ConfigError(
            f"parallel: {settings.parallel.value} needs deepspeed; install it with: pip install deepspeed"
        )
    return ["--config_file", str(file), *options]


def _require_gpus(ranks: int) -> None:
    import torch

    seen = torch.cuda.device_count()
    if seen < ranks:
        raise ConfigError(
            f"{ranks} GPUs are asked for and {seen} are seen here; lower --gpus, or check CUDA_VISIBLE_DEVICES"
        )
