"""Server-sent events, as servers stream answers: read piece by piece, within limits, into the body of the whole answer.

The events are found by httpx2's `EventSource`, whatever client the bytes come from. It reads lines as the standard says, with
comments, several `data:` lines, CRLF and pieces that end inside a character.
"""

import asyncio
import codecs
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from clairgen.errors import RequestError, RequestFailedError, RetryableError
from clairgen.inference.chunk_texts import unreadable
from clairgen.inference.json_bodies import parsed_json, repeated_key
from clairgen.inference.rejections import shortened
from clairgen.inference.streamed_answer import StreamedAnswer, without_end
from clairgen.inference.transport import MAX_BODY_BYTES, Response

MAX_STREAM_BYTES: Final = 32 * MAX_BODY_BYTES
"""The longest stream that is read, unpacked: about a million events, each with a token."""
_MOST_EVENTS: Final = 2_000_000
_MOST_EVENT_BYTES: Final = 1_000_000  # an event is a token or a few; hostile escapes take up to 0.3 µs a byte
_PIECE_BYTES: Final = 1 << 16
_DONE: Final = "[DONE]"
_DRAINED_SECONDS: Final = 1.0  # after [DONE]: the end of the body, so that the connection can be used again
_DRAINED_BYTES: Final = 1 << 16
_BYTE_ORDER_MARK: Final = codecs.BOM_UTF8
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
_TYPE: Final = {"content-type": "text/event-stream"}  # in UTF-8, as the standard says, whatever the server says
_OTHER_BODY: Final = (b"{", b"[", b"<")
_NO_FIELD: Final = re.compile(
    rb"[\r\n](?!(?:data|event|id|retry)[:\r\n]|:|[ \t]*(?:[\r\n]|\Z)"
    rb"|(?:d|da|dat|data|e|ev|eve|even|event|i|id|r|re|ret|retr|retry)\Z)"
)
"""The beginning of a line that the standard says to ignore, and that yet may hold a part of the answer or an error."""
_END: Final = re.compile(rb"[\r\n]data: ?\[DONE\]")
_BEFORE: Final = 64  # bytes of what came before a piece, in which such a line may begin
_KEEPS_ALIVE: Final = re.compile(r"(?:^|[._-])(?:ping|heart[_-]?beat|keep[_-]?alive)$", re.IGNORECASE)


