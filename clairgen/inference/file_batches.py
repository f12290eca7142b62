"""Batches as files in a folder, in the format of vLLM's `run-batch`: somebody else, such as a cluster job, writes the results.

`NAME.jsonl` has the requests, `NAME.results.jsonl` what became of them; a batch has ended once there is a line for each request.
One that is cancelled is renamed to `NAME.cancelled`, so that no job begins it any more.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import orjson

from clairgen.errors import RetryableError, UnusableEndpointError
from clairgen.inference.batch_lines import ids_named_in
from clairgen.inference.batch_service import RemoteBatch, RemoteFile, Tags
from clairgen.inference.json_bodies import parsed_json

T = TypeVar("T")
_REQUESTS: Final = ".jsonl"
_RESULTS: Final = ".results.jsonl"
_CANCELLED: Final = ".cancelled"
_PIECE_BYTES: Final = 1 << 20
_LONG_BYTES: Final = 10_000_000  # of a line of results, more than a model writes; what comes after is not looked at
_COMPARED_BYTES: Final = 10_000
_KEY_LENGTH: Final = 64


class FileBatches:
    """The batches in one folder, which is made when the first is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counted: dict[str, _Counted] = {}

    async def upload(self, path: Path, tags: Tags) -> RemoteFile:
        """See `BatchService`."""
        await self._done(lambda: self._copy(path, self._folder / tags.file_name))
        return await self._done(lambda: _file(self._folder / tags.file_name))

    async def create(self, file_id: str, tags: Tags) -> RemoteBatch:
        """See `BatchService`. The file is all that there is of a batch."""
        del tags
        return await self.retrieve(file_id.removesuffix(_REQUESTS))

    async def retrieve(self, batch_id: str) -> RemoteBatch:
        """See `BatchService`."""
        return await self._done(lambda: self._looked_at(batch_id))

    async def cancel(self, batch_id: str) -> RemoteBatch:
        """See `BatchService`."""

        def rename() -> None:
            requests = self._folder / f"{batch_id}{_REQUESTS}"
            if requests.exists():
                requests.replace(self._folder / f"{batch_id}{_CANCELLED}")

        await self._done(rename)
        return await self.retrieve(batch_id)

    async def batches(self) -> AsyncGenerator[RemoteBatch, None]:
        """See `BatchService`."""
        for path in await self._done(self._requests):
            yield await self.retrieve(path.name.removesuffix(_REQUESTS))

    async def files(self) -> AsyncGenerator[RemoteFile, None]:
        """See `BatchService`."""
        for path in await self._done(self._requests):
            yield _file(path)

    async def size(self, file_id: str) -> int | None:
        """See `BatchService`."""
        return await self._done(lambda: (self._folder / file_id).stat().st_size)

    async def content(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """See `BatchService`."""
        stream = await self._done(lambda: (self._folder / file_id).open("rb"))
        with stream:
            while piece := await self._done(lambda: stream.read(_PIECE_BYTES)):
                yield piece

    async def close(self) -> None:
        """See `BatchService`."""

    def _requests(self) -> list[Path]:
        found = self._folder.glob(f"clairgen-*{_REQUESTS}") if self._folder.exists() else ()
        return [path for path in found if not path.name.endswith(_RESULTS)]

    def _looked_at(self, batch_id: str) -> RemoteBatch:
        requests, results = self._folder / f"{batch_id}{_REQUESTS}", self._folder / f"{batch_id}{_RESULTS}"
        cancelled = self._folder / f"{batch_id}{_CANCELLED}"
        asked = cancelled if cancelled.exists() else requests
        if batch_id not in self._counted:
            self._counted[batch_id] = _Counted(_ids(asked))
        counted = self._counted[batch_id]
        is_whole = results.exists() and counted.is_whole(results)
        return RemoteBatch(
            batch_id,
            "cancelled" if asked is cancelled else "completed" if is_whole else "in_progress",
            batch_id.removeprefix("clairgen-"),
            input_file_id=requests.name,
            output_file_id=results.name if results.exists() else None,
            created_at=asked.stat().st_mtime,
            completed=len(counted.answered),
        )

    def _copy(self, path: Path, to: Path) -> None:
        """Put a copy under its name once it is whole, so that no job sees a part of it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = to.with_suffix(".partial")
        with path.open("rb") as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target, _PIECE_BYTES)
            target.flush()
            os.fsync(target.fileno())
        partial.replace(to)

    async def _done(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except FileNotFoundError as error:
            raise UnusableEndpointError(f"{error.filename} is not there", 404) from error
        except OSError as error:
            raise RetryableError("unreachable", f"{self._folder} cannot be used: {error.strerror}") from error


def _file(path: Path) -> RemoteFile:
    return RemoteFile(path.name, path.name, path.stat().st_size)


@dataclass(slots=True)
class _Counted:
    """Which of a batch's `requests` its file of results has lines for, and answers to, as far as it was read.

    `others` are lines that name no request.
    """

    requests: set[str]
    named: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    others: set[int] = field(default_factory=set)
    read_bytes: int = 0
    last: bytes = b""

    def is_whole(self, results: Path) -> bool:
        """Whether there is a line for each request, or one that may be; only what is new is read. Raises OSError."""
        with results.open("rb") as stream:
            stream.seek(self.read_bytes - len(self.last))
            if stream.read(len(self.last)) != self.last:  # somebody writes it again
                stream.seek(0)
                self.named.clear()
                self.answered.clear()
                self.others.clear()
                self.read_bytes, self.last = 0, b""
            while line := stream.readline(_LONG_BYTES):
                length, end = len(line), line
                while not end.endswith(b"\n") and (piece := stream.readline(_LONG_BYTES)):
                    length, end = length + len(piece), piece
                if not (end.endswith(b"\n") or _is_object(line)):
                    break
                self.read_bytes += length
                self.last = end[-_COMPARED_BYTES:]
                if line.strip():
                    self._count(line)
        return len(self.named) + len(self.others) >= len(self.requests)

    def _count(self, line: bytes) -> None:
        ids = ids_named_in(line)
        self.named |= ids & self.requests
        if _is_answer(line):
            self.answered |= ids & self.requests
        if all(len(one) != _KEY_LENGTH for one in ids):  # a whole key is of this batch, or of another one
            self.others.add(hash(line))


def _is_object(line: bytes) -> bool:
    """Whether a line is a whole JSON object, though nothing follows it."""
    return isinstance(parsed_json(line)[0], dict)


def _is_answer(line: bytes) -> bool:
    """Whether a line has a response with status 200."""
    content, _ = parsed_json(line)
    response = content.get("response") if isinstance(content, dict) else None
    return isinstance(response, dict) and response.get("status_code") == 200


def _ids(path: Path) -> set[str]:
    """The custom_ids of a file of requests."""
    with path.open("rb") as stream:
        return {orjson.loads(line)["custom_id"] for line in stream}
