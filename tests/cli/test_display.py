"""The live table in a terminal."""

import asyncio
import io

from rich.console import Console

from clairgen.cli.display import showing
from clairgen.pipeline.progress import Progress


async def test_a_terminal_shows_for_as_long_as_it_takes_that_the_session_stops() -> None:
    screen, stop = io.StringIO(), asyncio.Event()
    console = Console(file=screen, force_terminal=True, width=100)
    async with showing(Progress(), console, stop):
        await asyncio.sleep(0.3)
        assert "Stopping: what is in flight" not in screen.getvalue()
        stop.set()
        await asyncio.sleep(0.8)
    assert screen.getvalue().count("Stopping: what is in flight is being finished") >= 2  # it is drawn anew each time
