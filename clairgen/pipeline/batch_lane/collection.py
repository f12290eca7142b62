"""Requests that are collected for one batch: their lines go to a file at once, so that no body stays in memory."""

import asyncio
import math
import os
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from clairgen.config.batch_settings import BatchSettings
from clairgen.errors import RequestError
from clairgen.inference.batch_lines import request_line
from clairgen.pipeline.model_requests import Request
from clairgen.records import Completion
from clairgen.store import Call
from clairgen.whole_files import put_in_place

_BYTES_PER_TOKEN: Final = 4
Outcome = Completion | RequestError | None
"""What a waiting request gets: its completion, why it has none, or None if it is to be sent directly."""


@dataclass(slots=True)
class Collected:
    """A request that waits for its batch to be submitted, the money that is reserved for it, and who waits."""

    request: Request
    waiting: "asyncio.Future[Outcome]"
    call: Call | None = None


@dataclass(slots=True)
class Collection:
    """The requests of one batch to be: `id` is the batch's, `file` what is uploaded once it is complete."""

    folder: Path
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    requests: list[Collected] = field(default_factory=list)
    size: int = 0
    tokens: int = 0
    _stream: BinaryIO | None = None

    @property
    def file(self) -> Path:
        """The file of all lines, under this name once it is complete."""
        return batch_file(self.folder, self.id)

    def add(self, collected: Collected, line: bytes) -> None:
        """Write one more line. Raises OSError."""
        if self._stream is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._stream = self._partial.open("wb")
        self._stream.write(line)
        self.requests.append(collected)
        self.size += len(line)
        self.tokens += tokens_in(line)

    def complete(self) -> None:
        """Put the file on disk under its name. Raises OSError."""
        if self._stream is None:
            return
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._stream = None
        put_in_place(self._partial, self.file)

    def discard(self) -> None:
        """Forget the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._partial.unlink(missing_ok=True)
        self.file.unlink(missing_ok=True)

    @property
    def _partial(self) -> Path:
        return self.folder / f"{self.id}.partial"


class Collector:
    """Collects the requests of a role, or of a part of a refused batch, and hands them over as collections.

    A collection is handed over when it is full, `quiet_seconds` after its last request or `collect_seconds` after its first.
    """

    def __init__(
        self,
        folder: Path,
        settings: BatchSettings,
        hand_over: Callable[[Collection], None],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._hand_over = hand_over
        self._clock = clock
        self._sleep = sleep
        self._collection = Collection(folder)
        self._first = self._last = -math.inf
        self._timer: asyncio.Task[None] | None = None

    @property
    def requests(self) -> Sequence[Collected]:
        """What is collected and not handed over yet."""
        return self._collection.requests

    def add(self, collected: Collected, body: bytes) -> None:
        """Collect one more request. Raises OSError."""
        line = request_line(collected.request.key, body)
        settings, begun = self._settings, self._collection
        too_long = begun.size + len(line) > settings.megabytes * 1e6
        too_many_tokens = begun.tokens + tokens_in(line) > (settings.enqueued_tokens or math.inf)
        if begun.requests and (too_long or too_many_tokens):
            self.flush()
        self._last = self._clock()
        if not self._collection.requests:
            self._first = self._last
        self._collection.add(collected, line)
        if len(self._collection.requests) >= settings.requests:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.create_task(self._flush_in_time(), name="batch collection")

    def flush(self) -> None:
        """Hand over what is collected."""
        collection, self._collection = self._collection, Collection(self._folder)
        if collection.requests:
            self._hand_over(collection)

    def close(self) -> Sequence[Collected]:
        """Forget what is collected, which is returned; nothing may be added any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._collection.discard()
        return self._collection.requests

    async def _flush_in_time(self) -> None:
        while self._collection.requests:
            due = min(self._first + self._settings.collect_seconds, self._last + self._settings.quiet_seconds)
            if (left := due - self._clock()) <= 0:
                break
            await self._sleep(left)
        self._timer = None
        self.flush()


def batch_file(folder: Path, batch: str) -> Path:
    """The file of a batch's requests, in the folder that a run has for them."""
    return folder / f"{batch}.jsonl"


def tokens_in(line: bytes) -> int:
    """About as many tokens as a provider counts of a line against its limit of what waits."""
    return len(line) // _BYTES_PER_TOKEN
