"""Work on long texts (parsing, measuring) in processes of their own, so that it never holds the event loop.

Python runs a pattern, and rapidfuzz a distance, without ever letting another thread run, so only another process leaves the
event loop free, and only a process can be stopped. Work on short texts is done at once, where it takes a millisecond.
"""

import asyncio
import contextlib
import os
import pickle
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from clairgen.errors import RequestFailedError

LONG_CHARACTERS: Final = 20_000
"""Texts of more characters together are worked on in another process."""
TIME_LIMIT_SECONDS: Final = 60.0
"""How long one piece of work may take there; then its task fails as `TOO_LONG`."""
TOO_LONG: Final = "too-long-to-measure"
"""The reason of a failed task whose texts are too long to be parsed, measured or filtered."""

_SIZE_BYTES = 8
_SECONDS_TO_END = 5.0
_SERVE = "from clairgen.long_texts import serve; serve()"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def off_loop(work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """`work(*args, **kwargs)`, where `work` is a pure function of a module; its texts, bytes and tuples of them are measured.

    Raises what `work` raises, and RequestFailedError for texts that take too long.
    """
    if characters(*args, *kwargs.values()) <= LONG_CHARACTERS:
        return work(*args, **kwargs)
    return await in_process(work, *args, **kwargs)


async def in_process(work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """The same in another process, however short the texts: for work that may take long over a short one."""
    loop = asyncio.get_running_loop()
    if loop not in _WORKERS:
        _WORKERS[loop] = Workers()
    return await _WORKERS[loop].run(work, *args, **kwargs)


async def in_thread(work: Callable[[], Result], *texts: str) -> Result:
    """`work()`, in a thread if the texts are long: for work that cannot be sent to a process and holds the loop only briefly.

    Raises RequestFailedError when it takes too long; the thread then runs to its end.
    """
    if characters(*texts) <= LONG_CHARACTERS:
        return work()
    try:
        async with asyncio.timeout(TIME_LIMIT_SECONDS):
            return await asyncio.to_thread(work)
    except TimeoutError as error:
        raise _too_long(characters(*texts), TIME_LIMIT_SECONDS) from error


async def close_workers() -> None:
    """End the processes that `off_loop` has started on this event loop."""
    workers = _WORKERS.pop(asyncio.get_running_loop(), None)
    if workers is not None:
        await workers.close()


def usable_cores() -> int:
    """The cores that this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # not on macOS


def characters(*values: object) -> int:
    """Characters, or bytes, of all texts among the values and in tuples among them."""
    return sum(
        len(value) if isinstance(value, str | bytes) else characters(*value) if isinstance(value, tuple) else 0
        for value in values
    )


class _ProcessEndedError(RequestFailedError):
    """A process ended before it answered."""


class Workers:
    """Processes that each do one piece of work at a time; one is started when all others are busy, at most `most`."""

    def __init__(self, *, time_limit_seconds: float = TIME_LIMIT_SECONDS, most: int | None = None) -> None:
        self._time_limit_seconds = time_limit_seconds
        self._free = asyncio.Semaphore(most or usable_cores())
        self._idle: list[Process] = []
        self._is_closed = False

    async def run(self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """See `off_loop`. A process that takes too long, or whose work is cancelled, is killed.

        If one ends by itself, or somebody kills it, a new one does its work; if that ends, too, the work fails.
        """
        request, size = pickle.dumps((work, args, kwargs)), characters(*args, *kwargs.values())
        async with self._free:
            try:
                answer = await self._answer(self._idle.pop() if self._idle else await self._started(), request, size)
            except _ProcessEndedError:
                answer = await self._answer(await self._started(), request, size)
        succeeded, result = pickle.loads(answer)  # noqa: S301 - our own process
        if succeeded is None:
            raise RequestFailedError(*result)
        if not succeeded:
            raise result
        finished: Result = result
        return finished

    async def close(self) -> None:
        """End all processes, those that work for another session when they are done."""
        self._is_closed = True
        while self._idle:
            await _end(self._idle.pop())

    async def _answer(self, process: Process, request: bytes, size: int) -> bytes:
        """What a process answers, which is idle then. Raises RequestFailedError if it takes too long or ends."""
        try:
            async with asyncio.timeout(self._time_limit_seconds):
                answer = await _answered(process, request)
        except TimeoutError as error:
            await _end(process)
            raise _too_long(size, self._time_limit_seconds) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            with contextlib.suppress(TimeoutError):  # it is ending; killed meanwhile, its exit code could be lost
                await asyncio.wait_for(process.wait(), _SECONDS_TO_END)
            await _end(process)
            detail = f"the process for texts of {size:,} characters ended with {process.returncode}: out of memory?"
            raise _ProcessEndedError(TOO_LONG, detail) from error
        except BaseException:
            await _end(process)
            raise
        if self._is_closed:
            await _end(process)
        else:
            self._idle.append(process)
        return answer

    async def _started(self) -> Process:
        # A session of its own: Ctrl-C is for the parent, which may let what is in flight finish. It ends with its input.
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", _SERVE, str(self._time_limit_seconds)),
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )


def serve() -> None:
    """What such a process does: pieces of work from standard input to standard output, until the input ends."""
    time_limit_seconds = float(sys.argv[1])
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what is printed must not come between the answers
    while len(size := requests.read(_SIZE_BYTES)) == _SIZE_BYTES:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, time_limit_seconds + 5)  # in case the parent was killed meanwhile
        answer = _done(requests.read(int.from_bytes(size)))
        answers.write(len(answer).to_bytes(_SIZE_BYTES) + answer)
        answers.flush()
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)


def _done(request: bytes) -> bytes:
    work, args, kwargs = pickle.loads(request)  # noqa: S301 - from the parent process
    try:
        return pickle.dumps((True, work(*args, **kwargs)))
    except RequestFailedError as error:
        return pickle.dumps((None, (error.reason, error.detail)))
    except Exception as error:  # noqa: BLE001 - whatever the work raises is raised in the parent
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))


async def _answered(process: Process, request: bytes) -> bytes:
    assert process.stdin is not None and process.stdout is not None  # noqa: S101 - both are pipes
    process.stdin.write(len(request).to_bytes(_SIZE_BYTES) + request)
    await process.stdin.drain()
    return await process.stdout.readexactly(int.from_bytes(await process.stdout.readexactly(_SIZE_BYTES)))


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()


def _too_long(size: int, seconds: float) -> RequestFailedError:
    detail = (
        f"work on texts of {size:,} characters took more than {seconds:g} s; lower max_tokens or leave the task out"
    )
    return RequestFailedError(TOO_LONG, detail)


_WORKERS: WeakKeyDictionary[asyncio.AbstractEventLoop, Workers] = WeakKeyDictionary()