def is_event_stream(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a good response says that it is a stream of events."""
    kind = headers.get("content-type", "").partition(";")[0]
    return status == 200 and kind.strip().lower() == "text/event-stream"


async def with_events_read(response: Response) -> Response:
    """A response whose body is a stream under another name, or an error's, as the response without streaming."""
    beginning = response.body[:_PIECE_BYTES].removeprefix(_BYTE_ORDER_MARK).lstrip()
    if not beginning.startswith(_FIELDS) or len(response.body) > MAX_BODY_BYTES:
        return response
    if response.status == 200:
        return await read_events(response.status, response.headers, _one(response.body), None)
    reading = _Reading(None)
    await reading.read(_one(response.body))
    return replace(response, body=reading.answer.body()) if reading.answer.failed else response


async def read_events(
    status: int, headers: Mapping[str, str], pieces: AsyncIterable[bytes], idle_seconds: float | None
) -> Response:
    """Read a stream to its `[DONE]`, or to its end, into the response that the same answer is without streaming.

    `idle_seconds` is how long to wait for each next event; comments are none. Raises TimeoutError then, RetryableError for a
    stream that broke off or cannot be read, RequestFailedError for one without end.
    """
    reading = _Reading(idle_seconds)
    await reading.read(pieces)
    if reading.plain is not None:
        return Response(status, headers, reading.plain)
    if reading.failure is not None:
        raise reading.failure
    return Response(
        status, headers, reading.answer.body(), reading.repaired, is_whole=reading.done or reading.answer.failed
    )


class _Reading:
    """One stream being read.

    `done` is whether its `[DONE]` was seen, `failure` why it is not read any further, `plain` the body where it is no stream,
    whatever it says that it is, `repaired` whether bytes were not UTF-8.
    """

    def __init__(self, idle_seconds: float | None) -> None:
        self.answer = StreamedAnswer(MAX_BODY_BYTES)
        self.done = False
        self.failure: RequestError | None = None
        self.plain: bytes | None = None
        self.repaired = False
        self._idle_seconds = idle_seconds
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._before = b"\n"
        self._bytes = 0
        self._events = 0

    @property
    def _is_over(self) -> bool:
        return self.done or self.failure is not None or self.answer.failed

    async def read(self, pieces: AsyncIterable[bytes]) -> None:
        """Read until it is over. What goes wrong with the connection after that does not matter."""
        import httpx2  # here, since most runs stream nothing

        try:
            async with asyncio.timeout(self._idle_seconds) as limit, aclosing(self._fed(pieces)) as fed:
                response = httpx2.Response(
                    200, headers=_TYPE, content=fed, request=httpx2.Request("POST", "http://server")
                )
                async for event in httpx2.EventSource(response, _MOST_EVENT_BYTES):
                    if not self._is_over:
                        self._take(event.event, event.data)
                        self._wait(limit)
        except httpx2.SSEError:
            self.failure = without_end("text in one event")
        except (TimeoutError, RetryableError):
            if not self._is_over:
                raise

    def _wait(self, limit: asyncio.Timeout) -> None:
        seconds = _DRAINED_SECONDS if self._is_over else self._idle_seconds
        if seconds is not None:
            limit.reschedule(asyncio.get_running_loop().time() + seconds)

    async def _fed(self, pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        """The pieces that are to be decoded; at the end an empty line, so that a last event without one is read too."""
        following = aiter(pieces)
        piece: bytes | None = await _opening(following)
        if piece is not None and piece.lstrip().startswith(_OTHER_BODY):
            self.plain = await _joined(piece, following)
            return
        while piece is not None:
            for start in range(0, len(piece), _PIECE_BYTES):
                part = piece[start : start + _PIECE_BYTES]
                self._check(part)
                if not self._is_over:
                    yield part
                if self._is_over:
                    await self._drain(following)
                    return
                if start + _PIECE_BYTES < len(piece):
                    await asyncio.sleep(0)  # a long piece takes a while, in which others get their turn
            piece = await anext(following, None)
        yield b"\n\n"

    async def _drain(self, following: AsyncIterator[bytes]) -> None:
        left = 0 if self.failure is not None else _DRAINED_BYTES
        while left > 0 and (piece := await anext(following, None)) is not None:
            left -= len(piece)

    def _check(self, part: bytes) -> None:
        """Look for bytes that are not UTF-8, lines that are no event's, and a stream without end."""
        self._bytes += len(part)
        if self._bytes > MAX_STREAM_BYTES:
            self.failure = without_end("bytes")
        if not self.repaired:
            try:
                self._utf8.decode(part)
            except UnicodeDecodeError:
                self.repaired = True
        seen = self._before + part
        found = _NO_FIELD.search(seen)
        if found is not None and ((end := _END.search(seen)) is None or found.start() < end.start()):
            self.failure = unreadable(f"a line of it is not part of an event: {_quoted(seen[found.start() :])}")
        self._before = seen[-_BEFORE:]

    def _take(self, name: str, data: str) -> None:
        """Add what one event says, by its name and its data."""
        self._events += 1
        try:
            if self._events > _MOST_EVENTS:
                raise without_end("events")
            for said in _separate(data):
                if self._is_over:
                    return
                self._take_one(name, *said)
        except (RetryableError, RequestFailedError) as error:
            self.failure = error
        except RecursionError:
            self.failure = unreadable("an event is nested too deeply")

    def _take_one(self, name: str, data: str, chunk: Any) -> None:  # noqa: ANN401 - parsed JSON
        if (key := repeated_key(data.encode())) is not None:
            raise unreadable(f"an event has the key {key!r} twice in one object")
        if isinstance(chunk, dict | list):
            self.answer.take(chunk, is_error=name == "error")
        elif data == _DONE:
            self.done = True
        elif name == "error":
            self.answer.take({"message": data}, is_error=True)
        elif data and not _KEEPS_ALIVE.search(name):
            raise unreadable(f"an event is not JSON: {shortened(data)}")


def _separate(data: str) -> list[tuple[str, Any]]:
    """An event's data with its JSON; of a server that leaves out the empty lines between its events, each event's."""
    data = data.strip()
    chunk, _ = parsed_json(data.encode())
    if chunk is not None or "\n" not in data:
        return [(data, chunk)]
    return [(line.strip(), parsed_json(line.encode())[0]) for line in data.split("\n")]


async def _one(body: bytes) -> AsyncGenerator[bytes]:
    yield body


async def _opening(pieces: AsyncIterator[bytes]) -> bytes:
    """The beginning, up to the first character that tells what it is, without a byte order mark."""
    found = b""
    async for piece in pieces:
        found += piece
        begun = found.removeprefix(_BYTE_ORDER_MARK)
        if len(found) > _PIECE_BYTES or (begun.strip() and not _BYTE_ORDER_MARK.startswith(found)):
            return begun
    return found


async def _joined(beginning: bytes, pieces: AsyncIterator[bytes]) -> bytes:
    """A whole body, or one byte more of it than is read."""
    body = bytearray(beginning)
    while len(body) <= MAX_BODY_BYTES and (piece := await anext(pieces, None)) is not None:
        body += piece
    return bytes(body[: MAX_BODY_BYTES + 1])


def _quoted(line: bytes) -> str:
    return shortened(line[:400].strip().partition(b"\n")[0].decode("utf-8", "replace"))
