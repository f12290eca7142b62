"""What a server says on the wire to the same asks, and what clairgen reads in it: a column of the table for each server."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from clairgen.errors import RequestError, UnusableEndpointError
from clairgen.inference.openai_format import read_response, request_body
from clairgen.inference.runtime import open_transport
from clairgen.inference.transport import Response, Timeouts
from clairgen.records import Message, Sampling

_QUESTION = "What is 200 + 300?"
_OVERLONG = f"{_QUESTION} " * 2000
_TIMEOUTS = Timeouts(total=120)


@dataclass(frozen=True, slots=True)
class _Ask:
    """An ask that shows something; the seed is 7 unless it is asked with several."""

    prompt: str = _QUESTION
    model: str | None = None
    max_tokens: int | None = 64
    temperature: float = 1.5
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


_ASKS = {
    "a question": _Ask(temperature=0),
    "no max_tokens": _Ask(max_tokens=None, temperature=0),
    "max_tokens 2": _Ask(max_tokens=2),
    "a stop text": _Ask(temperature=0, stop=("=",)),
    "n = 3": _Ask(extra={"n": 3}),
    "n = 3, greedy": _Ask(temperature=0, extra={"n": 3}),
    "an unknown field": _Ask(temperature=0, extra={"no_such_field": 1}),
    "a model it does not serve": _Ask(model="no-such-model"),
    "a prompt over the context": _Ask(prompt=_OVERLONG),
    "max_tokens over the context": _Ask(max_tokens=100_000),
    "a negative temperature": _Ask(temperature=-1),
}


async def wire_facts(url: str, model: str) -> dict[str, str]:
    """What was seen, by what was asked."""
    transport = open_transport()

    async def answer(ask: _Ask, seed: int = 7) -> Response:
        sampling = Sampling(ask.temperature, max_tokens=ask.max_tokens, stop=ask.stop, extra=ask.extra)
        body = request_body(ask.model or model, [Message("user", ask.prompt)], sampling, seed)
        headers = {"content-type": "application/json"}
        return await transport.post(f"{url}/chat/completions", headers, body, _TIMEOUTS)

    try:
        health = await transport.get(f"{url.removesuffix('/v1')}/health", {}, _TIMEOUTS)
        models = await transport.get(f"{url}/models", {}, _TIMEOUTS)
        facts = {
            "/health": f"{health.status}, {len(health.body)} bytes",
            "/v1/models": ", ".join(served["id"] for served in orjson.loads(models.body)["data"]),
        }
        texts = [_text(await answer(_Ask(), seed)) for seed in (1, 1, 2, 3, 4, 5)]
        facts["one seed twice"] = "the same text" if texts[0] == texts[1] else "two texts"
        facts["five seeds"] = f"{len(set(texts))} texts"
        for name, ask in _ASKS.items():
            facts[name] = _read(await answer(ask))
    finally:
        await transport.close()
    return facts


def markdown(columns: Mapping[str, Mapping[str, str]]) -> str:
    """The facts of several servers side by side."""
    rows = [("asked", *columns), ("---",) * (1 + len(columns))]
    rows += [(name, *(facts[name] for facts in columns.values())) for name in next(iter(columns.values()))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _text(response: Response) -> str:
    return read_response(response, now_seconds=time.time()).text


def _read(response: Response) -> str:
    """How clairgen takes a response, in a few words."""
    try:
        answer = read_response(response, now_seconds=time.time())
    except UnusableEndpointError as error:
        return f"unusable: {error.detail}"
    except RequestError as error:
        return f"{error.status} {error.reason}: {error.detail[:150]}"
    choices, usage = len(orjson.loads(response.body)["choices"]), answer.usage
    said = f"{answer.finish_reason}, {usage.prompt_tokens}+{usage.completion_tokens} tokens"
    return said if choices == 1 else f"{said}, {choices} choices"
