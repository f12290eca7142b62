"""What a server's rejection means, whatever its words and status: whose fault it is, and what to do about it.

Servers agree on little. An empty account is 402, 429, 400 or 403; an unknown model 404 or 400; a prompt that is too long 400,
413, 422 or 500; and any of these may come as HTTP 200 with an error in the body. So codes and words count before the status.
Where they leave open whether one prompt or every request is refused, the fault is UNCLEAR: a harmless request has to find out.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from clairgen.inference.rejection_rules import CONTEXT, KEY, NO_CAPACITY, NO_CREDIT, RULES, TIER, URL, AtFault
from clairgen.patterns import lazy_pattern

_QUOTED_CHARACTERS = 300
_DEEPEST = 6


@dataclass(frozen=True, slots=True)
class Rejection:
    """A classified rejection: the fault, a stable name that failures are counted by, what the server said, and what to do."""

    fault: AtFault
    reason: str
    said: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """An error in a response's body: its message, every code and type it has in lower case, and a status, if it names one."""

    message: str
    codes: frozenset[str]
    status: int | None


_NOT_TAKEN = r"(?:unsupported|unrecognized|unknown|unexpected|extra|additional|invalid)"
_FIELD_WORD = r"(?:parameter|value|name|field|property|(?:request |keyword )?argument)(?:s|\(s\))?(?: supplied)?"
_PARAMETER = lazy_pattern(
    rf"{_NOT_TAKEN} {_FIELD_WORD}\W{{1,6}}([a-z_]{{2,40}})"
    rf"|{_FIELD_WORD}\W{{1,4}}([a-z_]{{2,40}})\W{{1,4}}(?:is )?(?:not (?:supported|allowed|permitted|recogni[sz]ed)|unsupported)"
    r"|\W([a-z_]{2,40})\W{1,3}(?:is not supported with this model|does not support)",
    re.IGNORECASE,
)
_PARAMETER_CODES = frozenset(
    {
        "unsupported_parameter",
        "unsupported_value",
        "extra_forbidden",
        "unknown_parameter",
        "unrecognized_request_argument",
    }
)
_PARAMETER_HINTS = {
    "seed": "set send_seed: false for this role",
    "stream": "leave stream out for this role",
    "stream_options": "set stream_usage: false for this role; then the server may not count the tokens of its streams",
    "service_tier": TIER.hint,
    "max_tokens": "give max_completion_tokens instead of max_tokens",
    "temperature": "leave temperature out for this role, or give the value that the server takes",
}
_FIELDS = frozenset(
    {"seed", "max_tokens", "temperature", "top_p", "stop", "n", "stream", "stream_options", "logprobs", "service_tier"}
)
_TOO_LARGE = lazy_pattern(
    r"request too large|too large for|body (is )?too large|entity too large|payload too large", re.IGNORECASE
)
_LOADING = lazy_pattern(
    r"loading model|model is (still )?loading|currently loading|warming up|starting up", re.IGNORECASE
)


def classified(status: int, body: ErrorBody) -> Rejection:
    """What the rejection of a request means; `status` is HTTP's, or the one that an error inside HTTP 200 names."""
    said, codes = body.message, body.codes
    if status == 429:
        return _too_many(body)
    if status == 498:  # Groq's; its words do not matter
        return Rejection(NO_CAPACITY.fault, NO_CAPACITY.reason, said)
    if status >= 500 and _LOADING.search(said):
        return Rejection(AtFault.SERVER, "server-error", said)
    if (field := refused_parameter(said, codes)) is not None and status < 500:
        hint = _PARAMETER_HINTS.get(field, f"leave {field} out of this role, or of its `extra`")
        return Rejection(AtFault.SETUP, "unsupported-parameter", said, hint)
    rules = (CONTEXT,) if status >= 500 else RULES  # a server that failed may quote anything
    rule = next((rule for rule in rules if rule.matches(codes, said)), None)
    return _by_status(status, said) if rule is None else Rejection(rule.fault, rule.reason, said, rule.hint)


