"""Output that never fails or blocks the work: what cannot be written is dropped, and `main` reports it.

A reader that went away (`| head -1`), a full disk or a locale without the characters of an answer is no reason to stop a run
or to change its exit code. A terminal that is paused (Ctrl-S) and a pipe that nobody reads must not hold up what is in flight.
"""

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import TextIO

_WRITABLE_BYTES = select.PIPE_BUF  # a pipe that is ready takes as many without blocking
_PATIENCE_SECONDS = 0.1  # for a reader that is only slow


class _Descriptor(io.RawIOBase):
    """Writes to a file descriptor until that fails; `failure` says why it did.

    If it does not `wait`, what finds no room soon is dropped, and until there is room again nothing waits at all.
    """

    def __init__(self, descriptor: int, *, wait: bool) -> None:
        self.failure: OSError | None = None
        self._descriptor = descriptor
        self._wait = wait
        self._stuck = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # typeshed: any buffer
        """Write or drop all of `data`."""
        rest = memoryview(data)
        while rest and self.failure is None and self._has_room():
            try:
                rest = rest[os.write(self._descriptor, rest if self._wait else rest[:_WRITABLE_BYTES]) :]
            except BlockingIOError:
                continue  # another process made it non-blocking, and had the room that there was
            except OSError as error:
                self.failure = error
        return len(data)

    def _has_room(self) -> bool:
        patience = None if self._wait else 0.0 if self._stuck else _PATIENCE_SECONDS
        self._stuck = not _is_ready(self._descriptor, patience)
        return not self._stuck


@contextlib.contextmanager
def reliable_output() -> Iterator[None]:
    """Replace standard output and error by streams that drop what they cannot write."""
    _fill_standard_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _reliable(sys.stdout), _reliable(sys.stderr)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def output_failure() -> OSError | None:
    """Why standard output could not be written, unless its reader only went away."""
    failure = _failure()
    return None if failure is None or failure.errno == errno.EPIPE else failure


def output_has_ended() -> bool:
    """Whether nothing more can be written to standard output, as when its reader went away."""
    return _failure() is not None


def progress_stream() -> TextIO:
    """Standard error for what is shown while work goes on; it is dropped where it would have to wait."""
    raw = _raw(sys.stderr)
    return _text(_Descriptor(raw.fileno(), wait=False), sys.stderr) if isinstance(raw, _Descriptor) else sys.stderr


def write_from_signal_handler(message: bytes) -> None:
    """Write to standard error without blocking and without raising, where an error could be raised anywhere."""
    with contextlib.suppress(OSError):
        if _is_ready(2, 0.0):
            os.write(2, message)


def _is_ready(descriptor: int, seconds: float | None) -> bool:
    """Whether a few bytes can be written without blocking, or can be within `seconds`; None waits until they can."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def _fill_standard_descriptors() -> None:
    """Open the null device where 0, 1 or 2 is closed: a file of the run would get that number, and messages with it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _reliable(stream: TextIO) -> TextIO:
    """The same stream over its file descriptor; as it is where it has none, as in tests, or is closed."""
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return stream
    stream.flush()
    return _text(_Descriptor(descriptor, wait=True), stream)


def _text(raw: io.RawIOBase, like: TextIO) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=like.encoding,
        errors="backslashreplace" if like.errors in (None, "strict") else like.errors,
        line_buffering=True,
    )


def _failure() -> OSError | None:
    if not isinstance(raw := _raw(sys.stdout), _Descriptor):
        return None
    sys.stdout.flush()
    return raw.failure


def _raw(stream: TextIO | None) -> object:
    return getattr(getattr(stream, "buffer", None), "raw", None)
