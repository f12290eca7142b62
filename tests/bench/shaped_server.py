"""A server of chat completions with a given shape, in its own process: latency, a rate limit, connections that die.

python -m tests.bench.shaped_server --median 2 --sigma 0.6
python -m tests.bench.shaped_server --per-minute 6000 --burst 100 --median 0.2

It is a hand-written protocol, so that it costs far less than what is measured with it. GET /count and /seeds tell what it saw
since the last /reset. Lognormal latencies go by model and question, so that an ideal schedule of the same ones can be computed.
"""

import argparse
import asyncio
import json
import random
import re
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.bench.faults import REFUSED, drawn_fault, response, said

SOLUTION = "{teacher_reasoning}: It could be clearer.\n\n{corrected_student_solution}: "
_MODEL = re.compile(rb'"model": ?"([^"]*)"')
_QUESTION = re.compile(rb"Question (\d+):")
_DISTINCT = 500
_SENTENCES = 20
_REVISED = 4  # of them, by the reviser


@cache
def _prose() -> list[str]:
    """The sentences of this project's guides: text as models write it, with marks, numbers and few words that are frequent."""
    guides = sorted((Path(__file__).parents[2] / "docs" / "guides").glob("*.md"))
    lines = [line for path in guides for line in path.read_text(encoding="utf-8").splitlines() if "|" not in line]
    found = re.split(r"(?<=[.!?:])\s+", " ".join(lines))
    return [sentence for sentence in found if 40 < len(sentence) < 200 and "`" not in sentence]


@cache
def _sentences(model: str, number: int) -> list[str]:
    return random.Random(f"{model}:{number}").choices(_prose(), k=_SENTENCES)


def answer_text(model: str, number: int) -> str:
    """What a model says to question `number`, about 2 kB; the reviser says most of what the target did, after its reasoning."""
    number %= _DISTINCT
    if model != "reviser":
        return "\n\n".join(" ".join(part) for part in _in_paragraphs(_sentences(model, number)))
    revised = list(_sentences("target", number))
    for place, other in enumerate(_sentences(model, number)[:_REVISED]):
        revised[place * _SENTENCES // _REVISED] = other
    return SOLUTION + "\n\n".join(" ".join(part) for part in _in_paragraphs(revised))


def _in_paragraphs(sentences: list[str]) -> list[list[str]]:
    return [sentences[start : start + 5] for start in range(0, len(sentences), 5)]


@cache
def _answer_bytes(model: str, number: int) -> bytes:
    return response(200, said(answer_text(model, number)))


def latency_of(median: float, sigma: float, model: str, number: int) -> float:
    """The lognormal latency in seconds of what is asked about question `number`, always the same one."""
    return median * random.Random(f"{model}:{number}").lognormvariate(0.0, sigma) if sigma else median


@dataclass(slots=True)
class Shape:
    """How the server answers, and what it counted."""

    median: float
    sigma: float
    per_minute: float
    burst: float
    faults: float
    counts: Counter[str] = field(default_factory=Counter)
    seeds: Counter[int] = field(default_factory=Counter)
    in_flight: int = 0
    first: float = 0.0
    last: float = 0.0
    allowed: float = field(init=False)
    filled_at: float = 0.0

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start again."""
        self.counts, self.seeds = Counter(), Counter()
        self.first = self.last = 0.0
        self.allowed, self.filled_at = self.burst, time.monotonic()

    def admits(self) -> bool:
        """Whether the limit has room for one more request: a bucket of `burst`, filled at `per_minute`."""
        if not self.per_minute:
            return True
        now = time.monotonic()
        self.allowed = min(self.burst, self.allowed + (now - self.filled_at) * self.per_minute / 60)
        self.filled_at = now
        if self.allowed < 1:
            return False
        self.allowed -= 1
        return True

    def facts(self) -> dict[str, Any]:
        """What was counted; `repeated` is how many requests carried a seed that another one had carried."""
        repeated = sum(self.seeds.values()) - len(self.seeds)
        return {**self.counts, "first": self.first, "last": self.last, "repeated": repeated}


def asked_of(body: bytes) -> tuple[str, int]:
    """Model and number of the question of a request, which stands in a revision's prompt as well."""
    model, number = _MODEL.search(body), _QUESTION.search(body)
    return model[1].decode() if model else "", int(number[1]) if number else 0


class Connection(asyncio.Protocol):
    """One connection; requests may come one after another, whole or in parts."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # a stream's transport is one that can be written

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._received = self._received + data if self._received else data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._received) < end + 4 + length:
                return
            body = self._received[end + 4 : end + 4 + length]
            self._received = self._received[end + 4 + length :]
            self._take(head, body)

    def _take(self, head: bytes, body: bytes) -> None:
        shape = self._shape
        if not head.startswith(b"post"):
            page = head.split(b" ", 2)[1]
            facts = shape.seeds if page == b"/seeds" else shape.facts()
            self._send(response(200, json.dumps(facts).encode()))
            if page == b"/reset":
                shape.reset()
            return
        shape.first = shape.first or time.time()
        if not shape.admits():
            shape.counts["refused"] += 1
            self._send(response(429, REFUSED))
            return
        shape.counts["asked"] += 1
        if (at := body.rfind(b'"seed":')) >= 0:
            shape.seeds[int(body[at + 7 :].split(b",")[0].split(b"}")[0])] += 1
        drawn = drawn_fault(asked_of(body)[1], shape.faults) if shape.faults else None
        if drawn is not None and self._transport is not None:
            shape.counts[drawn[0]] += 1
            drawn[1](self._transport)
            return
        if not shape.median:
            self._answer(*asked_of(body))
            return
        latency = latency_of(shape.median, shape.sigma, *asked_of(body)) if shape.sigma else shape.median
        shape.in_flight += 1
        shape.counts["most_in_flight"] = max(shape.counts["most_in_flight"], shape.in_flight)
        asyncio.get_running_loop().call_later(latency, self._answer_late, *asked_of(body))

    def _answer_late(self, model: str, number: int) -> None:
        self._shape.in_flight -= 1
        self._answer(model, number)

    def _answer(self, model: str, number: int) -> None:
        self._shape.counts["answered"] += 1
        self._shape.last = time.time()
        self._send(_answer_bytes(model, number % _DISTINCT))

    def _send(self, content: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(content)


async def serve(shape: Shape, port: int) -> None:
    """Serve until SIGTERM; prints the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(shape), "127.0.0.1", port, backlog=4096)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()


def main() -> None:
    """Read the shape from the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--median", type=float, default=0.0, help="median latency in seconds")
    parser.add_argument("--sigma", type=float, default=0.0, help="sigma of a lognormal latency; 0 for a constant one")
    parser.add_argument("--per-minute", type=float, default=0.0, help="requests a minute; 0 for no limit")
    parser.add_argument("--burst", type=float, default=1.0, help="requests that may come at once")
    parser.add_argument("--faults", type=float, default=0.0, help="share of the requests that meet a fault")
    given = parser.parse_args()
    shape = Shape(given.median, given.sigma, given.per_minute, given.burst, given.faults)
    with suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(serve(shape, given.port))


if __name__ == "__main__":
    main()
