"""`clairgen reparse`: run this version's parser over stored answers."""

from pathlib import Path
from typing import Annotated

import typer


def reparse(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    every: Annotated[bool, typer.Option("--all", help="Also answers that this version has read already.")] = False,
) -> None:
    """Read stored reviser answers again with a newer parser; no model is asked.

    Example: clairgen reparse runs/first
    """
    from clairgen.cli.signals import run as run_coroutine
    from clairgen.pipeline.reparse import reparse as reparse_pairs

    done = run_coroutine(reparse_pairs(run, every=every))
    typer.echo(
        f"{done.read:,} answers read again, {done.changed:,} pairs changed, {done.recovered:,} of them had no chosen answer."
    )
