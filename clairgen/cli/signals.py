"""Run a command's coroutine: a first Ctrl-C or SIGTERM lets it finish what is in flight, a second one ends it at once."""

import asyncio
import contextlib
import gc
import os
import shutil
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

from clairgen.cli.output import write_from_signal_handler
from clairgen.errors import DRAINED, DrainedError

T = TypeVar("T")

SECONDS_TO_DRAIN = 60.0
"""How long what is in flight may take to finish after a first Ctrl-C or SIGTERM; then it is cut off."""
SECONDS_TO_SUM_UP = 15
"""After those, for work that does not keep to them."""
_OBJECTS_UNTIL_COLLECTION = 20_000
_SECONDS_TO_CANCEL = 5  # after a second Ctrl-C, in case something blocks


def run_coroutine(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on uvloop where that exists.

    The requests in flight hold thousands of young objects that no collection will find dead, and what is imported by now stays:
    with fewer collections of less, a tenth of the time is saved.
    """
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with contextlib.suppress(ImportError):
        from uvloop import new_event_loop
    gc.freeze()
    gc.set_threshold(_OBJECTS_UNTIL_COLLECTION, 50, 50)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


def run_drainable(work: Callable[[asyncio.Event], Awaitable[T]], drain_seconds: float = SECONDS_TO_DRAIN) -> T:
    """Run `work`, which ends early but cleanly, within `drain_seconds`, once its event is set.

    Raises DrainedError if it had to be cut off.
    """
    try:
        return run_coroutine(_drainable(work, drain_seconds))
    except asyncio.CancelledError as error:
        raise DrainedError(
            "Stopped at once; everything committed is kept, run the same command to continue."
        ) from error


async def _drainable(work: Callable[[asyncio.Event], Awaitable[T]], drain_seconds: float) -> T:
    """Plain signal handlers, since those of the loop wait for it: it may be busy hashing a file or loading a data set.

    Python lets only the main thread have them; in another thread the work runs without.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    working = asyncio.current_task()
    assert working is not None  # noqa: S101 - asyncio.run made it
    draining = _announcement(
        f"Finishing what is in flight, at most {drain_seconds:g} s; press Ctrl-C again to stop at once."
    )
    times = 0

    def stop_or_leave(_number: int, _frame: FrameType | None) -> None:
        nonlocal times
        times += 1
        if times == 1:
            loop.call_soon_threadsafe(stop.set)
            loop.call_soon_threadsafe(lambda: loop.call_later(drain_seconds + SECONDS_TO_SUM_UP, working.cancel))
            write_from_signal_handler(draining)
        elif times == 2:
            loop.call_soon_threadsafe(working.cancel)
            signal.alarm(_SECONDS_TO_CANCEL)
        else:
            _leave()

    handlers = {signal.SIGINT: stop_or_leave, signal.SIGTERM: stop_or_leave, signal.SIGALRM: lambda *_: _leave()}
    if threading.current_thread() is not threading.main_thread():
        return await work(stop)
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        return await work(stop)
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _announcement(sentence: str) -> bytes:
    """The sentence as it is written: in a terminal in place of the last line, for the live table to draw over and to repeat."""
    if not os.isatty(2):
        return f"\n{sentence}\n".encode()
    width = shutil.get_terminal_size().columns
    return f"\r\x1b[2K{sentence[: width - 1]}".encode()


def _leave() -> None:
    """End the process on the spot, as `kill -9` would: everything committed is kept, engines see their pipe end."""
    write_from_signal_handler(b"Stopped at once; everything committed is kept.\n")
    os._exit(DRAINED)
