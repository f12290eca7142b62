"""The OpenAI chat format: from records to a request's bytes, from a response's bytes to an answer or the error that it is."""

import email.utils
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from clairgen.errors import RequestError, RequestFailedError, RetryableError, UnusableEndpointError
from clairgen.inference.transport import Response
from clairgen.records import Message, Sampling, Usage

_QUOTED_CHARACTERS = 300
_LONGEST_WAIT_SECONDS = 3600.0
_LARGEST_BYTES = 8_000_000  # two million tokens; measuring and filtering more would delay everything else
_FINISHED_EARLY = (
    "abort",
    "aborted",
    "error",
    "cancelled",
)  # half an answer, as servers send it when they shut down or fail


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """A good answer as the endpoint sent it."""

    text: str
    finish_reason: str
    usage: Usage
    response_id: str | None


def request_body(model: str, messages: Sequence[Message], sampling: Sampling, seed: int | None) -> bytes:
    """The JSON of one chat request. `seed` replaces the sampling's: it is derived from the content key."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in messages],
    }
    for name in ("temperature", "top_p", "max_tokens"):
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if seed is not None:
        body["seed"] = seed
    return orjson.dumps(body | dict(sampling.extra))


def read_response(response: Response, *, now_seconds: float) -> ChatAnswer:
    """The answer in a response.

    Raises RetryableError (429, 5xx, an answer that is broken off or empty), RequestFailedError (this request will always be
    rejected) or UnusableEndpointError (every request will be).
    """
    if response.status == 200:
        return _answer(response)
    raise _error(response, now_seconds)


def _answer(response: Response) -> ChatAnswer:
    if len(response.body) > _LARGEST_BYTES:
        detail = (
            f"the answer has {len(response.body):,} bytes, which no model writes; at most {_LARGEST_BYTES:,} are taken"
        )
        raise RequestFailedError("answer-too-large", detail, status=200, billed=True)
    content = _json(response.body)
    if not isinstance(content, dict):
        kind = response.headers.get("content-type", "unknown")
        detail = f"the answer is not a JSON object but {kind}: {_quoted(response.body)}; does the base URL end in /v1?"
        raise RetryableError("not-json", detail, status=200, billed=True)
    usage = _usage(content.get("usage"))
    try:
        return _good_answer(content, usage, response)
    except RequestError as error:
        if usage.prompt_tokens is not None and usage.completion_tokens is not None:
            error.used = (usage.prompt_tokens, usage.completion_tokens)
        raise


def _good_answer(content: Mapping[str, Any], usage: Usage, response: Response) -> ChatAnswer:
    choices = content.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise RetryableError(
            "no-choices", f"the answer holds no message: {_quoted(response.body)}", status=200, billed=True
        )
    finish = _text(choice.get("finish_reason")) or "stop"
    if finish in _FINISHED_EARLY:
        raise RetryableError("aborted", f"the server broke the answer off ({finish})", status=200, billed=True)
    if finish == "content_filter":
        raise RequestFailedError(
            "content-filter", "the provider's content filter withheld the answer", status=200, billed=True
        )
    text = _text(message.get("content"))
    if not text.strip():
        refusal = message.get("refusal")
        why = (
            f"the model refused: {_quoted(str(refusal).encode())}"
            if refusal
            else "the model answered with an empty text"
        )
        raise RetryableError("empty-answer", why, status=200, billed=True)
    return ChatAnswer(text, finish, usage, _text(content.get("id")) or None)


def _error(response: Response, now_seconds: float) -> RequestError:
    status, said, code = response.status, *_error_fields(response.body)
    if status == 429 and "too large" in said.lower():
        return RequestFailedError("request-too-large", said, status=status)  # alone over the limit of a minute
    if status == 429 and code != "insufficient_quota":
        wait = _retry_after(response.headers, now_seconds)
        return RetryableError("rate-limited", said, status=status, retry_after_seconds=wait)
    if status in (401, 403, 404, 405) or status == 429 or 300 <= status < 400:
        return UnusableEndpointError(f"HTTP {status}: {said}; {_ADVICE.get(status, _ADVICE[404])}", status)
    if status in (400, 413, 422):
        return RequestFailedError(_bad_request(said, code), said, status=status)
    if status in (408, 409, 425) or status >= 500:
        wait = _retry_after(response.headers, now_seconds)
        return RetryableError("server-error", f"HTTP {status}: {said}", status=status, retry_after_seconds=wait)
    return RequestFailedError(f"http-{status}", said, status=status)


_ADVICE = {
    401: "check the API key in the variable that api_key_env names",
    403: "check that the API key may use this model",
    404: "check the model's name and that the base URL ends in /v1",
    429: "the account has no credit left: add some, then run the same command again",
}


def _bad_request(said: str, code: str | None) -> str:
    """The reason of a request that will be rejected however often it is sent."""
    lowered = said.lower()
    if (
        code == "context_length_exceeded"
        or "context length" in lowered
        or "context size" in lowered
        or "too long" in lowered
    ):
        return "context-overflow"
    if (
        code in ("content_policy_violation", "content_filter")
        or "content policy" in lowered
        or "content management" in lowered
    ):
        return "content-policy"
    return "bad-request"


def _error_fields(body: bytes) -> tuple[str, str | None]:
    """What an error response says, and its code, in any of the shapes that servers use."""
    content = _json(body)
    error = content.get("error", content) if isinstance(content, dict) else None
    if isinstance(error, str):
        return _shortened(error), None
    if not isinstance(error, dict):
        return _quoted(body) or "no explanation", None
    code = error.get("code") or error.get("type")
    said = error.get("message") or error.get("detail") or content
    return _shortened(said if isinstance(said, str) else json.dumps(said)), code if isinstance(code, str) else None


def _retry_after(headers: Mapping[str, str], now_seconds: float) -> float | None:
    """Retry-After in seconds, from either form (a number, or an HTTP date against the clock); at most an hour."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now_seconds
        except (ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), _LONGEST_WAIT_SECONDS) if math.isfinite(seconds) else None


def _usage(usage: Any) -> Usage:  # noqa: ANN401 - parsed JSON
    if not isinstance(usage, dict):
        return Usage()
    prompt, answer, total = (_count(usage.get(f"{kind}_tokens")) for kind in ("prompt", "completion", "total"))
    if prompt is not None and answer is not None and total is not None:
        answer = max(answer, total - prompt)  # some providers bill reasoning that they leave out of the completion
    return Usage(prompt, answer)


def _count(value: Any) -> int | None:  # noqa: ANN401 - parsed JSON
    """A number of tokens that can be true, or None."""
    return value if isinstance(value, int) and 0 <= value < 2**40 else None


def _text(content: Any) -> str:  # noqa: ANN401 - parsed JSON
    """A text of an answer; half a surrogate pair, which no database stores, becomes U+FFFD."""
    if isinstance(content, list):  # some servers send parts
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    if not isinstance(content, str):
        return ""
    return content if content.isascii() else content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _json(body: bytes) -> Any:  # noqa: ANN401 - parsed JSON
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body)  # accepts lone surrogates and NaN, which orjson does not
    except (ValueError, RecursionError):
        return None


def _quoted(body: bytes) -> str:
    return _shortened(body[: 4 * _QUOTED_CHARACTERS].decode("utf-8", "replace"))


def _shortened(text: str) -> str:
    flat = " ".join(text.encode("utf-8", "replace").decode().split())
    return flat if len(flat) <= _QUOTED_CHARACTERS else f"{flat[:_QUOTED_CHARACTERS]}…"
