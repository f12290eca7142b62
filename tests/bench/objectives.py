"""Each objective's value and gradient against the paper's equation: `python -m tests.bench.objectives`."""

import argparse
import logging
import tempfile
import warnings
from pathlib import Path

import typer
from datasets import disable_progress_bars

from tests.training.agreement import COUNT, agreements


def main() -> None:
    argparse.ArgumentParser(
        description=f"""Largest differences, in float64 on a random batch of {COUNT} pairs, between what the trainers minimise
        and the paper's equations worked with Python's floats. 'of' says whose loss it is: TRL's own, or clairgen's for
        batches that TRL has none for."""
    ).parse_args()
    warnings.simplefilter("ignore", FutureWarning)
    logging.disable(logging.WARNING)
    disable_progress_bars()
    typer.echo("| objective | of | max abs(value - equation) | max abs(gradient - equation) |")
    typer.echo("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for found in agreements(Path(folder)):
            typer.echo(f"| {found.objective.value} | {found.source} | {found.value:.1e} | {found.gradient:.1e} |")


if __name__ == "__main__":
    main()
