"""Waiting for coroutines where an event loop may be running already: they run in a thread with a loop of its own."""

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def waiting(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """The same call, which waits for its end."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return waited(lambda _stop: function(*args, **kwargs))

    return call


def waited(work: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """What `work` returns, once it has: it is given an event that an interrupt sets, after which it should come to its end."""
    with LoopThread() as loop:
        stop = asyncio.Event()
        return loop.wait(work(stop), stop)


class LoopThread:
    """An event loop in a thread of its own, for as long as the block runs."""

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        # What is printed there belongs to the cell of a notebook that began it.
        self._thread = threading.Thread(target=contextvars.copy_context().run, args=(self._run,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def wait(self, work: Coroutine[Any, Any, T], stop: asyncio.Event | None = None) -> T:
        """What a coroutine returns; a first interrupt sets `stop`, where there is one, and the next cancels it."""
        found = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            if stop is None:
                return found.result()
            try:
                return found.result()
            except KeyboardInterrupt:
                self._loop.call_soon_threadsafe(stop.set)
                print("Finishing what is in flight; interrupt again to stop at once.", file=sys.stderr)  # noqa: T201
                return found.result()
        except KeyboardInterrupt:
            found.cancel()
            raise

    def _run(self) -> None:
        with self._runner:
            self._loop.run_forever()
