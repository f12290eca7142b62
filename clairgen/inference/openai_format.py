"""The OpenAI chat format: from records to a request's bytes, from a response's bytes to an answer or the error that it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from clairgen.errors import (
    RequestError,
    RequestFailedError,
    RetryableError,
    UnclearRejectionError,
    UnusableEndpointError,
)
from clairgen.finish_reason import FinishKind, finish_kind, finish_word
from clairgen.inference.announced_limits import retry_after_seconds
from clairgen.inference.chunk_texts import thoughts_of
from clairgen.inference.json_bodies import parsed_json, repeated_key, text_of
from clairgen.inference.rejection_rules import AtFault
from clairgen.inference.rejections import ErrorBody, classified, error_body, shortened
from clairgen.inference.score_format import score_in
from clairgen.inference.transport import MAX_BODY_BYTES, TIER_HEADER, Response
from clairgen.records import Message, Sampling, Usage

_QUOTED_BYTES = 1200
_MOST_TOKENS = 20_000_000  # twice the longest context that any model has; a count beyond it is not one
_CHARACTERS_PER_TOKEN = 20  # of a text of some length; tokenizers in use have 1 to 5 in every language
_JUDGED_FROM = 400  # characters of a text from which on fewer tokens than that are no count of it
_NO_FINISH_REASON = "missing"
_LONGEST_NAME = 200
_NO_DONE = (
    "the stream ended without [DONE], so the answer may be cut off; if this server never sends it, set "
    "stream_ends_with_done: false for this role"
)


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """A good answer as the endpoint sent it; its text is empty where all of `max_tokens` was spent before the answer began.

    `finish_reason` is the server's own word, `missing` without one; see `clairgen.finish_reason`. `repaired` is whether bytes
    that are not UTF-8, or halves of surrogate pairs, were replaced by U+FFFD in its text. `served_model` and
    `system_fingerprint` are the server's names of the model and of its own version, None where it gives none. `thinking` is what
    the model thought where the server sent it apart from the text, else empty. `service_tier` is the tier that the server says it
    used, None where it says nothing.
    """

    text: str
    finish_reason: str
    usage: Usage
    response_id: str | None
    repaired: bool = False
    served_model: str | None = None
    system_fingerprint: str | None = None
    thinking: str = ""
    service_tier: str | None = None


@dataclass(frozen=True, slots=True)
class Streaming:
    """That an answer is to be streamed; `usage` is whether its tokens are to be counted at the end of the stream."""

    usage: bool = True


def request_body(
    model: str,
    messages: Sequence[Message],
    sampling: Sampling,
    seed: int | None,
    streaming: Streaming | None = None,
    service_tier: str | None = None,
) -> bytes:
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
    if streaming is not None:
        body["stream"] = True
        if streaming.usage:
            body["stream_options"] = {"include_usage": True}
    if service_tier is not None:
        body["service_tier"] = service_tier
    return orjson.dumps(body | dict(sampling.extra))


def read_response(response: Response, *, now_seconds: float, needs_done: bool = True, api: str = "chat") -> ChatAnswer:
    """The answer in a response; `needs_done` is whether a stream must end with `[DONE]`.

    The text of what a reward model answers through another `api` is its score, as Python writes a float.

    Raises RetryableError (429, 5xx, an answer that is broken off or empty), RequestFailedError (this request will always be
    rejected), UnusableEndpointError (every request will be) or UnclearRejectionError (one of the last two). An error inside
    HTTP 200 is treated as the status that it names.
    """
    if response.status != 200:
        raise _rejection(response.status, _error_in(response), response, now_seconds)
    if len(response.body) > MAX_BODY_BYTES:
        detail = (
            f"the answer has more than {MAX_BODY_BYTES:,} bytes, which no model writes; it was not read any further"
        )
        raise RequestFailedError("answer-too-large", detail, status=200, billed=True)
    content, repaired = parsed_json(response.body)
    answered = "choices" if api == "chat" else "data"
    if isinstance(content, list) or (isinstance(content, dict) and (content.get("error") or answered not in content)):
        error = error_body(content)
        if error is not None:
            raise _after_text(_rejection_in_200(error, response, now_seconds), content)
    if not isinstance(content, dict):
        kind = response.headers.get("content-type", "unknown")
        detail = f"the answer is not a JSON object but {kind}: {_quoted(response.body)}; does the base URL end in /v1?"
        raise RetryableError("not-json", detail, status=200, billed=True)
    usage = _usage(content)
    try:
        if (key := repeated_key(response.body)) is not None:
            detail = f"the answer has the key {key!r} twice in one object, so it is open which of them is meant"
            raise RetryableError("repeated-key", detail, status=200, billed=True)
        if needs_done and not response.is_whole:
            raise RetryableError("broken-off", _NO_DONE, status=200, billed=True)
        if api != "chat":
            return _scored(content, usage, api)
        return _answer(content, usage, response, now_seconds, repaired=repaired or response.repaired)
    except RequestError as error:
        raise _with_tokens(error, usage) from error.__cause__


def _with_tokens(error: RequestError, usage: Usage) -> RequestError:
    if usage.prompt_tokens is not None and usage.completion_tokens is not None:
        error.used = (usage.prompt_tokens, usage.completion_tokens)
    return error


def _after_text(error: RequestError, content: Any) -> RequestError:  # noqa: ANN401 - parsed JSON
    """An error beside a part of an answer, which may be billed."""
    if isinstance(content, dict) and _is_written(content.get("choices")):
        error.billed = True
        return _with_tokens(error, _usage(content))
    return error


def _answer(
    content: Mapping[str, Any], usage: Usage, response: Response, now_seconds: float, *, repaired: bool
) -> ChatAnswer:
    choices = content.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if isinstance(choice, dict) and choice.get("error") and (error := error_body(choice)) is not None:
        raise _after_text(_rejection_in_200(error, response, now_seconds), content)
    finish = finish_word(choice.get("finish_reason")) if isinstance(choice, dict) else ""
    kind = finish_kind(finish)
    message = choice.get("message") if isinstance(choice, dict) else None
    if kind is FinishKind.FILTERED:
        detail = f"the provider's content filter withheld the answer ({finish})"
        raise RequestFailedError("content-filter", detail, status=200, billed=True)
    if kind is FinishKind.ABORTED:
        raise RetryableError("aborted", f"the server broke the answer off ({finish})", status=200, billed=True)
    if not isinstance(message, dict):
        raise RetryableError(
            "no-choices", f"the response contains no message: {_quoted(response.body)}", status=200, billed=True
        )
    text, torn = text_of(message.get("content"))
    if kind is FinishKind.TOOL_CALL or message.get("tool_calls"):
        detail = "the model called a tool, although none was offered, instead of answering"
        raise RequestFailedError("tool-call", detail, status=200, billed=True)
    refusal = message.get("refusal")
    refused = isinstance(refusal, str) and bool(refusal.strip())
    thinking, torn_thinking = text_of(thoughts_of(message))
    if refused or not (text.strip() or kind is FinishKind.LENGTH):
        raise _empty(kind, finish, refusal, reasoned=bool(thinking.strip()))
    if usage.completion_tokens is not None and len(text) > max(
        _CHARACTERS_PER_TOKEN * usage.completion_tokens, _JUDGED_FROM
    ):
        usage = Usage(usage.prompt_tokens)
    return ChatAnswer(
        text,
        finish or _NO_FINISH_REASON,
        usage,
        text_of(content.get("id"))[0] or None,
        repaired or torn or torn_thinking,
        _name(content.get("model")),
        _name(content.get("system_fingerprint")),
        thinking.strip(),
        _name(content.get("service_tier")) or _name(response.headers.get(TIER_HEADER)),
    )


def _scored(content: Mapping[str, Any], usage: Usage, api: str) -> ChatAnswer:
    """The answer of a reward model, which takes no tokens beside those of its prompt."""
    return ChatAnswer(
        repr(score_in(content, api)),
        "stop",
        Usage(usage.prompt_tokens, 0),
        text_of(content.get("id"))[0] or None,
        served_model=_name(content.get("model")),
    )


def _name(value: Any) -> str | None:  # noqa: ANN401 - parsed JSON
    """A name that the server gives, of a length that names have, or None."""
    return (text_of(value)[0].strip()[:_LONGEST_NAME] or None) if isinstance(value, str) else None


def _empty(kind: FinishKind, finish: str, refusal: Any, *, reasoned: bool) -> RequestError:  # noqa: ANN401 - parsed JSON
    """The error that an answer without text is, unless it was cut off before it began."""
    if refusal:
        return RequestFailedError("refusal", f"the model refused: {shortened(str(refusal))}", status=200, billed=True)
    if kind is FinishKind.NOT_RUN:
        return RetryableError("not-run", f"the server did not run the model ({finish})", status=200)
    why = "the model reasoned and then answered with an empty text" if reasoned else "the model's answer is empty"
    return RetryableError("empty-answer", why, status=200, billed=True)


def _error_in(response: Response) -> ErrorBody:
    """The error of a response that is not HTTP 200, in whatever form."""
    found = error_body(parsed_json(response.body)[0])
    return found or ErrorBody(_quoted(response.body) or "no explanation", frozenset(), None)


def _rejection_in_200(error: ErrorBody, response: Response, now_seconds: float) -> RequestError:
    """The error that a body of HTTP 200 contains. Without a status and without words that are known it is the server's fault."""
    status = error.status or 400
    found = _rejection(status, error, response, now_seconds)
    if isinstance(found, UnclearRejectionError) and error.status is None:
        return RetryableError("server-error", f"HTTP 200 with an error: {error.message}", status=500)
    return found


