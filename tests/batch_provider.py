"""A provider of batches on a real socket, OpenAI's Files and Batches with a bill of its own: how it fails is up to the test."""

import asyncio
import itertools
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.scripted import Reply, Script, refused, said

Line = dict[str, Any]
ENDED = ("completed", "failed", "expired", "cancelled")
_IDENTITY = re.compile(r"(batch|file)[-_]\d+")


@dataclass
class StoredFile:
    """A file at the provider."""

    id: str
    name: str
    content: bytes
    created_at: int
    purpose: str = "batch"
    downloads: int = 0

    def shown(self) -> dict[str, Any]:
        """Its JSON."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        }


@dataclass
class StoredBatch:
    """A batch at the provider; `states` are those that it has still before it, one for each time it is looked at."""

    id: str
    input_file_id: str
    metadata: dict[str, str] | None
    created_at: int
    states: list[str]
    status: str = "validating"
    lines: list[Line] = field(default_factory=list)
    answered: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    hidden_until: float = 0.0
    counts: dict[str, int] | None = None

    def shown(self) -> dict[str, Any]:
        """Its JSON."""
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": self.created_at,
            "expires_at": self.created_at + 86_400,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "request_counts": self.counts or {"total": len(self.lines), "completed": self.answered, "failed": 0},
            "metadata": self.metadata,
            **({f"{self.status}_at": self.created_at + 1} if self.status in ENDED else {}),
        }


class BatchProvider:
    """Serves files, batches and `script` for what is asked directly.

    `bill` counts how often each request was answered in a batch, by custom_id. The other attributes are the faults: `states` and
    `ends` say how a batch goes, `processed` how many of its lines it gets to, `result` what stands in the line of a request,
    `refusals` why a batch fails its validation, `output` what becomes of the file's lines; `call` is asked before each call is
    served and may give another reply, `sent` after it was, and may give None for a connection that is reset.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.files: dict[str, StoredFile] = {}
        self.batches: dict[str, StoredBatch] = {}
        self.bill = Counter[str]()
        self.asked: list[dict[str, Any]] = []
        self.calls = Counter[str]()
        self.clock_skew_seconds = 0
        self.states: list[str] = ["in_progress", "finalizing"]
        self.ends: Callable[[StoredBatch], str] = lambda _batch: "completed"
        self.processed: Callable[[StoredBatch], int] = lambda batch: len(batch.lines)
        self.result: Callable[[Line, StoredBatch], Line | None] = lambda _line, _batch: None
        self.refusals: Callable[[StoredBatch], list[dict[str, Any]]] = lambda _batch: []
        self.output: Callable[[list[bytes]], list[bytes]] = lambda lines: lines
        self.call: Callable[[str, str], Reply | None] = lambda _method, _path: None
        self.sent: Callable[[str, str, Reply], Reply | None] = lambda _method, _path, reply: reply
        self.late = 0
        self.twice = False
        self.hidden_seconds = 0.0
        self.unwritten = False
        self.lines_most = 50_000
        self._ids = itertools.count(1)
        self._port = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The base URL, up to /v1."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def paid_twice(self) -> dict[str, int]:
        """Requests that were answered more than once."""
        return {key: times for key, times in self.bill.items() if times > 1}

    def go_on(self) -> None:
        """Let all batches end the next time they are looked at."""
        self.states = []
        for batch in self.batches.values():
            batch.states = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, backlog=512)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        method, target, _ = first.split()
        body = await self._body(reader, headers)
        path = urlsplit(target).path.removeprefix("/v1")
        self.calls[f"{method} {_IDENTITY.sub('ID', path)}"] += 1
        reply = self.call(method, path) or self._answer(method, path, parse_qs(urlsplit(target).query), headers, body)
        final = self.sent(method, path, reply)
        if final is None or final.reset:
            writer.transport.abort()
            return False
        await asyncio.sleep(final.delay_seconds)
        fields = {"content-type": "application/json", **final.headers, "content-length": str(len(final.body))}
        start = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        content = f"HTTP/1.1 {final.status} X\r\n{start}\r\n".encode() + final.body
        writer.write(content if final.cut is None else content[: len(content) - final.cut])
        await writer.drain()
        return final.cut is None

    async def _body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await reader.readexactly(int(headers.get("content-length", "0")))
        parts = []
        while size := int((await reader.readline()).strip(), 16):
            parts.append(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
        return b"".join(parts)

    def _answer(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> Reply:
        match (method, *path.strip("/").split("/")):
            case ("POST", "chat", "completions"):
                request = json.loads(body)
                self.asked.append(request)
                return self.script(request)
            case ("POST", "files"):
                return _json(self._store(_uploaded(headers["content-type"], body)).shown())
            case ("POST", "batches"):
                return self._create(json.loads(body))
            case ("GET", "batches"):
                now = time.monotonic()
                return _page([one for one in self.batches.values() if one.hidden_until <= now], query)
            case ("GET", "files"):
                return _page([file for file in self.files.values() if file.purpose == "batch"], query)
            case ("GET", "batches", identity) if identity in self.batches:
                return _json(self._advanced(self.batches[identity]).shown())
            case ("POST", "batches", identity, "cancel") if identity in self.batches:
                return self._cancelled(self.batches[identity])
            case ("GET", "files", identity) if identity in self.files:
                return _json(self.files[identity].shown())
            case ("GET", "files", identity, "content") if identity in self.files:
                self.files[identity].downloads += 1
                return Reply(self.files[identity].content, headers={"content-type": "application/octet-stream"})
        return refused(404, f"No such object: {path}", "not_found")

    def _now(self) -> int:
        return int(time.time()) + self.clock_skew_seconds

    def _store(self, given: tuple[str, bytes], purpose: str = "batch") -> StoredFile:
        file = StoredFile(f"file-{next(self._ids)}", given[0], given[1], self._now(), purpose)
        self.files[file.id] = file
        return file

    def _create(self, asked: dict[str, Any]) -> Reply:
        file = self.files.get(asked["input_file_id"])
        if file is None:
            return refused(404, f"No such File object: {asked['input_file_id']}", "not_found")
        created = []
        for _ in range(2 if self.twice else 1):
            identity = f"batch_{next(self._ids)}"
            batch = StoredBatch(identity, file.id, asked.get("metadata"), self._now(), list(self.states))
            batch.hidden_until = time.monotonic() + self.hidden_seconds
            batch.lines = [json.loads(line) for line in file.content.splitlines()]
            self.batches[batch.id] = batch
            created.append(batch)
        return _json(created[0].shown())

    def _advanced(self, batch: StoredBatch) -> StoredBatch:
        if batch.status in ENDED:
            return batch
        if batch.status == "validating" and (refusals := self._refusals(batch)):
            batch.status, batch.errors = "failed", refusals
        elif batch.states and batch.status != "cancelling":
            batch.status = batch.states.pop(0)
        else:
            ends = "cancelled" if batch.status == "cancelling" else self.ends(batch)
            most = self.late if ends == "cancelled" else self.processed(batch)
            self._end(batch, ends, most)
        return batch

    def _refusals(self, batch: StoredBatch) -> list[dict[str, Any]]:
        if len(batch.lines) > self.lines_most:
            said = f"The batch input file contains too many requests. The maximum is {self.lines_most}."
            return [{"code": "too_many_requests", "message": said, "line": None, "param": None}]
        return self.refusals(batch)

    def _cancelled(self, batch: StoredBatch) -> Reply:
        if batch.status in ENDED:
            return refused(409, f"Cannot cancel a batch with status '{batch.status}'.", "invalid_state")
        batch.status = "cancelling"
        return _json(batch.shown())

    def _end(self, batch: StoredBatch, status: str, most: int) -> None:
        """Answer the first `most` lines, and write the files of results."""
        output, errors = list[bytes](), list[bytes]()
        for index, line in enumerate(batch.lines):
            if index >= most:
                code = {"expired": "batch_expired", "cancelled": "batch_cancelled"}.get(status)
                if code is not None:
                    error = {"code": code, "message": "This request could not be executed in time."}
                    errors.append(_dumped({"custom_id": line["custom_id"], "response": None, "error": error}))
                continue
            result = self.result(line, batch) or self.good(line)
            if (result.get("response") or {}).get("status_code") == 200:
                self.bill[line["custom_id"]] += 1
                batch.answered += 1
                output.append(_dumped(result))
            else:
                errors.append(_dumped(result))
        batch.status = status
        if not self.unwritten:
            output, errors = self.output(output), errors
            if output:
                batch.output_file_id = self._store((f"{batch.id}_output.jsonl", b"".join(output)), "batch_output").id
            if errors:
                batch.error_file_id = self._store((f"{batch.id}_error.jsonl", b"".join(errors)), "batch_output").id

    def good(self, line: Line) -> Line:
        """The line of a request that is answered as it would be directly."""
        body = json.loads(self.script(line["body"]).body)
        response = {"status_code": 200, "request_id": "req-1", "body": body}
        return {"id": "batch_req_1", "custom_id": line["custom_id"], "response": response, "error": None}


def shuffled(lines: list[bytes]) -> list[bytes]:
    """Lines in another order."""
    return random.sample(lines, len(lines))


def rejected(line: Line, status: int, message: str = "no", code: str | None = None) -> Line:
    """The line of a request that was rejected, as OpenAI writes it: `error` is null, and the body has the error."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    response = {"status_code": status, "request_id": "req-2", "body": body}
    return {"id": "batch_req_2", "custom_id": line["custom_id"], "response": response, "error": None}


def _dumped(line: Line) -> bytes:
    return json.dumps(line).encode() + b"\n"


def _json(content: dict[str, Any]) -> Reply:
    return Reply(json.dumps(content).encode())


def _page(entries: list[Any], query: dict[str, list[str]]) -> Reply:
    """A page of a list, the newest first."""
    newest = sorted(entries, key=lambda one: (one.created_at, int(re.sub(r"\D", "", one.id))), reverse=True)
    after = query.get("after", [None])[0]
    start = next((index + 1 for index, one in enumerate(newest) if one.id == after), 0)
    limit = int(query.get("limit", ["20"])[0])
    page = newest[start : start + limit]
    return _json({"object": "list", "data": [one.shown() for one in page], "has_more": start + limit < len(newest)})


def _uploaded(content_type: str, body: bytes) -> tuple[str, bytes]:
    """The name and the content of the file in a form."""
    boundary = content_type.split("boundary=")[1].strip('"').encode()
    for part in body.split(b"--" + boundary):
        head, _, content = part.partition(b"\r\n\r\n")
        if found := re.search(rb'filename="([^"]*)"', head):
            return found.group(1).decode(), content.removesuffix(b"\r\n")
    raise AssertionError("no file in the form")


__all__ = ["BatchProvider", "StoredBatch", "rejected", "said", "shuffled"]
