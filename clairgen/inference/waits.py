"""How long a server asks to wait: Retry-After and reset headers, in each of the forms that servers send."""

import email.utils
import math
from collections.abc import Mapping
from datetime import datetime

from clairgen.text import lazy_pattern

LONGEST_WAIT_SECONDS = 3600.0
"""No server is waited for longer at a time: what it asks for beyond an hour is a mistake, or a limit of a day."""
_LONGEST_DURATION = 40  # characters
_EPOCH_SECONDS = 1e9
_EPOCH_MILLISECONDS = 1e12
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = lazy_pattern(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_PART = lazy_pattern(r"(\d+(?:\.\d+)?)(ms|[smhd])")


def retry_after_seconds(headers: Mapping[str, str], now_seconds: float) -> float | None:
    """The wait of a rejected request, between 0 and LONGEST_WAIT_SECONDS; None without a header that can be read."""
    if (milliseconds := headers.get("retry-after-ms")) is not None and (wait := _number(milliseconds)) is not None:
        return bounded(wait / 1000)
    value = headers.get("retry-after")
    seconds = None if value is None else wait_of(value, now_seconds)
    return None if seconds is None else bounded(seconds)


def wait_of(value: str, now_seconds: float) -> float | None:
    """Seconds from now, from a number, a duration (`6m0s`, `20ms`), a time since 1970 (seconds or milliseconds) or a date.

    Negative for a time that is past. `now_seconds` is the time since 1970.
    """
    value = value.strip()
    number = _number(value)
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


def _number(text: str) -> float | None:
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