def _rejection(status: int, error: ErrorBody, response: Response, now_seconds: float) -> RequestError:
    rejection = classified(status, error)
    if rejection.fault is AtFault.PROMPT:
        return RequestFailedError(rejection.reason, rejection.said, status=status)
    if rejection.fault is AtFault.SETUP:
        return UnusableEndpointError(f"HTTP {status}: {rejection.said}; {rejection.hint}", status, rejection.reason)
    if rejection.fault is AtFault.UNCLEAR:
        return UnclearRejectionError(rejection.reason, rejection.said, status=status)
    wait = retry_after_seconds(response.headers, now_seconds)
    said = rejection.said if rejection.fault is AtFault.RATE else f"HTTP {status}: {rejection.said}"
    return RetryableError(rejection.reason, said, status=status, retry_after_seconds=wait)


def _usage(content: Mapping[str, Any]) -> Usage:
    """The tokens of a response as its server counted them; no tokens are no count where the model wrote something."""
    usage = content.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    prompt, answer, total = (_count(usage.get(f"{kind}_tokens")) for kind in ("prompt", "completion", "total"))
    if prompt is not None and answer is not None and total is not None:
        answer = max(answer, total - prompt)  # some providers bill reasoning that they leave out of the completion
    if 0 in (prompt, answer) and _is_written(content.get("choices")):
        return Usage(prompt or None, answer or None)
    return Usage(prompt, answer)


def _is_written(choices: Any) -> bool:  # noqa: ANN401 - parsed JSON
    """Whether a model wrote something, be it only its reasoning."""
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    return isinstance(message, dict) and any(
        written.strip() for written in (text_of(message.get("content"))[0], thoughts_of(message))
    )


def _count(value: Any) -> int | None:  # noqa: ANN401 - parsed JSON
    """A number of tokens that can be true, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else None


def _quoted(body: bytes) -> str:
    return shortened(body[:_QUOTED_BYTES].decode("utf-8", "replace"))
