"""`clairgen batches`: the batches of a run at their providers, and cancelling them."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from clairgen.cli.signals import run_coroutine, run_drainable
from clairgen.reporting.sanitize import plain_line, safe_line
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.api import BatchStatus


def batches_command(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    cancel: Annotated[
        bool,
        typer.Option("--cancel", help="Cancel the open ones; what they have finished is paid for and is taken in."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list, for scripts.")] = False,
) -> None:
    """List the batches of a run at their providers with their age, counts and expiry, or cancel the open ones.

    Example: clairgen batches runs/first
    """
    from clairgen import api

    if cancel:
        _cancel(run)
    found = run_coroutine(api.batches(run))
    if as_json:
        typer.echo(json.dumps([one.to_json() for one in found], indent=2))
    elif found:
        Console().print(batches_table(found))
    else:
        typer.echo("This run has no batches.")


def batches_table(found: "Sequence[BatchStatus]") -> Table:
    """A row for each batch; answers and failures are those that were taken in, whatever the provider counts."""
    table = Table(box=None, pad_edge=False)
    for title in ("batch", "role", "state"):
        table.add_column(title, overflow="fold")
    for title in ("requests", "answers", "failed", "waiting", "strays", "provider\ncounts", "age", "expires in"):
        table.add_column(title, justify="right", no_wrap=True)
    now = time.time()
    for one in found:
        batch, numbers = one.batch, one.numbers
        counts = (batch.requests, numbers.answered, sum(numbers.failed.values()), numbers.waiting, numbers.strays)
        theirs = "–" if batch.completed is None else f"{batch.completed:,}"
        expires = duration(batch.expires_at - now) if one.is_open and batch.expires_at is not None else "–"
        table.add_row(
            safe_line(batch.batch_id or "not created yet"),
            safe_line(batch.role),
            safe_line(state_of(one)),
            *(f"{count:,}" for count in counts),
            theirs,
            duration(one.age_seconds(now)),
            expires,
        )
    return table


def state_of(one: "BatchStatus") -> str:
    """How far a batch is, in the provider's words once it knows it."""
    batch = one.batch
    if batch.duplicate_of is not None:
        return "second of one request"
    if not one.is_open:
        return str(batch.status or "ended")
    return str(batch.status or batch.state) if batch.state == "created" else batch.state


def duration(seconds: float) -> str:
    """A time for people, such as 3:05 (hours and minutes), or 0:00 for one that is past."""
    minutes = max(0, int(seconds)) // 60
    return f"{minutes // 60}:{minutes % 60:02}"


def _cancel(run: Path) -> None:
    from clairgen.pipeline.cancel_batches import cancel_batches
    from clairgen.pipeline.progress import Progress

    progress = Progress()

    async def work(stop: asyncio.Event) -> int:
        return await cancel_batches(run, progress=progress, stop=stop)

    try:
        count = run_drainable(work)
    finally:
        for note in progress.notes:
            typer.echo(f"Note: {plain_line(note)}", err=True)
    typer.echo(f"{counted(count, 'open batch', 'open batches')} cancelled." if count else "No batch was open.")
