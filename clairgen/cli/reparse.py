"""`clairgen reparse`: run this version's parser over stored answers."""

from pathlib import Path
from typing import Annotated

import typer

from clairgen.cli.signals import run_coroutine
from clairgen.wording import counted


def reparse_command(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    every: Annotated[bool, typer.Option("--all", help="Also answers that this version has parsed already.")] = False,
) -> None:
    """Parse stored reviser answers again with this version's parser; no model is asked.

    Example: clairgen reparse runs/first
    """
    from clairgen.pipeline.reparse import reparse

    done = run_coroutine(reparse(run, every=every))
    typer.echo(
        f"{counted(done.read, 'answer')} parsed again, {counted(done.changed, 'pair')} changed, of which "
        f"{done.recovered:,} had no chosen answer before."
    )
