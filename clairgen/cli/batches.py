"""`clairgen batches`: the batches of a run at their providers, and cancelling them."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clairgen.cli.signals import run_coroutine, run_drainable
from clairgen.errors import ConfigError
from clairgen.reporting.sanitize import plain_line
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.api import BatchStatus


def batches_command(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    cancel: Annotated[
        bool,
        typer.Option("--cancel", help="Cancel the open ones; what they have finished is paid for and is taken in."),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            help="With --cancel: the configuration that names their endpoints; that of the run if left out. A directory of "
            "evaluations has none."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list, for scripts.")] = False,
) -> None:
    """List the batches of a run at their providers with their age, counts and expiry, or cancel the open ones.

    Example: clairgen batches runs/first
    """
    from clairgen import api

    if config is not None and not cancel:
        raise ConfigError("--config goes with --cancel: listing batches asks nobody; leave it out")
    if cancel:
        _cancel(run, config)
    found = run_coroutine(api.batches(run))
    if as_json:
        typer.echo(json.dumps([one.to_json() for one in found], indent=2))
    elif found:
        typer.echo("\n".join(batch_lines(found)))
    else:
        typer.echo("This run has no batches.")


def batch_lines(found: "Sequence[BatchStatus]") -> list[str]:
    """Two lines for each batch; answers and failures are those that were taken in, whatever the provider counts."""
    now = time.time()
    return [line for one in found for line in _lines(one, now)]


def _lines(one: "BatchStatus", now: float) -> tuple[str, str]:
    batch, numbers = one.batch, one.numbers
    facts = [plain_line(state_of(one)), f"{duration(one.age_seconds(now))} h old"]
    if one.is_open and batch.expires_at is not None:
        facts.append(f"expires in {duration(batch.expires_at - now)} h")
    counts = [
        f"{numbers.answered:,} answered",
        f"{sum(numbers.failed.values()):,} failed",
        f"{numbers.waiting:,} waiting",
        *([f"{numbers.strays:,} of no request"] if numbers.strays else []),
    ]
    theirs = "" if batch.completed is None else f"; the provider counts {batch.completed:,} completed"
    return (
        f"{plain_line(batch.batch_id or 'not created yet')} of {plain_line(batch.role)}: {', '.join(facts)}",
        f"  {counted(batch.requests, 'request')}: {', '.join(counts)}{theirs}",
    )


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


def _cancel(run: Path, config: Path | None) -> None:
    from clairgen.pipeline.cancel_batches import cancel_batches
    from clairgen.pipeline.progress import Progress

    progress = Progress()

    async def work(stop: asyncio.Event) -> Counter[str]:
        return await cancel_batches(run, config, progress=progress, stop=stop)

    try:
        ended = run_drainable(work)
    finally:
        for note in progress.notes:
            typer.echo(f"Note: {plain_line(note)}", err=True)
    typer.echo(_how_they_ended(ended) if ended else "No batch was open.")


def _how_they_ended(ended: Counter[str]) -> str:
    """What became of the batches that were open."""
    words = {"abandoned": "given up before the provider had it", "open": "still open: run this again"}
    parts = [
        f"{counted(count, 'batch', 'batches')} {words.get(state, state)}" for state, count in sorted(ended.items())
    ]
    return f"{'; '.join(parts)}."
