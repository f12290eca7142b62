"""The scoring format: a conversation goes to one of vLLM's APIs for reward models, and one number comes back.

`classify` and `pooling` put the conversation through the model's own chat template; `score` takes prompt and answer as two texts.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from clairgen.errors import RequestFailedError
from clairgen.records import Message, Sampling
from clairgen.templates import transcript

SCORING_PATHS: Final[Mapping[str, str]] = {"classify": "/classify", "pooling": "/pooling", "score": "/score"}
"""The page of each API, beside the /v1 of a base URL."""
_FIELDS: Final = {"classify": "probs", "pooling": "data", "score": "score"}
_QUOTED_CHARACTERS = 200


def score_request_body(model: str, messages: Sequence[Message], sampling: Sampling) -> bytes:
    """The JSON of one request to score the last message, an answer to those before it."""
    asked: dict[str, Any] = {"messages": [{"role": one.role, "content": one.content} for one in messages]}
    if sampling.api == "score":
        *prompt, answer = messages
        asked = {"text_1": transcript(prompt), "text_2": answer.content}
    return orjson.dumps({"model": model} | asked | dict(sampling.extra))


def score_in(content: Mapping[str, Any], api: str) -> float:
    """The score in a response. Raises RequestFailedError: `no-score`, `several-scores` or `score-not-a-number`."""
    data = content.get("data")
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise _failed("no-score", "its `data` is no list of results", data)
    if len(data) != 1:
        raise _failed(
            "no-score" if not data else "several-scores", f"one result was asked for, and it has {len(data)}", data
        )
    name = _FIELDS[api]
    if name not in data[0]:
        raise _failed("no-score", f"its result has no `{name}`; is `api: {api}` the right one for this model?", data[0])
    found = data[0][name]
    if api == "pooling" and isinstance(found, list) and found and all(isinstance(token, list) for token in found):
        found = found[-1]  # of a reward model over tokens the last one's score is that of the whole answer
    if isinstance(found, list):
        if len(found) != 1:
            why = f"`{name}` has {len(found)} numbers, and a reward model gives one (`num_labels` 1)"
            raise _failed("several-scores" if found else "no-score", why, found)
        [found] = found
    if isinstance(found, bool) or not isinstance(found, int | float) or not _is_finite(found):
        raise _failed("score-not-a-number", f"`{name}` is no finite number", found)
    return float(found)


def _is_finite(number: float) -> bool:
    """Whether it is a number that a float can hold; JSON has integers of any length."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _failed(reason: str, why: str, found: Any) -> RequestFailedError:  # noqa: ANN401 - parsed JSON
    detail = f"the response holds no score that can be used: {why}: {str(found)[:_QUOTED_CHARACTERS]}"
    return RequestFailedError(reason, detail, status=200, billed=True)
