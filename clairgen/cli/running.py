"""Running a command's coroutine: Ctrl-C and SIGTERM ask it to finish what is in flight, a second one ends it at once."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from clairgen.errors import DrainedError

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a short coroutine to its end."""
    return asyncio.run(work)


def run_drainable(work: Callable[[asyncio.Event], Awaitable[T]]) -> T:
    """Run `work`, which ends early but cleanly once its event is set. Raises DrainedError if it had to be cut off."""
    try:
        return asyncio.run(_drainable(work))
    except asyncio.CancelledError as error:
        raise DrainedError("Stopped at once; everything committed is kept, run the same command to go on.") from error


async def _drainable(work: Callable[[asyncio.Event], Awaitable[T]]) -> T:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    working = asyncio.current_task()
    assert working is not None  # noqa: S101 - asyncio.run made it

    def asked_to_stop() -> None:
        if stop.is_set():
            working.cancel()
        else:
            stop.set()
            sys.stderr.write("\nFinishing what is in flight; press Ctrl-C again to stop at once.\n")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to_stop)
    try:
        return await work(stop)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
