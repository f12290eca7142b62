"""`clairgen status --watch`: a run as it goes, seen from another terminal; it reads the store and the log, and writes nothing."""

import asyncio
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from clairgen import api
from clairgen.cli.counted import counters_line, counters_table
from clairgen.cli.pairs_table import pairs_table, spent_line
from clairgen.pipeline.run_log import Session
from clairgen.reporting.sanitize import safe_line

_REFRESH_SECONDS = 2.0  # counting a million pairs takes a tenth of a second
_LINE_SECONDS = 10.0


async def watch(run: Path, console: Console) -> None:
    """Show a run until its session ends: live in a terminal, a line now and then elsewhere. A finished one is shown once."""
    if not console.is_terminal:
        while (seen := await api.watched(run)).running:
            console.print(Text(_line(seen)), soft_wrap=True)
            await asyncio.sleep(_LINE_SECONDS)
        console.print(Text(_line(seen)), soft_wrap=True)
        return
    with Live(console=console, auto_refresh=False) as live:
        while (seen := await api.watched(run)).running:
            live.update(_view(seen), refresh=True)
            await asyncio.sleep(_REFRESH_SECONDS)
        live.update(_view(seen), refresh=True)


def _view(seen: api.Watched) -> Group:
    parts: list[RenderableType] = [safe_line(f"{seen.run}: {_state(seen.session)}"), Text(), pairs_table(seen.statuses)]
    if seen.session is not None and seen.session.counters is not None:
        parts += [Text(), Text("this session" if seen.running else "its last session", style="dim")]
        parts.append(counters_table(seen.session.counters))
    if seen.spent.calls:
        parts += [Text(), Text(spent_line(seen.spent))]
    return Group(*parts)


def _line(seen: api.Watched) -> str:
    made = sum(counts.get("made", 0) for counts in seen.statuses.values())
    left = sum(counts.get("pending", 0) for counts in seen.statuses.values())
    session = f"; {counters_line(seen.session.counters)}" if seen.session and seen.session.counters else ""
    return f"{_state(seen.session)}: {made:,} pairs made, {left:,} to be made{session if seen.running else ''}"


def _state(session: Session | None) -> str:
    if session is None:
        return "no log"
    if session.running:
        return "running"
    if session.ended is None:
        return "not running (its last session was killed, or hangs)"
    return "ended" if session.ended == "done" else f"stopped ({session.ended})"
