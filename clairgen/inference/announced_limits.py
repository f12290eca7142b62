"""Rate limits that an endpoint announces in its `x-ratelimit-*` headers, in the form that OpenAI introduced."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from clairgen.inference.waits import bounded, wait_of

_MINUTE = 60.0
_LEAST_PER_MINUTE = 1 / 60  # fewer than one an hour: a mistake, or the limit of a day or a month


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests and tokens per minute, None where not known; `exhausted_seconds` is how long nothing more is accepted."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    exhausted_seconds: float = 0.0


def announced_limits(headers: Mapping[str, str], now_seconds: float) -> RateLimits | None:
    """The limits in the headers of a response, None if there are none. `now_seconds` is the time since 1970."""
    if not any(name.startswith("x-ratelimit-") for name in headers):
        return None
    exhausted = max(_exhausted(headers, kind, now_seconds) for kind in ("requests", "tokens"))
    return RateLimits(
        _per_minute(headers, "requests", now_seconds), _per_minute(headers, "tokens", now_seconds), exhausted
    )


def _per_minute(headers: Mapping[str, str], kind: str, now_seconds: float) -> float | None:
    """The limit per minute. One that takes longer to refill is per day or month and not a rate to send at."""
    limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
    if limit is None or limit < _LEAST_PER_MINUTE:
        return None
    left = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
    refilled_in = _reset_seconds(headers, kind, now_seconds)
    if left is not None and refilled_in is not None and refilled_in > _MINUTE * (limit - left) / limit + 1:
        return None
    return limit


def _exhausted(headers: Mapping[str, str], kind: str, now_seconds: float) -> float:
    left = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
    if left is None or left > 0:
        return 0.0
    return bounded(_reset_seconds(headers, kind, now_seconds) or 0.0)


def _reset_seconds(headers: Mapping[str, str], kind: str, now_seconds: float) -> float | None:
    text = headers.get(f"x-ratelimit-reset-{kind}")
    return None if text is None else wait_of(text, now_seconds)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < math.inf else None
