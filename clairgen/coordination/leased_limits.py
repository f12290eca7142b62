"""Limits of endpoints of which this process has a part, for as long as its coordinator says: `LimitsInCommon` over machines."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from clairgen.coordination.wire import EndpointLimit, EndpointUse, RateShare
from clairgen.errors import ConfigError
from clairgen.inference.announced_limits import LONGEST_WAIT_SECONDS, RateLimits
from clairgen.inference.endpoint_limits import EndpointLimits
from clairgen.inference.factory import CountedAs
from clairgen.inference.rate_limit import RateLimiter
from clairgen.inference.shared_limits import ConfiguredLimits, Member

_THIS_MACHINE: Final = ("localhost", "127.0.0.1", "::1")
_LEAST_PER_MINUTE: Final = 0.01
_LEAST_PART: Final = 0.001  # of a limit that is so low that members have less than that
_SAME: Final = 0.01  # a share that rose by less is the same


def limits_in_words(configured: Mapping[CountedAs, ConfiguredLimits]) -> list[EndpointLimit]:
    """What a configuration says of the endpoints that are shared with other machines.

    An address of this machine is another server on each machine, unless it has a rate limit: a server of one's own has none.
    Raises ConfigError for limits beyond what a coordinator divides.
    """
    return [
        _in_words(str(key), limits)
        for key, limits in configured.items()
        if limits.rate != RateLimits() or not is_on_this_machine(key.url)
    ]


def is_on_this_machine(url: str) -> bool:
    """Whether an endpoint is another server on each machine that names it."""
    return urlsplit(url).hostname in _THIS_MACHINE


@dataclass(slots=True)
class _Leased:
    """An endpoint with its share, and the one by which its permits are given out.

    `counted` are its requests, tokens and pauses at the last report that arrived. `is_limited` is whether it has a limit without
    a share.
    """

    configured: ConfiguredLimits
    limits: EndpointLimits
    is_limited: bool
    share: RateShare | None = None
    permits: RateShare | None = None
    ends_at: float = -math.inf
    counted: tuple[int, int, int] = (0, 0, 0)


class LeasedLimits:
    """The limits of all endpoints that this process uses; those of `shared` ones are given by `apply`, lease by lease.

    Leases end by the `lease_clock`. `joined` is called when an endpoint needs a first share.
    """

    def __init__(
        self,
        shared: Sequence[EndpointLimit],
        clock: Callable[[], float],
        lease_clock: Callable[[], float],
        joined: Callable[[], None],
    ) -> None:
        self._joined = joined
        self._shared = {limit.endpoint: limit for limit in shared}
        self._clock = clock
        self._lease_clock = lease_clock
        self._own: dict[str, EndpointLimits] = {}
        self._leased: dict[str, _Leased] = {}
        self._holds_until = math.inf

    def join(self, key: Hashable, name: str, roles: Sequence[ConfiguredLimits], note: Callable[[str], None]) -> Member:
        """See `LimitsInCommon`. A server that is named and has registered, or that comes back, is one endpoint."""
        configured = ConfiguredLimits.of_all(roles)
        if (limits := self._known(str(key))) is None:
            limits = configured.limits(self._clock, self._lease_clock)
            if (shared := self._shared.get(str(key))) is None:
                self._own[str(key)] = limits
                limits.open_until(self._holds_until)
            else:
                one = self._leased[str(key)] = _Leased(configured, limits, _has_limit(shared))
                self._open(one)
                self._joined()
        return Member(name, len(roles), configured, limits, lambda: None, note)

    @property
    def is_starved(self) -> bool:
        """Whether requests wait for an endpoint of which this process has no part now."""
        return any(one.limits.waiting and one.limits.rate_limiter.is_closed for one in self._leased.values())

    @property
    def are_leased(self) -> bool:
        """Whether anything here ends with a lease."""
        return any(map(_has_limit, self._shared.values()))

    def hold(self, until: float) -> None:
        """Send nothing to any endpoint from this time on, whatever its own limits allow."""
        self._holds_until = until
        for limits in self._own.values():
            limits.open_until(until)
        for one in self._leased.values():
            self._open(one)

    def uses(self) -> list[EndpointUse]:
        """What was sent since the last report that arrived, see `reported`."""
        now, leased_now, found = self._clock(), self._lease_clock(), []
        for name, one in self._leased.items():
            limiter = one.limits.rate_limiter
            requests, tokens, pauses = (
                after - before for after, before in zip(_counts(limiter), one.counted, strict=True)
            )
            announced = limiter.announced_limits
            found.append(
                EndpointUse(
                    endpoint=name,
                    sent=requests,
                    tokens=max(0, tokens),
                    in_flight=one.limits.in_flight,
                    waiting=one.limits.waiting,
                    pauses=pauses,
                    pause_seconds=min(max(0.0, limiter.paused_until - now), LONGEST_WAIT_SECONDS) if pauses else 0.0,
                    announced_requests_per_minute=announced.requests_per_minute,
                    announced_tokens_per_minute=announced.tokens_per_minute,
                    held=one.share if one.ends_at > leased_now else None,
                )
            )
        return found

    def reported(self, uses: Sequence[EndpointUse]) -> None:
        """A report has arrived."""
        for use in uses:
            one = self._leased[use.endpoint]
            requests, tokens, pauses = one.counted
            one.counted = requests + use.sent, tokens + use.tokens, pauses + use.pauses

    def apply(self, shares: Sequence[RateShare], ends_at: float) -> None:
        """Keep to these shares until they end."""
        for share in shares:
            if (one := self._leased.get(share.endpoint)) is None:
                continue
            one.share, one.ends_at = share, ends_at
            if share.pause_seconds:
                one.limits.rate_limiter.pause(share.pause_seconds)
            if not _is_nothing(share, one.configured.rate) and (
                one.permits is None or not _is_about(one.permits, share)
            ):
                self._configure(one, share)
                one.permits = share
            self._open(one)

    def _known(self, key: str) -> EndpointLimits | None:
        return one.limits if (one := self._leased.get(key)) is not None else self._own.get(key)

    def _configure(self, one: _Leased, share: RateShare) -> None:
        configured, rate = one.configured, RateLimits(share.requests_per_minute, share.tokens_per_minute)
        total = configured.rate.requests_per_minute
        part = 1.0 if total is None or rate.requests_per_minute is None else rate.requests_per_minute / total
        one.limits.configure(
            rate, max(1.0, configured.burst * min(1.0, part)), share.concurrency, configured.most, at_once=True
        )

    def _open(self, one: _Leased) -> None:
        share = one.share
        if share is None:
            ends_at = -math.inf if one.is_limited else math.inf
        elif _is_nothing(share, one.configured.rate):
            ends_at = -math.inf
        else:
            ends_at = one.ends_at if _has_limit(share) else math.inf
        one.limits.open_until(min(ends_at, self._holds_until))


def _in_words(endpoint: str, limits: ConfiguredLimits) -> EndpointLimit:
    rate = limits.rate
    try:
        return EndpointLimit(
            endpoint=endpoint,
            requests_per_minute=rate.requests_per_minute,
            tokens_per_minute=rate.tokens_per_minute,
            concurrency=limits.concurrency,
        )
    except ValidationError as error:
        [fault, *_] = error.errors()
        raise ConfigError(
            f"no coordinator can divide {fault['loc'][0]} of {endpoint[:200]}: {fault['msg']}; leave out a limit that is none"
        ) from error


def _counts(limiter: RateLimiter) -> tuple[int, int, int]:
    return limiter.sent_requests, limiter.sent_tokens, limiter.own_pauses


def _has_limit(limit: EndpointLimit | RateShare) -> bool:
    return _values(limit) != (None, None, None)


def _is_nothing(share: RateShare, whole: RateLimits) -> bool:
    """Whether nothing can be sent with a share, or next to nothing of what all have."""
    pairs = (
        (share.requests_per_minute, whole.requests_per_minute),
        (share.tokens_per_minute, whole.tokens_per_minute),
    )
    return share.concurrency == 0 or any(
        part is not None and part < min(_LEAST_PER_MINUTE, math.inf if all_of_it is None else _LEAST_PART * all_of_it)
        for part, all_of_it in pairs
    )


def _values(limit: EndpointLimit | RateShare) -> tuple[float | None, float | None, int | None]:
    return limit.requests_per_minute, limit.tokens_per_minute, limit.concurrency


def _is_about(before: RateShare, after: RateShare) -> bool:
    """Whether two shares differ so little that the permits that were given out may stay."""
    for old, new in zip(_values(before), _values(after), strict=True):
        if (old is None) != (new is None):
            return False
        if old is not None and new is not None and not old <= new <= old * (1 + _SAME):
            return False
    return True
