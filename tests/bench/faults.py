"""Everything that can go wrong on the network, done by a server: each fault writes to a connection."""

import asyncio
import email.utils
import json
import random
import time
from collections.abc import Callable

Fault = Callable[[asyncio.Transport], None]

_CURSED = 0.01
_RARE = 0.03  # of the faults: those that pause all requests, or are very large
_HANGS_SECONDS = 60.0


def response(
    status: int, body: bytes, *headers: str, kind: str = "application/json", length: int | None = None
) -> bytes:
    """A whole HTTP/1.1 response; `length` is what it claims to be long."""
    claimed = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status} Shaped", f"content-type: {kind}", f"content-length: {claimed}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def said(text: str | None, **fields: object) -> bytes:
    """A chat completion."""
    content = {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 150, "completion_tokens": 300, "total_tokens": 450},
    }
    return json.dumps(content | fields).encode()


GOOD = said("A plain sentence with some words in it. " * 36)
REFUSED = b'{"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}'
_FAILED = b'{"error": {"message": "internal", "type": "server_error", "code": null}}'


def _writes(content: bytes) -> Fault:
    return lambda transport: transport.write(content)


def _torn(content: bytes) -> Fault:
    def tear(transport: asyncio.Transport) -> None:
        transport.write(content)
        asyncio.get_running_loop().call_later(0.01, transport.abort)

    return tear


def _late(seconds: float) -> Fault:
    def answer(transport: asyncio.Transport) -> None:
        if not transport.is_closing():
            transport.write(response(200, GOOD))

    def answer_late(transport: asyncio.Transport) -> None:
        asyncio.get_running_loop().call_later(seconds, answer, transport)

    return answer_late


def _refused_until_a_date(transport: asyncio.Transport) -> None:
    date = email.utils.formatdate(time.time() + 1, usegmt=True)
    transport.write(response(429, REFUSED, f"retry-after: {date}"))


_COMMON: dict[str, Fault] = {
    "500": _writes(response(500, _FAILED)),
    "502 with HTML": _writes(response(502, b"<html><h1>Bad Gateway</h1></html>", kind="text/html")),
    "503": _writes(response(503, _FAILED, "retry-after: 0.2")),
    "reset before an answer": lambda transport: transport.abort(),
    "reset inside the body": _torn(response(200, GOOD[:700], length=len(GOOD))),
    "stalled body": _writes(response(200, GOOD[:700], length=len(GOOD))),
    "slow first byte": _late(0.6),
    "no first byte in time": _late(_HANGS_SECONDS),
    "half JSON": _writes(response(200, GOOD[:700])),
    "a page instead of JSON": _writes(response(200, b"<html>Welcome</html>", kind="text/html")),
    "JSON under a wrong content type": _writes(response(200, GOOD, kind="text/html")),
    "null content": _writes(response(200, said(None))),
    "empty choices": _writes(response(200, said("x", choices=[]))),
    "headers twice": _writes(
        response(200, GOOD, "content-type: text/plain", f"content-length: {len(GOOD)}", "x-a: 1", "x-a: 2")
    ),
    "two lengths": _writes(response(200, GOOD, f"content-length: {len(GOOD) + 1}")),
}
_SELDOM: dict[str, Fault] = {
    "429": _writes(response(429, REFUSED)),
    "429 with seconds": _writes(response(429, REFUSED, "retry-after: 0.2")),
    "429 with a date": _refused_until_a_date,
    "10 MB": _writes(response(200, said("A plain sentence with some words in it. " * 250_000))),
}


def drawn_fault(number: int, share: float) -> tuple[str, Fault] | None:
    """The fault that a request about question `number` meets: one question in a hundred always meets the same one."""
    fate = random.Random(number)
    if fate.random() < _CURSED:
        return fate.choice(list(_COMMON.items()))
    if random.random() >= share:
        return None
    return random.choice(list((_SELDOM if random.random() < _RARE else _COMMON).items()))
