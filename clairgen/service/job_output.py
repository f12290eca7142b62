"""What a job prints, kept in a file that is bounded: the beginning goes when it grows too long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from clairgen.pipeline.progress import Progress
from clairgen.reporting.sanitize import plain_text

MOST_BYTES: Final = 256 * 1024
"""Of a file; the one before it is kept beside it."""
_NOTE_SECONDS: Final = 1.0


class JobOutput:
    """The output of a job, open for appending. A disk that is full does not stop the job."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def line(self, text: str) -> None:
        """Append a line, control characters made visible."""
        self.write(f"{plain_text(text)}\n".encode("utf-8", "backslashreplace"))

    def write(self, content: bytes) -> None:
        """Append bytes as they are."""
        try:
            if self._file.tell() > MOST_BYTES:
                self._file.close()
                self._path.replace(_former(self._path))
                self._file = self._path.open("ab")
            self._file.write(content)
            self._file.flush()
        except OSError:
            return


@asynccontextmanager
async def noted(output: JobOutput) -> AsyncIterator[Progress]:
    """Progress whose notes go into the output while work goes on."""
    progress, written = Progress(), 0

    def write() -> None:
        nonlocal written
        for note in progress.notes[written:]:
            output.line(note)
        written = len(progress.notes)

    async def write_regularly() -> None:
        while True:
            await asyncio.sleep(_NOTE_SECONDS)
            write()

    writing = asyncio.create_task(write_regularly(), name="notes")
    try:
        yield progress
    finally:
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        write()


def read_output(path: Path) -> str:
    """The last of what a job printed, control characters made visible; empty if it printed nothing yet."""
    content = b""
    for file in (_former(path), path):
        try:
            content += file.read_bytes()
        except OSError:
            continue
    return plain_text(content[-MOST_BYTES:].decode("utf-8", "replace"))


def _former(path: Path) -> Path:
    return path.with_name(f"former-{path.name}")
