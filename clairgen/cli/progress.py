"""The progress of `generate` on stderr: a live table in a terminal, a plain line now and then elsewhere."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from rich.console import Console
from rich.live import Live
from rich.text import Text

from clairgen.cli.counted import counters_line, counters_table
from clairgen.pipeline.progress import Progress
from clairgen.reporting.sanitize import plain_text

_REFRESH_SECONDS = 0.25
_LINE_SECONDS = 30.0


@contextlib.asynccontextmanager
async def shown(progress: Progress, console: Console) -> AsyncIterator[None]:
    """Show `progress` on `console` while the block runs."""
    start = time.monotonic()
    showing = asyncio.create_task(
        _live(progress, console, start) if console.is_terminal else _lines(progress, console, start)
    )
    try:
        yield
    finally:
        showing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await showing
        _tell_notes(progress, console)


async def _live(progress: Progress, console: Console, start: float) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            _tell_notes(progress, live.console)
            live.update(counters_table(progress.counters(time.monotonic() - start)), refresh=True)
            await asyncio.sleep(_REFRESH_SECONDS)


async def _lines(progress: Progress, console: Console, start: float) -> None:
    while True:
        await asyncio.sleep(_LINE_SECONDS)
        _tell_notes(progress, console)
        console.print(Text(counters_line(progress.counters(time.monotonic() - start))), soft_wrap=True)


def _tell_notes(progress: Progress, console: Console) -> None:
    """Print what is to be told, once."""
    while progress.notes:
        console.print(Text(f"Note: {plain_text(progress.notes.pop(0))}", style="yellow"), soft_wrap=True)
