"""Content keys, which are equal for equal requests, and the seeds that follow from them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as _escaped
from typing import Any

from clairgen.records import Message, Sampling

_SEED_BITS = 31  # the largest seed that every engine takes: some read it as a signed 32-bit integer


def canonical_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """One text for one JSON value: sorted keys, ASCII-escaped, no spaces, 1.0 written as 1; NaN is refused."""
    return json.dumps(_canonical(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """Hex sha256 of an ASCII text."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def messages_json(messages: Sequence[Message]) -> str:
    """Canonical JSON of messages, as stored and hashed."""
    entries = [f'{{"content":{_escaped(message.content)},"role":{_escaped(message.role)}}}' for message in messages]
    return f"[{','.join(entries)}]"


def sampling_facts(sampling: Sampling) -> dict[str, Any]:
    """The sampling fields that are set, by name; a field that is None is absent, which is not the same as null."""
    facts: dict[str, Any] = {
        name: value
        for name in ("temperature", "top_p", "max_tokens", "seed")
        if (value := getattr(sampling, name)) is not None
    }
    if sampling.stop:
        facts["stop"] = list(sampling.stop)
    if sampling.extra:
        facts["extra"] = dict(sampling.extra)
    if sampling.api is not None:
        facts["api"] = sampling.api
    return facts


class ContentKeys:
    """Keys of the requests to one model under one sampling: all that shapes the answer but messages and sample index."""

    def __init__(self, model: str, revision: str | None, sampling: Sampling) -> None:
        self._model = canonical_json({"model": model} | ({} if revision is None else {"revision": revision}))[1:-1]
        self._sampling = canonical_json({"sampling": sampling_facts(sampling)})[1:-1]

    def key(self, messages: str, sample: int) -> str:
        """Key of a request whose messages are given as canonical JSON: hex sha256 over a JSON object with sorted keys."""
        return digest(f'{{"messages":{messages},{self._model},"sample":{sample},{self._sampling}}}')


def content_key(model: str, revision: str | None, messages: Sequence[Message], sampling: Sampling, sample: int) -> str:
    """Key of a request: hex sha256 over all that shapes the answer and nothing else (no endpoint, price, time-out)."""
    return ContentKeys(model, revision, sampling).key(messages_json(messages), sample)


def seed_for(seed: int, key: str, redraw: int = 0) -> int:
    """The seed that is sent with a request: from the role's seed and the key, so that samples differ and runs repeat.

    `redraw` counts empty answers to this key so far: the same seed would give the same empty answer again.
    """
    text = f"{seed}:{key}:{redraw}"
    return int.from_bytes(hashlib.sha256(text.encode("ascii")).digest()[:8]) >> (64 - _SEED_BITS)


def pair_id(task_id: str, recipe: str) -> str:
    """Id of the pair that a recipe makes of a task: 32 hex digits."""
    return digest(f"[{_escaped(task_id)},{_escaped(recipe)}]")[:32]


def sample_number(task_id: str) -> int:
    """A number below 2**32 that depends on the task alone: samples of pairs have the tasks with the smallest ones."""
    return int.from_bytes(hashlib.sha256(task_id.encode("utf-8", "surrogatepass")).digest()[:4])


def _canonical(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _canonical(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(entry) for entry in value]
    return value
