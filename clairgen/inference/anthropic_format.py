"""Anthropic's messages in OpenAI's form and back, a line of a batch at a time."""

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson

from clairgen.inference.json_bodies import parsed_json

_RENAMED: Final = {"stop": "stop_sequences", "max_completion_tokens": "max_tokens"}
_NOT_TAKEN: Final = {"messages", "seed", "stream", "stream_options"}
_UNPROCESSED: Final = {"canceled": "batch_cancelled", "expired": "batch_expired"}
_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def converted_request(line: bytes) -> bytes:
    """A line of OpenAI's form as one request of a message batch: system messages become its `system`, a seed is not taken."""
    content = orjson.loads(line)
    body = content["body"]
    system = "\n\n".join(one["content"] for one in body["messages"] if one["role"] == "system")
    params = {_RENAMED.get(name, name): value for name, value in body.items() if name not in _NOT_TAKEN}
    params["messages"] = [one for one in body["messages"] if one["role"] != "system"]
    if system:
        params["system"] = system
    return orjson.dumps({"custom_id": content["custom_id"], "params": params})


def converted_result(line: bytes) -> bytes:
    """A line of results in OpenAI's form; one that cannot be read stays as it is."""
    content, _ = parsed_json(line)
    result = content.get("result") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(result, dict):
        return line
    head = {"custom_id": content.get("custom_id")}
    kind = result.get("type")
    if kind == "succeeded" and isinstance(message := result.get("message"), dict):
        return _dumped(head | {"response": {"status_code": 200, "body": _chat_completion(message)}, "error": None})
    if kind == "errored":
        error = result.get("error")
        inner = error.get("error") if isinstance(error, dict) and isinstance(error.get("error"), dict) else error
        kind_of_error = str(inner.get("type")) if isinstance(inner, dict) else ""
        response = {"status_code": _STATUSES.get(kind_of_error, 500), "body": {"error": inner}}
        return _dumped(head | {"response": response, "error": None})
    if (code := _UNPROCESSED.get(str(kind))) is None:  # not understood, so it may have been paid for
        return _dumped(head | {"response": {"status_code": kind, "body": None}, "error": None})
    return _dumped(head | {"response": None, "error": {"code": code, "message": f"the request is {kind}"}})


def _chat_completion(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as a chat completion; the tokens of what was read from a cache or written to it are tokens of the prompt."""
    usage = message.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    cached = [counts.get(f"cache_{what}_input_tokens") for what in ("creation", "read")]
    prompt = counts.get("input_tokens")
    if isinstance(prompt, int):
        prompt += sum(count for count in cached if isinstance(count, int))
    return {
        "id": message.get("id"),
        "object": "chat.completion",
        "model": message.get("model"),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": message.get("content")},
                "finish_reason": message.get("stop_reason"),
            }
        ],
        "usage": {"prompt_tokens": prompt, "completion_tokens": counts.get("output_tokens")},
    }


def _dumped(content: Any) -> bytes:  # noqa: ANN401 - parsed JSON
    """JSON as bytes; numbers and halves of surrogate pairs that orjson refuses are kept by json."""
    try:
        return orjson.dumps(content)
    except TypeError:
        return json.dumps(content).encode()
