"""The progress of `generate` on stderr: a live table in a terminal, a plain line now and then elsewhere."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from clairgen.pipeline.progress import Progress
from clairgen.prices import dollars
from clairgen.reporting.plain import plain_text

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
            live.update(_table(progress, time.monotonic() - start), refresh=True)
            await asyncio.sleep(_REFRESH_SECONDS)


async def _lines(progress: Progress, console: Console, start: float) -> None:
    while True:
        await asyncio.sleep(_LINE_SECONDS)
        _tell_notes(progress, console)
        console.print(Text(_line(progress, time.monotonic() - start)), soft_wrap=True)


def _tell_notes(progress: Progress, console: Console) -> None:
    """Print what is to be told, once."""
    while progress.notes:
        console.print(Text(f"Note: {plain_text(progress.notes.pop(0))}", style="yellow"), soft_wrap=True)


def _line(progress: Progress, seconds: float) -> str:
    roles = ", ".join(
        f"{name} {role.answered} answered {role.in_flight_now()} in flight" for name, role in progress.roles.items()
    )
    return (
        f"{progress.done:,} of {progress.pairs_to_make:,} pairs, {progress.failed.total():,} failed; {roles}; "
        f"{_dollars(progress)}{_time_left(progress, seconds)}"
    )


def _table(progress: Progress, seconds: float) -> Group:
    head = Table.grid(padding=(0, 1))
    head.add_row(
        ProgressBar(total=max(progress.pairs_to_make, 1), completed=progress.done, width=30),
        Text(f"{progress.done:,} of {progress.pairs_to_make:,} pairs, {progress.failed.total():,} failed"),
        Text(f"{_dollars(progress)}{_time_left(progress, seconds)}"),
    )
    roles = Table(box=None, header_style="dim", pad_edge=False)
    roles.add_column("role")
    for title in (
        "answered",
        "stored",
        "in flight",
        "failed",
        "retries",
        "tokens in",
        "tokens out",
        "dollars",
        "answers/s",
    ):
        roles.add_column(title, justify="right")
    for name, role in progress.roles.items():
        roles.add_row(
            name,
            f"{role.answered:,}",
            f"{role.stored:,}",
            f"{role.in_flight_now():,}",
            f"{role.failed:,}",
            f"{role.retried:,}",
            f"{role.prompt_tokens:,}",
            f"{role.completion_tokens:,}",
            f"{role.cost_usd:,.2f}" if role.priced else "–",
            f"{role.answered / max(seconds, 1e-9):,.1f}",
        )
    return Group(head, roles)


def _dollars(progress: Progress) -> str:
    money = progress.money
    if not money.spent_usd and not money.reserved_usd and money.budget_usd is None:
        return ""
    budget = f" of {dollars(money.budget_usd)}, {dollars(money.reserved_usd)} reserved" if money.budget_usd else ""
    return f"{dollars(money.spent_usd)} spent{budget}; "


def _time_left(progress: Progress, seconds: float) -> str:
    if not progress.done:
        return "no time estimate yet"
    left = int((progress.pairs_to_make - progress.done) * seconds / progress.done)
    return f"about {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
