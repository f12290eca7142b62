"""Streams as servers send them: a plain answer cut into events, in one of many ways of writing the same."""

import json
import random
from collections.abc import Sequence
from typing import Any, Final

from tests.scripted import Reply

DONE: Final = b"data: [DONE]\n\n"
TYPE: Final = {"content-type": "text/event-stream; charset=utf-8"}


def event(content: Any, *, name: str = "", end: str = "\n") -> bytes:  # noqa: ANN401 - servers send what they like
    """One event with this JSON."""
    data = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    named = f"event: {name}{end}" if name else ""
    return f"{named}data: {data}{end}{end}".encode()


def chunk(delta: Any = None, **choice: Any) -> dict[str, Any]:  # noqa: ANN401 - servers send what they like
    """A chunk with a piece of the answer."""
    piece = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": None} | choice
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [piece]}


def usage(prompt: int = 10, answer: int = 5) -> dict[str, Any]:
    """The chunk with the count of tokens."""
    counts = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": counts}


def deltas(text: str, size: int = 7, field: str = "content") -> list[dict[str, Any]]:
    """The chunks of a text, after the one with the role."""
    pieces = [chunk({field: text[start : start + size]}) for start in range(0, len(text), size)]
    return [chunk({"role": "assistant", "content": ""}), *pieces]


def stream(*events: Any, end: str = "\n") -> bytes:  # noqa: ANN401 - servers send what they like
    """Events, each as JSON or as its bytes."""
    return b"".join(one if isinstance(one, bytes) else event(one, end=end) for one in events)


def whole(text: str, *, finish_reason: Any = "stop", size: int = 7) -> list[Any]:  # noqa: ANN401
    """The events of a whole answer."""
    return [*deltas(text, size), chunk(finish_reason=finish_reason), usage(), DONE]


def streamed(plain: Reply, chance: random.Random) -> Reply:
    """A plain good answer as a stream, in one of the ways in which servers write it."""
    content = json.loads(plain.body)
    choice = content["choices"][0]
    message, events = choice["message"], [chunk({"role": "assistant", "content": ""})]
    for field in ("reasoning_content", "reasoning", "thinking", "refusal"):
        if isinstance(message.get(field), str):
            events += deltas(message[field], chance.randint(1, 30), field)[1:]
    text = message.get("content")
    if isinstance(text, list):
        events += [chunk({"content": [part]}) for part in text]
    elif text:
        events += deltas(text, chance.choice((1, 3, 8, 1000)))[1:]
    if message.get("tool_calls"):
        events += [chunk({"tool_calls": [call | {"index": 0}]}) for call in message["tool_calls"]]
    events.append(chunk(finish_reason=choice.get("finish_reason")))
    if chance.random() < 0.3:
        events[-1]["choices"].append({"index": 1, "delta": {"content": "HIDDEN other choice"}, "finish_reason": "stop"})
    counts = {"id": "1", "choices": [], "usage": content.get("usage")}
    end = chance.choice(("\n", "\r\n", "\r"))
    comment = f": keep-alive{end}{end}".encode()
    parts = [event(one, end=end) for one in (*events, counts)] + [f"data: [DONE]{end}{end}".encode()]
    body = b"".join(comment * (chance.random() < 0.2) + part for part in parts)
    return Reply(body, headers=TYPE if chance.random() < 0.8 else {}, chunk_bytes=chance.choice((None, 5, 100)))


def split(body: bytes, places: Sequence[int]) -> list[bytes]:
    """The same bytes in pieces that end at these places."""
    ends = [*sorted(set(places)), len(body)]
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]
