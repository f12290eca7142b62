"""`clairgen merge`: one run of the shards that many machines made."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clairgen.cli.display import pairs_table
from clairgen.cli.signals import run_coroutine
from clairgen.reporting.sanitize import plain_line
from clairgen.wording import counted


def merge_command(
    shards: Annotated[
        list[Path],
        typer.Argument(help="The run directories of shards, or folders that contain them.", show_default=False),
    ],
    run: Annotated[
        Path, typer.Option("--run", help="The merged run: created if new, else added to.", show_default=False)
    ],
) -> None:
    """Make one run of shards that generate --shard made, each answer once; what was merged before adds nothing.

    Run it again at any time: after a kill, or when a shard has more. Shards have to be of one configuration and one source.

    Example: clairgen merge shards --run runs/all
    """
    from clairgen.pipeline.merge_shards import merge_shards

    summary = run_coroutine(merge_shards(shards, run, tell=lambda line: typer.echo(plain_line(line), err=True)))
    Console().print(pairs_table(summary.statuses, summary.dropped))
    again = plain_line(shlex.quote(str(run)))
    if summary.lacking:
        typer.echo(
            f"{counted(summary.lacking, 'task')} of {summary.tasks + summary.lacking:,} are in shards that were not merged yet. "
            f"Merge those too, or let clairgen generate make them with --run {again}"
        )
    pending = sum(counts.get("pending", 0) for counts in summary.statuses.values())
    if pending:
        typer.echo(
            f"{counted(pending, 'pair')} still to be made: continue their shards and merge those again, or run clairgen generate "
            f"with --run {again}"
        )
    typer.echo(f"Next: clairgen report {again}")