def _too_many(body: ErrorBody) -> Rejection:
    if _TOO_LARGE.search(body.message):
        return Rejection(AtFault.PROMPT, "request-too-large", body.message)  # exceeds the limit of a minute on its own
    if NO_CREDIT.matches(body.codes, body.message):
        return Rejection(AtFault.SETUP, NO_CREDIT.reason, body.message, NO_CREDIT.hint)
    if NO_CAPACITY.matches(body.codes, body.message):
        return Rejection(NO_CAPACITY.fault, NO_CAPACITY.reason, body.message)
    return Rejection(AtFault.RATE, "rate-limited", body.message)


def _by_status(status: int, said: str) -> Rejection:
    """What is left to go by where the words say nothing."""
    if status == 401:
        return Rejection(AtFault.SETUP, "invalid-key", said, KEY.hint)
    if status == 402:
        return Rejection(AtFault.SETUP, "no-credit", said, NO_CREDIT.hint)
    if status in (404, 405, 410) or 300 <= status < 400:
        return Rejection(AtFault.SETUP, "wrong-url", said, URL.hint)
    if status == 413:
        return Rejection(AtFault.PROMPT, "request-too-large", said)
    if status in (408, 409, 425) or status >= 500:
        return Rejection(AtFault.SERVER, "server-error", said)
    return Rejection(AtFault.UNCLEAR, "bad-request" if status in (400, 422) else f"http-{status}", said)


def refused_parameter(said: str, codes: frozenset[str] = frozenset()) -> str | None:
    """The request's field that the server does not take, if that is what it says."""
    match = _PARAMETER.search(said)
    named = next((group for group in match.groups() if group), None) if match else None
    if named is not None and (named in _FIELDS or codes & _PARAMETER_CODES or "_" in named):
        return named.lower()
    if codes & _PARAMETER_CODES or "extra inputs are not permitted" in said.lower():
        words = set(re.findall(r"[a-z_]+", said.lower()))
        return next(iter(sorted(_FIELDS & words)), None)
    return None


def error_body(content: Any) -> ErrorBody | None:  # noqa: ANN401 - whatever JSON the server sent
    """The error in a body of any known shape, such as `{"error": {...}}` or a list of them, or None."""
    if isinstance(content, list):
        content = next((entry for entry in content if isinstance(entry, dict)), None)
    if not isinstance(content, dict):
        return None
    error = content.get("error", content.get("errors"))
    if isinstance(error, list):
        error = error[0] if error else None
    if error is None and content.get("object") == "error":
        error = content
    if error is None and not content.get("choices"):
        error = content if {"message", "detail", "error_msg", "msg"} & content.keys() else None
    if not error:
        return None
    if not isinstance(error, dict):
        return ErrorBody(shortened(error if isinstance(error, str) else _dumped(error)), frozenset(), None)
    found = list(_codes(error, 0))
    numbers = [int(code) for code in found if code.isdecimal() and 100 <= int(code[:4]) < 600 and len(code) == 3]
    return ErrorBody(
        _message(error, content),
        frozenset(code for code in found if not code.isdecimal()),
        numbers[0] if numbers else None,
    )


def _message(error: dict[str, Any], content: Any) -> str:  # noqa: ANN401 - wire
    for key in ("message", "detail", "error_msg", "msg", "error", "description"):
        if (said := error.get(key)) not in (None, "", {}, []):
            return shortened(said if isinstance(said, str) else _dumped(said))
    return shortened(_dumped(content))


def _dumped(value: Any) -> str:  # noqa: ANN401 - wire
    try:
        return json.dumps(value)
    except RecursionError:
        return "an error that is nested too deeply to be read"


def _codes(error: Any, depth: int) -> Iterator[str]:  # noqa: ANN401 - wire
    """Every code, type, status and reason in an error, however deep, in lower case."""
    if depth > _DEEPEST:
        return
    if isinstance(error, list):
        for entry in error[:20]:
            yield from _codes(entry, depth + 1)
    elif isinstance(error, dict):
        for key, value in list(error.items())[:40]:
            if key in ("code", "type", "status", "reason", "innererror", "status_code") and isinstance(
                value, str | int
            ):
                yield str(value)[:100].lower()
            elif isinstance(value, dict | list):
                yield from _codes(value, depth + 1)


def shortened(text: str) -> str:
    """A server's words on one line, at most 300 characters of them."""
    flat = " ".join(text[: 20 * _QUOTED_CHARACTERS].encode("utf-8", "replace").decode().split())
    return flat if len(flat) <= _QUOTED_CHARACTERS else f"{flat[:_QUOTED_CHARACTERS]}…"
