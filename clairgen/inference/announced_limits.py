"""Rate limits that an endpoint announces in its `x-ratelimit-*` headers, in the form that OpenAI introduced."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_MINUTE = 60.0
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests and tokens per minute, None where not known; `exhausted_seconds` is how long nothing more is accepted."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    exhausted_seconds: float = 0.0


def announced_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """The limits in the headers of a response; None if there are none."""
    if not any(name.startswith("x-ratelimit-") for name in headers):
        return None
    exhausted = max(_exhausted(headers, kind) for kind in ("requests", "tokens"))
    return RateLimits(_per_minute(headers, "requests"), _per_minute(headers, "tokens"), exhausted)


def _per_minute(headers: Mapping[str, str], kind: str) -> float | None:
    """The limit per minute. One that takes longer to refill is per day or month and not a rate to send at."""
    limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
    if not limit:
        return None
    left, refilled_in = _number(headers.get(f"x-ratelimit-remaining-{kind}")), _seconds(headers, kind)
    if left is not None and refilled_in is not None and refilled_in > _MINUTE * (limit - left) / limit + 1:
        return None
    return limit


def _exhausted(headers: Mapping[str, str], kind: str) -> float:
    left = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
    return 0.0 if left is None or left > 0 else _seconds(headers, kind) or 0.0


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < math.inf else None


def _seconds(headers: Mapping[str, str], kind: str) -> float | None:
    """A duration such as 6m0s, 20ms or 1.5, in seconds."""
    text = headers.get(f"x-ratelimit-reset-{kind}", "")
    if _DURATION.fullmatch(text):
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    return _number(text)
