"""`clairgen migrate`: bring a run that an older version wrote up to date."""

from pathlib import Path
from typing import Annotated

import typer

from clairgen.cli.signals import run_coroutine
from clairgen.reporting.sanitize import plain_line


def migrate_command(run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)]) -> None:
    """Bring the database of a run up to this version's schema. Nothing that was paid for is lost.

    Example: clairgen migrate runs/first
    """
    from clairgen.store import migrate

    before, after = run_coroutine(migrate(run))
    name = plain_line(str(run))
    typer.echo(
        f"{name} is up to date (schema {after})."
        if before == after
        else f"{name} went from schema {before} to {after}."
    )
