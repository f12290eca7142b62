"""`clairgen restore`: a run directory of the copy that generate --copy-to kept."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from clairgen.reporting.sanitize import plain_line


def restore_command(
    copy: Annotated[str, typer.Argument(help="The URL or folder that was given to --copy-to.", show_default=False)],
    run: Annotated[Path, typer.Option("--run", help="The run directory: new, or empty.", show_default=False)],
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Of a damaged copy, take the newest state that is whole.")
    ] = False,
) -> None:
    """Make a run directory of the copy that generate --copy-to kept, checked by SQLite before it is in its place.

    The copy stays as it is. generate --copy-to does the same by itself where its run directory is new.

    Example: clairgen restore s3://bucket/runs/first --run runs/first
    """
    from clairgen.copies.restoring import restore
    from clairgen.copies.storage import open_storage
    from clairgen.store import RunDirectory

    directory = RunDirectory(run)
    storage = open_storage(copy)
    directory.create()
    with directory.locked():
        restored = restore(storage, directory, accept_loss=accept_loss)
    where = plain_line(shlex.quote(str(run)))
    typer.echo(f"Restored {where}: {plain_line(restored.sentence)}")
    typer.echo(f"Next: the same clairgen generate as before, with --run {where}")
