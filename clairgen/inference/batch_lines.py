"""The lines of batches: a request as a line of a file, and a line of results as the answer or the error that it is.

A result is read exactly as the same body over HTTP is. It is matched by its `custom_id`, which is the content key of the request;
its place in the file says nothing.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson

from clairgen.errors import RequestError, RequestFailedError, RetryableError
from clairgen.inference.endpoint import read_elsewhere
from clairgen.inference.json_bodies import is_text, parsed_json, repeated_key
from clairgen.inference.openai_format import ChatAnswer
from clairgen.inference.redaction import Redaction
from clairgen.inference.rejections import error_body, shortened
from clairgen.inference.transport import MAX_BODY_BYTES, Response
from clairgen.long_texts import off_loop
from clairgen.patterns import lazy_pattern

LONGEST_ID: Final = 64
"""Most characters of a custom_id; a content key has as many."""
_LONG_BYTES = 200_000
_MOST_BYTES: Final = MAX_BODY_BYTES + 100_000  # of a body and what is around it
_NAMED: Final = lazy_pattern(r'"custom_id"\s*:\s*"([!#-~]{1,64})"')
_UNPROCESSED: Final = {"batch_expired": "batch-expired", "batch_cancelled": "batch-cancelled"}


@dataclass(frozen=True, slots=True)
class LineResult:
    """What a line says of the request `custom_id`."""

    custom_id: str
    outcome: ChatAnswer | RequestError


@dataclass(frozen=True, slots=True)
class UnreadableLine:
    """A line that names no request or is no result; `why` says in which way."""

    why: str
    custom_id: str | None = None


def ids_named_in(line: bytes) -> set[str]:
    """The custom_ids in a line that cannot be read, as far as they stand there whole."""
    return set(_NAMED.findall(line.decode("latin-1")))


def request_line(custom_id: str, body: bytes, path: str = "/v1/chat/completions") -> bytes:
    """The line of a request, with its end."""
    head = orjson.dumps({"custom_id": custom_id, "method": "POST", "url": path})
    return head[:-1] + b',"body":' + body + b"}\n"


async def split_lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The lines in a file's bytes, without their ends and without empty ones; one that nobody would send is cut off."""
    begun: list[bytes] = []
    length = 0
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        for part, ends in [
            (first, bool(others)),
            *((part, index < len(others) - 1) for index, part in enumerate(others)),
        ]:
            begun.append(part[: max(0, _MOST_BYTES - length)])
            length += len(begun[-1])
            if ends:
                if line := b"".join(begun).strip():
                    yield line
                begun, length = [], 0
    if line := b"".join(begun).strip():
        yield line


async def read_line(line: bytes, redaction: Redaction, now_seconds: float) -> LineResult | UnreadableLine:
    """The result in a line, keys taken out; a long one is read in another process."""
    if len(line) >= _MOST_BYTES:
        return UnreadableLine(f"it has more than {_MOST_BYTES:,} bytes, which no model writes")
    line = redaction.body(line)
    try:
        content, repaired = await off_loop(parsed_json, line) if len(line) > _LONG_BYTES else parsed_json(line)
    except RequestFailedError as too_long:
        return UnreadableLine(too_long.detail)
    if not isinstance(content, dict):
        return UnreadableLine("it is not a JSON object")
    custom_id = content.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        return UnreadableLine("it has no custom_id")
    if not is_text(custom_id):
        return UnreadableLine("its custom_id is not text")
    if len(custom_id) > LONGEST_ID:
        return UnreadableLine("its custom_id is too long", shortened(custom_id))
    if (key := repeated_key(line)) is not None:
        detail = f"the line has the key {key!r} twice in one object, so it is open which of them is meant"
        return LineResult(custom_id, RetryableError("repeated-key", detail, status=200, billed=True))
    response, error = content.get("response"), content.get("error")
    body = response.get("body") if isinstance(response, dict) else None
    status = _status(response.get("status_code"), body, error) if isinstance(response, dict) else None
    if status != HTTPStatus.OK and isinstance(body, dict) and body.get("choices"):
        said = f"the line has an answer and the status {shortened(json.dumps(status))}, which contradict each other"
        return LineResult(custom_id, unreadable(said))
    if not isinstance(status, int) or isinstance(status, bool) or status < 100 or body is None:
        return LineResult(custom_id, _without_response(error, body, status))
    return LineResult(custom_id, await _read_body(body, status, redaction, now_seconds, repaired=repaired))


async def _read_body(
    body: Any,  # noqa: ANN401 - parsed JSON
    status: int,
    redaction: Redaction,
    now_seconds: float,
    *,
    repaired: bool,
) -> ChatAnswer | RequestError:
    received = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else _dumped(body)
    response = Response(status, {"content-type": "application/json"}, b"", repaired=repaired)
    if len(received) <= _LONG_BYTES:
        return read_elsewhere(received, response, redaction, now_seconds, needs_done=False, api="chat")
    try:
        return await off_loop(read_elsewhere, received, response, redaction, now_seconds, False, "chat")
    except RequestFailedError as error:
        error.status, error.billed = status, True
        return error


def _status(status: Any, body: Any, error: Any) -> Any:  # noqa: ANN401 - parsed JSON
    """The status of a line as a number; a completion that came without any, and without an error, is one of status 200."""
    if isinstance(status, str) and status.isascii() and status.isdigit() and len(status) == len("200"):
        return int(status)
    if isinstance(status, float) and status.is_integer():
        return int(status)
    is_answer = status is None and not error and isinstance(body, dict) and bool(body.get("choices"))
    return 200 if is_answer else status


def _dumped(body: Any) -> bytes:  # noqa: ANN401 - parsed JSON
    """A parsed body as bytes again; numbers and halves of surrogate pairs that orjson refuses are kept by json."""
    try:
        return orjson.dumps(body)
    except TypeError:
        return json.dumps(body).encode()


def _without_response(error: Any, body: Any, status: Any) -> RequestError:  # noqa: ANN401 - parsed JSON
    """The error of a line whose request has no HTTP response: it was never processed, or the provider failed."""
    found = error_body({"error": error}) if error else error_body(body)
    codes = found.codes if found is not None else frozenset[str]()
    said = found.message if found is not None else "no explanation"
    for code, reason in _UNPROCESSED.items():
        if code in codes:
            return RetryableError(reason, said)
    if not error and not _says_that_it_failed(status):
        return unreadable(
            f"the line has neither an answer nor an error (its status is {shortened(json.dumps(status))})"
        )
    named = f"status {status}" if isinstance(status, int) else "no response"
    return RetryableError("batch-line-failed", f"the line has {named}: {said}", status=500, billed=body is not None)


def unreadable(said: str) -> RequestFailedError:
    """The error of a request whose result cannot be read."""
    return perhaps_paid("result-unreadable", said)


def perhaps_paid(reason: str, said: str) -> RequestFailedError:
    """The error of a request whose answer may be billed although there is none to be had."""
    detail = f"{said}; the request is sent again only if you say so, since it was probably paid for"
    return RequestFailedError(reason, detail, billed=True)


def _says_that_it_failed(status: object) -> bool:
    """Whether a status is that of a request without an answer; 0 is what providers write for one that was not processed."""
    return isinstance(status, int) and not isinstance(status, bool) and not 200 <= status < 300
