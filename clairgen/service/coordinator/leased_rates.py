"""The limits of one endpoint over all members of a group: what each may send, so that their sum is never above the limit.

A member's lease counts until it ends, or until the member says that it has a later one: an answer may get lost. So what one
member gives up is given to others only once it is known, or certain by the clock, that it no longer sends at the old rate.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from clairgen.coordination.wire import RATE_SECONDS, EndpointLimit, EndpointUse, RateShare
from clairgen.service.coordinator.fair_shares import fair_shares, whole_shares

_MINUTE = 60.0
_KEPT_AFTER_429 = 0.8  # of the rate that was sent when some member got a 429
_LEAST_KEPT = 0.5  # of the limit, however little was sent
_SLOWEST = 30.0  # requests per minute; see `RateLimiter`, which learns a rate in the same way
_GROWTH = 0.002  # times the square of the seconds since then
_FORGOTTEN = 20.0  # times what was learned, where nothing else limits the rate
_MORE = 2.0  # what a member that has requests waiting can use of what it sends now
_IDLE = 1.25  # the same of one that has none,
_AT_HAND = 0.1  # and at least this part of an equal share, to begin with
_TURN_SECONDS = 30.0
_SWEPT_SECONDS = 1.0  # what would be looked for at every report of many members is, so often
LIMITS: Final = ("requests_per_minute", "tokens_per_minute", "concurrency")
"""What an endpoint may be limited in."""


@dataclass(frozen=True, slots=True)
class _Lease:
    number: int
    ends_at: float
    share: RateShare


@dataclass(slots=True)
class _Sender:
    """A member at this endpoint: what it used by its last report, at `seen_at`, and its leases that may still be in use."""

    use: EndpointUse
    requests: float  # per minute
    tokens: float
    seen_at: float
    leases: list[_Lease] = field(default_factory=list)
    committed: dict[str, float] = field(default_factory=lambda: dict.fromkeys(LIMITS, 0.0))

    def commit(self) -> None:
        """Find the most that it may use by any of its leases; of slots at least those that are taken."""
        for limit in LIMITS:
            at_least = float(self.use.in_flight) if limit == "concurrency" else 0.0
            self.committed[limit] = max([at_least, *(getattr(lease.share, limit) or 0.0 for lease in self.leases)])


class LeasedEndpoint:
    """An endpoint. Until `quiet_until` leases may be in use that this process knows nothing of, and no member gets more.

    All times are on `clock`.
    """

    def __init__(self, limits: EndpointLimit, clock: Callable[[], float], quiet_until: float) -> None:
        self.limits = limits
        self._clock = clock
        self._quiet_until = quiet_until
        self._senders: dict[str, _Sender] = {}
        # Of what all have committed; what ended since the last sweep counts yet.
        self._sums = dict.fromkeys(LIMITS, 0.0)
        self._swept_at = -_SWEPT_SECONDS
        self._shares: dict[str, Mapping[str, float]] = {}
        self._announced: dict[str, EndpointUse] = {}
        self._paused_until = 0.0
        self._learned: tuple[float, float] | None = None  # requests per minute, and since when

    def configure(self, limits: EndpointLimit) -> None:
        """Other limits hold from now on; what was leased by the former ones counts until it ends."""
        if any(getattr(self.limits, name) is None and getattr(limits, name) is not None for name in LIMITS):
            self._quiet_until = max(self._quiet_until, self._clock() + RATE_SECONDS)  # what has no limit is not counted
        self.limits = limits

    def granted(self, session: str, use: EndpointUse, seconds: float, acknowledged: int, number: int) -> RateShare:
        """What a member may send by its lease `number`, by its use in the last `seconds`; `acknowledged` is the lease it has."""
        now = self._clock()
        sender = self._noted(session, use, max(seconds, 0.1), acknowledged, now)
        self._learn(use, now)
        share = self._share(session, sender, now)
        sender.leases.append(_Lease(number, now + RATE_SECONDS, share))
        self._count(sender)
        return share.model_copy(update={"pause_seconds": max(0.0, self._paused_until - now)})

    def leave(self, session: str) -> None:
        """A member has ended, and sends nothing more."""
        if self._senders.pop(session, None) is not None:
            self._swept_at = -_SWEPT_SECONDS

    def committed(self, limit: str) -> float:
        """What all members together may use now of a limit, such as `requests_per_minute`."""
        self._sweep(self._clock())
        return self._sums[limit]

    def total(self, limit: str) -> float | None:
        """A limit as it holds now: the lowest of what is configured, announced, and learned from 429s."""
        known = [getattr(self.limits, limit)]
        if limit != "concurrency":
            known += [getattr(use, f"announced_{limit}") for use in self._announced.values()]
        if limit == "requests_per_minute":
            known.append(self._learned_rate())
        return min((value for value in known if value is not None), default=None)

    def _noted(self, session: str, use: EndpointUse, seconds: float, acknowledged: int, now: float) -> _Sender:
        if now >= self._swept_at + _SWEPT_SECONDS or session not in self._senders:
            self._sweep(now)
        sender = self._senders.get(session)
        if sender is None:
            self._shares = {}
            sender = self._senders[session] = _Sender(use, 0.0, 0.0, now)
            if use.held is not None:
                sender.leases.append(_Lease(acknowledged, now + RATE_SECONDS, use.held))
        sender.use, sender.seen_at = use, now
        sender.requests, sender.tokens = (_MINUTE * count / seconds for count in (use.sent, use.tokens))
        sender.leases = [lease for lease in sender.leases if lease.number >= acknowledged and lease.ends_at > now]
        self._count(sender)
        if use.announced_requests_per_minute is not None or use.announced_tokens_per_minute is not None:
            self._announced[session] = use
        return sender

    def _count(self, sender: _Sender) -> None:
        """Count what a sender has committed now in the sums of all."""
        before = dict(sender.committed)
        sender.commit()
        for limit in LIMITS:
            self._sums[limit] += sender.committed[limit] - before[limit]

    def _sweep(self, now: float) -> None:
        """Forget leases that have ended, and members that have none; what each may have is found again."""
        for session, sender in list(self._senders.items()):
            sender.leases = [lease for lease in sender.leases if lease.ends_at > now]
            sender.commit()
            if not sender.leases and sender.seen_at < now:
                del self._senders[session]
        self._announced = {session: use for session, use in self._announced.items() if session in self._senders}
        for limit in LIMITS:
            self._sums[limit] = math.fsum(sender.committed[limit] for sender in self._senders.values())
        self._shares, self._swept_at = {}, now

    def _share(self, session: str, sender: _Sender, now: float) -> RateShare:
        quiet = now < self._quiet_until
        shares: dict[str, float | None] = {}
        for limit in LIMITS:
            total = self.total(limit)
            if total is None:
                shares[limit] = None
                continue
            if quiet:
                held = getattr(sender.use.held, limit) if sender.use.held is not None else 0
                fair = float(held if held is not None else 0)
            else:
                fair = min(total, self._fair(limit, total, now)[session])
            others = self._sums[limit] - sender.committed[limit]
            shares[limit] = max(0.0, min(fair, total - others))
        slots = shares["concurrency"]
        return RateShare(
            endpoint=self.limits.endpoint,
            requests_per_minute=shares["requests_per_minute"],
            tokens_per_minute=shares["tokens_per_minute"],
            concurrency=None if slots is None else int(slots),
        )

    def _fair(self, limit: str, total: float, now: float) -> Mapping[str, float]:
        """What each member is to have of a limit."""
        if limit in self._shares:
            return self._shares[limit]
        used: Callable[[_Sender], float] = {
            "requests_per_minute": lambda one: one.requests,
            "tokens_per_minute": lambda one: one.tokens,
            "concurrency": lambda one: float(one.use.in_flight),
        }[limit]
        able = self._senders if limit == "concurrency" else self._able_to_send(now)
        equal = total / len(able)
        demands = {
            session: max(equal, _MORE * used(one)) if one.use.waiting else max(_AT_HAND * equal, _IDLE * used(one))
            for session, one in able.items()
        }
        if limit == "concurrency":
            self._shares[limit] = whole_shares(int(total), demands, int(now // _TURN_SECONDS))
        else:
            self._shares[limit] = dict.fromkeys(self._senders, 0.0) | fair_shares(total, demands)
        return self._shares[limit]

    def _able_to_send(self, now: float) -> Mapping[str, _Sender]:
        """The members among which a rate is divided: not those whose requests wait for a slot, where slots are limited."""
        total = self.total("concurrency")
        slots = {} if total is None else self._fair("concurrency", total, now)
        return {
            session: one for session, one in self._senders.items() if not one.use.waiting or slots.get(session, 1) >= 1
        }

    def _learn(self, use: EndpointUse, now: float) -> None:
        """A 429 of one member pauses all of them, and lowers the rate of all together."""
        self._paused_until = max(self._paused_until, now + use.pause_seconds if use.pauses else 0.0)
        if not use.pauses or (self._learned is not None and now < self._learned[1] + RATE_SECONDS):
            return
        known, sent = self.total("requests_per_minute"), sum(sender.requests for sender in self._senders.values())
        least = _SLOWEST if known is None else _LEAST_KEPT * known
        self._learned = max(least, _KEPT_AFTER_429 * (sent if known is None else min(sent, known))), now

    def _learned_rate(self) -> float | None:
        if self._learned is None:
            return None
        rate, since = self._learned
        growth = 1 + _GROWTH * (self._clock() - since) ** 2
        return rate * growth if growth < _FORGOTTEN else None


def agreed_limits(known: Iterable[EndpointLimit], given: Iterable[EndpointLimit]) -> str | None:
    """The first limit about which a member disagrees with its group, in words; None if there is none."""
    limits = {limit.endpoint: limit for limit in known}
    for own in given:
        if (found := limits.get(own.endpoint)) is None:
            continue
        for name in LIMITS:
            of_group, of_member = getattr(found, name), getattr(own, name)
            if of_group != of_member:
                has = "none" if of_member is None else f"{of_member:g}"
                return f"{name}: {'none' if of_group is None else f'{of_group:g}'} for {own.endpoint}, and this one has {has}"
    return None
