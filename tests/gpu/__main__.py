"""The shared forward on a CUDA card: does it agree with TRL's forward, and how fast and large is a step beside TRL's.

    make gpu
    python -m tests.gpu --layers 4 --seconds 120 --report gpu.json

Needs one card and no network: the models are random, in the shape of Llama 3.1 8B with as many layers as asked for. Every variant
is the real trainer with its optimizer, at TRL's default settings but for what its name says. It takes under six minutes; what
the time does not suffice for is listed as not run.
"""

import json
import time
import warnings
from pathlib import Path
from typing import Annotated

import torch
import typer
from transformers.utils import logging

from tests.gpu.agreement import agreements
from tests.gpu.steps import VARIANTS, Cell, Step, measured
from tests.training.forward.architectures import findings

_FAMILIES = ["llama", "mistral", "gemma3_text", "qwen3", "mixtral"]


def main(
    layers: Annotated[int, typer.Option(help="Layers under full fine-tuning; under LoRA four times as many.")] = 8,
    batch: Annotated[int, typer.Option(help="Pairs a step.")] = 4,
    rounds: Annotated[int, typer.Option(help="Steps that count, after two that do not.")] = 4,
    seconds: Annotated[float, typer.Option(help="Start no further variant after this time.")] = 330,
    variants: Annotated[
        str, typer.Option(help="Names, by commas; the first is what the others are compared with.")
    ] = ",".join(VARIANTS),
    only: Annotated[str, typer.Option(help="checks or steps; both if empty.")] = "",
    report: Annotated[Path | None, typer.Option(help="Write the figures here as JSON too.")] = None,
) -> None:
    """Check, measure, print; exit with 1 if the forward disagrees, with 2 if there is no CUDA card."""
    start = time.monotonic()
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()  # type: ignore[no-untyped-call] # so it is in transformers
    if not torch.cuda.is_available():
        typer.echo("No CUDA card is found here; run this on a machine that has one.", err=True)
        raise typer.Exit(2)
    torch._dynamo.config.recompile_limit = 64
    typer.echo(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    wrong = 0 if only == "steps" else _checked()
    steps = [] if only == "checks" else _measured(variants.split(","), layers, batch, rounds, start, seconds)
    if report is not None:
        report.write_text(json.dumps([step.as_row() for step in steps], indent=1), encoding="utf-8")
    typer.echo(f"{time.monotonic() - start:.0f} s in all")
    raise typer.Exit(1 if wrong else 0)


def _checked() -> int:
    """Print the checks; the number of those that failed."""
    wrong = 0
    for agreement in agreements():
        wrong += not agreement.holds
        typer.echo(agreement.line())
    for dtype in (torch.float32, torch.bfloat16):
        for finding in findings(_FAMILIES, dtype, "cuda"):
            wrong += finding.kind != "agrees"
            typer.echo(f"{finding.kind:8} tiny {finding.name:12} {str(dtype)[6:]:9} {finding.detail}")
    return wrong


def _measured(names: list[str], layers: int, batch: int, rounds: int, start: float, seconds: float) -> list[Step]:
    """Print one line a variant; the ratios are to TRL's default in the same cell."""
    steps: list[Step] = []
    for cell in (
        Cell(lora, prompt, 4 * layers if lora else layers, batch) for lora in (False, True) for prompt in (140, 470)
    ):
        typer.echo(cell.title())
        base: Step | None = None
        for name in names:
            if time.monotonic() > start + seconds:
                typer.echo(f"  {name:24} not run: the time is over")
                continue
            step = measured(name, cell, rounds)
            base = base or step
            steps.append(step)
            typer.echo(f"{step.line(base)}  (at {time.monotonic() - start:.0f} s)")
    return steps


if __name__ == "__main__":
    typer.run(main)
