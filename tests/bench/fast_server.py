"""A server of chat completions that answers at once, in its own process: fast enough to measure a client with.

`python -m tests.bench.fast_server PORT` serves until SIGTERM; GET /count tells how many completions were asked, and since when.
"""

import asyncio
import json
import signal
import sys
import time

TEXT = (
    "{teacher_reasoning}: It could be clearer.\n\n{corrected_student_solution}: "
    + "A plain sentence with some words in it. " * 8
)


def answer(text: str) -> bytes:
    """The whole response that says `text`."""
    content = {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 150, "completion_tokens": 100, "total_tokens": 250},
    }
    body = json.dumps(content).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


ANSWER, OF_THE_STRONGER = answer(TEXT), answer(TEXT.replace("plain", "better and longer"))


class Server(asyncio.Protocol):
    """One connection; requests may come one after another, whole or in parts."""

    count = 0
    first = 0.0

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            length = 0
            if (at := head.find(b"content-length:")) >= 0:
                length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            if len(self._received) < end + 4 + length:
                return
            body, self._received = self._received[end + 4 : end + 4 + length], self._received[end + 4 + length :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        assert self._transport is not None
        if head.startswith(b"post"):
            Server.count += 1
            Server.first = Server.first or time.time()
            self._transport.write(OF_THE_STRONGER if b'"stronger"' in body else ANSWER)
            return
        counted = json.dumps({"count": Server.count, "first": Server.first}).encode()
        Server.count, Server.first = 0, 0.0
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(counted), counted))


async def _main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", port, backlog=4096)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
