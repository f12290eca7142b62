"""A scripted OpenAI-compatible endpoint on a real socket: what it answers, and how it fails, is a function of the test."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes over the wire. `cut` bytes are left off the end before the connection breaks; None keeps it whole.

    `chunk_bytes` sends the body in chunks of that size, with the encoding of that name; a `cut` one lacks the last, empty chunk.
    """

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    cut: int | None = None
    reset: bool = False
    chunk_bytes: int | None = None


def said(
    text: Any,  # noqa: ANN401 - servers send what they like
    *,
    finish_reason: Any = "stop",  # noqa: ANN401
    tokens: tuple[int, int] = (10, 5),
    **choice: Any,  # noqa: ANN401
) -> Reply:
    """A good chat completion that says `text`."""
    content = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason} | choice
        ],
        "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
    }
    return Reply(json.dumps(content).encode(), headers={"content-type": "application/json"})


def refused(status: int, message: str = "no", code: str | None = None, **headers: str) -> Reply:
    """An error in OpenAI's form."""
    body = json.dumps({"error": {"message": message, "type": "error", "code": code}}).encode()
    return Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


Script = Callable[[dict[str, Any]], Reply]


class ScriptedEndpoint:
    """Serves `script` until closed, and `page` for what is got, noted in `pages`.

    `asked` holds every request's JSON, `headers` and `path` the last request's; `on_sent` is called with a request once its
    reply was sent.
    """

    def __init__(self, script: Script, port: int = 0) -> None:
        self.script = script
        self.asked: list[dict[str, Any]] = []
        self.answered: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.path = ""
        self.page: Callable[[str], Reply] = lambda _path: Reply(b"", 404)
        self.pages: list[str] = []
        self.on_sent: Callable[[dict[str, Any]], None] = lambda _request: None
        self.most_in_flight = 0
        self.connections = 0
        self._in_flight = 0
        self._port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The base URL, up to /v1."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def clients_gone(self) -> None:
        """Wait until no client is connected, and all that those sent is read and replied to."""
        while self._connections:
            await asyncio.wait(self._connections)

    def prompts(self) -> Counter[str]:
        """How often each last message was asked."""
        return Counter(request["messages"][-1]["content"] for request in self.asked)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, backlog=2048)
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
        self.connections += 1
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, or the test is over
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        self.path = first.split()[1]
        if first.startswith("GET"):
            self.pages.append(self.path)
            await self._send(writer, self.page(self.path))
            return True
        request = json.loads(await reader.readexactly(int(self.headers.get("content-length", "0"))))
        self.asked.append(request)
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            reply = self.script(request)
            await asyncio.sleep(reply.delay_seconds)
        finally:
            self._in_flight -= 1
        if reply.reset:
            writer.transport.abort()
            return False
        await self._send(writer, reply)
        self.answered.append(request)
        self.on_sent(request)
        return reply.cut is None

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        size = reply.chunk_bytes
        length = {"content-length": str(len(reply.body))} if size is None else {"transfer-encoding": "chunked"}
        fields = {**length, **reply.headers}
        head = f"HTTP/1.1 {reply.status} Scripted\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in fields.items()
        )
        if size is not None:
            writer.write(f"{head}\r\n".encode())
            for start in range(0, len(reply.body), size):
                piece = reply.body[start : start + size]
                writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n" if reply.cut is None else b"")
            await writer.drain()
            return
        content = f"{head}\r\n".encode() + reply.body
        writer.write(content if reply.cut is None else content[: len(content) - reply.cut])
        await writer.drain()
