"""Limits that several sessions of one process and event loop share, so that together they keep to what each would keep to alone.

A provider counts by account and model, whoever sends. So what is the provider's is one object for all sessions that use the same
URL, key variable and model: the rate limit (configured, announced, or learned from 429s) with its pauses, and the slots of the
endpoint. A circuit breaker stays each role's own: what opens it may be due to one session's time-outs, options or prompts, and
must not stop another session; a server that is down gets a probe from each.
"""

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from clairgen.inference.announced_limits import LONGEST_WAIT_SECONDS, RateLimits
from clairgen.inference.concurrency import ConcurrencyLimit
from clairgen.inference.endpoint_limits import EndpointLimits, Share
from clairgen.inference.rate_limit import RateLimiter

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class ConfiguredLimits:
    """What a configuration says of an endpoint; `concurrency` is None where it is found by measuring, and at most `most`."""

    rate: RateLimits
    burst: float
    concurrency: int | None
    most: int

    @classmethod
    def of_all(cls, roles: Sequence["ConfiguredLimits"]) -> "ConfiguredLimits":
        """What those of one session's roles amount to: the lowest rate, and the slots of all roles."""
        slots = [role.concurrency for role in roles]
        known = [slot for slot in slots if slot is not None]
        return cls(
            _lowest_rate(roles),
            min(role.burst for role in roles),
            sum(known) if len(known) == len(slots) else None,
            min(role.most for role in roles),
        )

    def limits(self, clock: Callable[[], float], lease_clock: Callable[[], float] | None = None) -> EndpointLimits:
        """The limits of an endpoint, to begin with; see `RateLimiter`."""
        concurrency = ConcurrencyLimit(self.concurrency, clock, self.most)
        return EndpointLimits(concurrency, RateLimiter(self.rate, clock, self.burst, lease_clock))


@dataclass(slots=True, eq=False)
class Member:
    """One session at one endpoint, which it calls `name`; `leave` is called for each of its `roles` that is closed."""

    name: str
    roles: int
    configured: ConfiguredLimits
    limits: EndpointLimits
    leave: Callable[[], None]
    note: Callable[[str], None]
    share: Share = field(default_factory=Share)
    noted: set[str] = field(default_factory=set)


class LimitsInCommon(Protocol):
    """Limits of endpoints that a session shares with others."""

    def join(self, key: Hashable, name: str, roles: Sequence[ConfiguredLimits], note: Callable[[str], None]) -> Member:
        """Enter a session of which these roles use an endpoint; `key` is what the provider counts by."""


class SharedLimits:
    """`LimitsInCommon` of sessions in one event loop: give one object to the `Runtime` of each; `clock` must be theirs.

    A limit outlives its last session by an hour, the longest wait that a server can ask for, so that a session that begins
    next keeps to it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._endpoints: dict[Hashable, _SharedEndpoint] = {}

    def join(self, key: Hashable, name: str, roles: Sequence[ConfiguredLimits], note: Callable[[str], None]) -> Member:
        """Enter a session of which these roles use an endpoint.

        Of what sessions configure the lower holds, and `note` is given a sentence about it. Raises RuntimeError while sessions of
        another event loop share them, which would not be woken up.
        """
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop) and any(endpoint.members for endpoint in self._endpoints.values()):
            raise RuntimeError(
                "limits can be shared by sessions of one event loop only; give those of each loop their own"
            )
        self._loop = loop
        self._forget_old_ones()
        configured = ConfiguredLimits.of_all(roles)
        if (endpoint := self._endpoints.get(key)) is None:
            endpoint = self._endpoints[key] = _SharedEndpoint(configured, self._clock)
        member = Member(name, len(roles), configured, endpoint.limits, lambda: endpoint.leave(member), note)
        endpoint.join(member)
        return member

    def _forget_old_ones(self) -> None:
        before = self._clock() - LONGEST_WAIT_SECONDS
        for key in [key for key, one in self._endpoints.items() if not one.members and one.left_at < before]:
            del self._endpoints[key]


class _SharedEndpoint:
    """The limits of one endpoint and the sessions that use it now."""

    def __init__(self, configured: ConfiguredLimits, clock: Callable[[], float]) -> None:
        self.limits = configured.limits(clock)
        self.members: list[Member] = []
        self.left_at = clock()
        self._clock = clock

    def join(self, member: Member) -> None:
        """A session uses it from now on."""
        self.members.append(member)
        self._keep_the_lowest()

    def leave(self, member: Member) -> None:
        """A role of a session is closed, and with its last one the session has left."""
        member.roles -= 1
        if member.roles == 0:
            self.members.remove(member)
            self.left_at = self._clock()
            if self.members:
                self._keep_the_lowest()

    def _keep_the_lowest(self) -> None:
        """Keep to the lowest of what the sessions configure now."""
        all_configured = [member.configured for member in self.members]
        rate = _lowest_rate(all_configured)
        concurrency = _lowest(one.concurrency for one in all_configured)
        burst, most = min(one.burst for one in all_configured), min(one.most for one in all_configured)
        self.limits.configure(rate, burst, concurrency, most)
        for member in self.members:
            own = member.configured
            _note(member, "requests_per_minute", own.rate.requests_per_minute, rate.requests_per_minute)
            _note(member, "tokens_per_minute", own.rate.tokens_per_minute, rate.tokens_per_minute)
            _note(member, "concurrency", own.concurrency, concurrency)


def _lowest_rate(configured: Sequence[ConfiguredLimits]) -> RateLimits:
    return RateLimits(
        _lowest(one.rate.requests_per_minute for one in configured),
        _lowest(one.rate.tokens_per_minute for one in configured),
    )


def _lowest(configured: Iterable[Number | None]) -> Number | None:
    return min((value for value in configured if value is not None), default=None)


def _note(member: Member, limit: str, own: float | None, holds: float | None) -> None:
    """Say once that another session's lower limit holds."""
    if holds is None or own == holds:
        return
    configured = "nothing" if own is None else f"{own:g}"
    sentence = (
        f"another session that runs now has {limit}: {holds:g} for {member.name}, where this one has {configured}; "
        f"both share that endpoint, so {holds:g} holds for both together"
    )
    if sentence not in member.noted:
        member.noted.add(sentence)
        member.note(sentence)
