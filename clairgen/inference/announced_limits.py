"""What a server announces in headers: how long to wait (Retry-After, resets, in every form) and its rate limits.

Rate limits are those of the `x-ratelimit-*` headers, in the form that OpenAI introduced.
"""

import email.utils
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from clairgen.patterns import lazy_pattern

_MINUTE = 60.0
_LEAST_PER_MINUTE = 1 / 60  # fewer than one an hour: a mistake, or the limit of a day or a month
LONGEST_WAIT_SECONDS = 3600.0
"""No server is waited for longer at a time: what it asks for beyond an hour is a mistake, or a limit of a day."""
LONG_WAIT_SECONDS = 60.0
"""The user is told of a longer wait that a server asks for."""
_LONGEST_DURATION = 40  # characters
_EPOCH_SECONDS = 1e9
_EPOCH_MILLISECONDS = 1e12
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = lazy_pattern(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_PART = lazy_pattern(r"(\d+(?:\.\d+)?)(ms|[smhd])")


def retry_after_seconds(headers: Mapping[str, str], now_seconds: float) -> float | None:
    """The wait of a rejected request, between 0 and LONGEST_WAIT_SECONDS; None without a header that can be read."""
    if (milliseconds := headers.get("retry-after-ms")) is not None and (wait := _finite(milliseconds)) is not None:
        return bounded(wait / 1000)
    value = headers.get("retry-after")
    seconds = None if value is None else wait_of(value, now_seconds)
    return None if seconds is None else bounded(seconds)


def wait_of(value: str, now_seconds: float) -> float | None:
    """Seconds from now, from a number, a duration (`6m0s`, `20ms`), a time since 1970 (seconds or milliseconds) or a date.

    Negative for a time that is past. `now_seconds` is the time since 1970.
    """
    value = value.strip()
    number = _finite(value)
    if number is not None:
        if number >= _EPOCH_MILLISECONDS:
            return number / 1000 - now_seconds
        return number - now_seconds if number >= _EPOCH_SECONDS else number
    if len(value) <= _LONGEST_DURATION and _DURATION.fullmatch(value):
        return sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(value))
    return _seconds_until(value, now_seconds)


def bounded(seconds: float) -> float:
    """The wait that is kept to."""
    return min(max(0.0, seconds), LONGEST_WAIT_SECONDS)


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


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _seconds_until(text: str, now_seconds: float) -> float | None:
    for parse in (datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            date = parse(text)
            return None if date.tzinfo is None else date.timestamp() - now_seconds
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None
