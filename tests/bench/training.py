"""Training on pairs: steps a second, memory and exactness of our forward against TRL's DPOTrainer at its defaults.

python -m tests.bench.training
python -m tests.bench.training --prompt 470 --shared 0.5 --dtype bf16

A Llama of 384 x 8 with a vocabulary of 8192, batches of 4 pairs, answers of 310 tokens on the average. Every variant is the real
trainer with its optimiser; steps are interleaved, one a variant and round, in one process. Wall time is what a user waits
for; CPU time can be told on a machine that others use too. Peak memory is the largest resident set of a process of its own.
"""

import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Annotated, TypedDict, cast

import torch
import typer
from transformers import PreTrainedModel, TrainerCallback
from transformers.utils import logging

from tests.bench.harness import folder
from tests.bench.training_shapes import VARIANTS, IdsTrainer, Shape, pairs, save_model, trainer_of


class Clock(TrainerCallback):
    """Wall and CPU seconds of every optimiser step."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def on_step_begin(self, *_: object, **__: object) -> None:
        """Start both."""
        self._start = time.perf_counter(), time.process_time()

    def on_step_end(self, *_: object, **__: object) -> None:
        """Stop both."""
        self.wall.append(time.perf_counter() - self._start[0])
        self.cpu.append(time.process_time() - self._start[1])


def main(
    prompt: Annotated[int, typer.Option(help="Tokens of a prompt, on the average.")] = 140,
    shared: Annotated[float, typer.Option(help="Part of the answers that both begin with.")] = 0.0,
    dtype: Annotated[str, typer.Option(help="fp32, or bf16 (autocast), which is TRL's default.")] = "fp32",
    rounds: Annotated[int, typer.Option(help="Rounds that count; one before them does not.")] = 4,
    batch: Annotated[int, typer.Option(help="Pairs a step.")] = 4,
    variants: Annotated[
        str, typer.Option(help="Names, by commas; the first is what the others are held against.")
    ] = ",".join(VARIANTS),
    memory: Annotated[bool, typer.Option(help="Measure peak memory, each variant in a process of its own.")] = True,
    alone: Annotated[
        str | None, typer.Option(help="Take two steps of this variant and print the peak; for --memory.")
    ] = None,
) -> None:
    """Compare the variants on one shape of pairs."""
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()  # type: ignore[no-untyped-call] # so it is in transformers
    logging.disable_progress_bar()  # type: ignore[no-untyped-call] # so it is in transformers
    shape = Shape(prompt, shared=shared)
    with folder() as place:
        save_model(place / "model")
        if alone is not None:
            trainer, _ = made(alone, shape, place, batch=batch, dtype=dtype, steps=2)
            trainer.train()
            typer.echo(own_peak())
            return
        names = variants.split(",")
        trainers = {name: made(name, shape, place, batch=batch, dtype=dtype, steps=1) for name in names}
        typer.echo(f"prompts {prompt}, answers {shape.answer}, {shared:.0%} of them shared, batch {batch}, {dtype}")
        differences = {
            name: difference(trainers[name][0], trainers[names[0]][0]) for name in names[1:] if dtype == "fp32"
        }
        for number in range(rounds + 1):
            for trainer, clock in trainers.values():
                trainer.train()
                if number == 0:
                    clock.wall, clock.cpu = [], []
    peaks = {name: peak(name, prompt, shared, dtype, batch) for name in names} if memory else {}
    clocks = {name: clock for name, (_, clock) in trainers.items()}
    report(clocks, differences, peaks)


def made(name: str, shape: Shape, place: Path, *, batch: int, dtype: str, steps: int) -> tuple[IdsTrainer, Clock]:
    """A trainer and its clock."""
    clock = Clock()
    data = pairs(shape, batch * steps)
    trainer = trainer_of(
        VARIANTS[name], place / "model", data, place / name, batch=batch, bf16=dtype == "bf16", clock=clock
    )
    return trainer, clock


class Difference(TypedDict):
    """How far one variant's first step is from another's: the loss, and the worst gradient relative to its norm."""

    loss: float
    gradient: float


def difference(trainer: IdsTrainer, reference: IdsTrainer) -> Difference:
    """Of the same batch with the same weights, which are moved from the reference's first, or every loss is log 2."""
    found = [first_step(either) for either in (trainer, reference)]
    (loss, gradients), (expected, wanted) = found
    worst = max(float((gradients[n] - wanted[n]).norm() / wanted[n].norm()) for n in wanted)
    return {"loss": abs(loss - expected), "gradient": worst}


def first_step(trainer: IdsTrainer) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of the first batch, away from the weights that the model has and keeps."""
    model = cast("PreTrainedModel", trainer.model)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 0.1 * torch.randn(parameter.shape, generator=draw))
    model.train()
    inputs = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    with trainer.compute_loss_context_manager():
        loss = trainer.compute_loss(model, inputs)
    loss.backward()
    gradients = {name: cast("torch.Tensor", parameter.grad).clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    model.load_state_dict(before)
    return float(loss.detach()), gradients


def peak(name: str, prompt: int, shared: float, dtype: str, batch: int) -> float:
    """Largest resident set in MiB over two steps of the variant, libraries included: the median of three processes."""
    options = ["--alone", name, "--prompt", prompt, "--shared", shared, "--dtype", dtype, "--batch", batch]
    command = [sys.executable, "-m", "tests.bench.training", *map(str, options)]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(3)]
    return statistics.median(float(out.strip().splitlines()[-1]) for out in runs)


def own_peak() -> float:
    """Largest resident set of this process so far, in MiB; Linux alone. `ru_maxrss` would begin with that of the parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def report(clocks: dict[str, Clock], differences: dict[str, Difference], peaks: dict[str, float]) -> None:
    """One line a variant: how much faster than the first, round by round, what it takes of memory, how exact it is."""
    names = list(clocks)
    base = clocks[names[0]]
    for name, clock in clocks.items():
        line = f"{name:22} {statistics.median(clock.wall):7.2f} s a step"
        for what, seconds, of_base in (("wall", clock.wall, base.wall), ("CPU", clock.cpu, base.cpu)):
            ratios = sorted(theirs / ours for ours, theirs in zip(seconds, of_base, strict=True))
            line += f"  {what} x{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        if peaks:
            line += f"  {peaks[name]:6.0f} MiB ({peaks[name] / peaks[names[0]] - 1:+.0%})"
        if name in differences:
            line += "  loss off by {loss:.1e}, gradients by {gradient:.1e}".format(**differences[name])
        typer.echo(line)


if __name__ == "__main__":
    typer.run(main)
