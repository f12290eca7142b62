"""One coordinated group: its members with their leases of rates, their money and their shards, and what is kept of it on disk.

Methods change what is in memory and return the rows that have to be on disk before the answer is given.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from clairgen.config.prices import PICODOLLARS
from clairgen.coordination.wire import (
    RATE_SECONDS,
    SHARD_SECONDS,
    Beat,
    Claim,
    Claimed,
    EndpointLimit,
    Granted,
    Join,
    Leave,
    MoneyGrant,
)
from clairgen.errors import ClairgenError, ConfigError, ReplacedError, RunError
from clairgen.service.coordinator.allotments import Allotments, RunAccount
from clairgen.service.coordinator.leased_rates import LIMITS, LeasedEndpoint, agreed_limits
from clairgen.service.coordinator.shard_holders import ShardHolders
from clairgen.store.completions import now
from clairgen.store.group_records import EndpointRow, GroupRow, MemberRow, Row, ShardRow


class RepeatedError(ClairgenError):
    """A message came a second time, as from a proxy that sends again; its sender waits for no answer, or sends the next one."""


@dataclass(slots=True)
class Group:
    """A group; `quiet_until` is when leases have ended that were given before this process began, 0 for a new group."""

    row: GroupRow
    clock: Callable[[], float]
    quiet_until: float = 0.0
    money: Allotments = field(init=False)
    shards: ShardHolders = field(init=False)
    endpoints: dict[str, LeasedEndpoint] = field(default_factory=dict)
    _leases: int = 0

    def __post_init__(self) -> None:
        self.money = Allotments(self.row.budget, self.clock, self._money_quiet_until)
        self.shards = ShardHolders(self.clock)

    @property
    def _money_quiet_until(self) -> float:
        return self.quiet_until + SHARD_SECONDS - RATE_SECONDS if self.quiet_until else 0.0

    @property
    def is_at_work(self) -> bool:
        """Whether a process works on one of its runs or holds a shard, as far as is known."""
        return self.shards.are_held or any(map(self.money.is_at_work, self.money.accounts.values()))

    @property
    def is_worth_keeping(self) -> bool:
        """Whether anything is known here that would be missed: a process at work, money, or a shard that was begun."""
        return (
            self.is_at_work
            or any(one.counted for one in self.money.accounts.values())
            or any(row.state for row, _ in self.shards.rows())
        )

    def load(self, row: EndpointRow | MemberRow | ShardRow) -> None:
        """Take over what is on disk of the group."""
        if isinstance(row, EndpointRow):
            self._add(
                EndpointLimit(
                    endpoint=row.endpoint,
                    requests_per_minute=row.requests_per_minute,
                    tokens_per_minute=row.tokens_per_minute,
                    concurrency=row.concurrency,
                )
            )
        elif isinstance(row, MemberRow):
            self.money.load(row)
        else:
            self.shards.load(row)

    def claim(self, claim: Claim) -> tuple[Claimed, Sequence[Row]]:
        """See `ShardHolders.claim`."""
        claimed, row = self.shards.claim(self.row.name, claim)
        return claimed, [] if row is None else [self.row, row]

    def join(self, join: Join) -> Sequence[Row]:
        """A process begins to work on a run. Raises ConfigError where it disagrees with those that are at work.

        The same message once more, after reports of the process were read, changes nothing: its run has more by now.
        """
        known = self.money.accounts.get(join.run_id)
        if known is not None and known.row.session == join.session and known.row.sequence > 0:
            return []
        if known is not None and join.session in known.row.former.split():
            raise ReplacedError(
                f"this process has ended its work on {known.row.run}, or another one works on it by now"
            )
        others = [
            one for one in self.money.accounts.values() if one.row.run_id != join.run_id and self.money.is_at_work(one)
        ]
        if others:
            self._require_agreement(join)
        changed: list[Row] = []
        if join.budget is not None and join.budget != self.row.budget:
            self.row = replace(self.row, budget=join.budget)
            self.money.budget = join.budget
        changed.append(self.row)
        for limit in join.limits:
            endpoint = self.endpoints.get(limit.endpoint)
            if endpoint is not None and endpoint.limits == limit:
                continue
            if endpoint is None:
                self._add(limit)
            else:
                endpoint.configure(limit)
            changed.append(EndpointRow(self.row.name, **limit.model_dump()))
        row = MemberRow(
            self.row.name, join.run_id, join.run, join.location, join.session, 0, join.spent, join.spent, 0, now()
        )
        changed.append(self.money.join(row).row)
        return changed

    def beat(self, beat: Beat) -> tuple[Granted, Sequence[Row]]:
        """A member reports and asks. Raises ReplacedError for one whose run another process has by now."""
        money, changed = None, list[Row]()
        if beat.run_id is not None:
            account = self._account(beat.run_id, beat)
            money, changed = self._money(account, beat)
        self._leases += 1
        shares = tuple(
            endpoint.granted(beat.session, use, beat.seconds, beat.lease, self._leases)
            for use in beat.endpoints
            if (endpoint := self.endpoints.get(use.endpoint)) is not None
        )
        has_shard = self.shards.renew(beat.session)
        return Granted(lease=self._leases, shares=shares, money=money, has_shard=has_shard), changed

    def leave(self, leave: Leave) -> Sequence[Row]:
        """A member ends."""
        changed: list[Row] = []
        if leave.run_id is not None:
            account = self._account(leave.run_id, leave)
            self.money.leave(account, leave.spent)
            account.row = replace(account.row, seen_at=now())
            changed.append(account.row)
        for endpoint in self.endpoints.values():
            endpoint.leave(leave.session)
        return changed + list(self.shards.release(leave.session, done=leave.done))

    def free(self, run_id: str) -> tuple[int, Sequence[Row]]:
        """What a silent run held is free again; how much that was. Raises RunError for one at work, or unknown."""
        account = self.money.accounts.get(run_id)
        if account is None:
            raise RunError(f"the group {self.row.name} has no run {run_id}")
        if self.money.is_at_work(account):
            raise RunError(
                f"{account.row.run} is at work, or was until a moment ago; end it first: what it does not need it gives back"
            )
        return self.money.free(account), [account.row]

    def overview(self) -> dict[str, Any]:
        """The group for people and programs; amounts in dollars."""
        accounts = list(self.money.accounts.values())
        return {
            "group": self.row.name,
            "made_by": self.row.made_by,
            "idle_since": None if self.is_at_work else max([self.row.made_at, *(one.row.seen_at for one in accounts)]),
            "budget_usd": _usd(self.row.budget),
            "spent_usd": _usd(sum(one.row.spent for one in accounts)),
            "allotted_usd": _usd(sum(one.counted for one in accounts)),
            "members": [self._member(one) for one in accounts],
            "endpoints": [self._endpoint(one) for one in self.endpoints.values()],
            "shards": [
                {
                    "work": row.work,
                    "shard": f"{row.number}/{row.count}",
                    "state": row.state or "free",
                    "holder": row.holder,
                    "seconds_left": round(seconds, 1) if row.state == "held" else None,
                }
                for row, seconds in self.shards.rows()
            ],
        }

    def _require_agreement(self, join: Join) -> None:
        advice = "give all members of a group the same, or begin with other limits when none of them is at work"
        if join.budget is not None and join.budget != self.row.budget:
            has = "no budget" if self.row.budget is None else f"a budget of ${_usd(self.row.budget):g}"
            raise ConfigError(
                f"the group {self.row.name} has {has}, and this one names ${_usd(join.budget):g}; {advice}"
            )
        said = agreed_limits((one.limits for one in self.endpoints.values()), join.limits)
        if said is not None:
            raise ConfigError(f"the group {self.row.name} has {said}; {advice}")

    def _add(self, limit: EndpointLimit) -> None:
        self.endpoints[limit.endpoint] = LeasedEndpoint(limit, self.clock, self.quiet_until)

    def _account(self, run_id: str, message: Beat | Leave) -> RunAccount:
        account = self.money.accounts.get(run_id)
        if account is None or account.row.session != message.session:
            raise ReplacedError(
                f"the group {self.row.name} does not have this process any more: another one works on its run, or its money was "
                "freed"
            )
        if message.sequence == account.row.sequence and account.last in (None, hash(message)):
            raise RepeatedError("this message was read before, and is not answered a second time")
        if message.sequence <= account.row.sequence:
            raise ReplacedError("this message is older than one that was read before")
        account.row, account.last = replace(account.row, sequence=message.sequence), hash(message)
        return account

    def _money(self, account: RunAccount, beat: Beat) -> tuple[MoneyGrant | None, list[Row]]:
        account.seen_at = self.clock()
        if beat.money is None:
            return None, []
        grant = self.money.report(account, beat.money)
        if account.row.allotted <= account.on_disk:
            return grant, []
        account.row = replace(account.row, seen_at=now())
        return grant, [account.row]

    def saved(self, rows: Iterable[Row]) -> None:
        """These rows are on disk."""
        for row in rows:
            if isinstance(row, MemberRow):
                self.money.accounts[row.run_id].on_disk = row.allotted

    def _member(self, account: RunAccount) -> dict[str, Any]:
        row, at_work = account.row, self.money.is_at_work(account)
        return {
            "run_id": row.run_id,
            "run": row.run,
            "state": "ended" if not row.session else "at work" if at_work else "silent",
            "spent_usd": _usd(row.spent),
            "allotted_usd": _usd(row.allotted),
            "lost_usd": _usd(row.lost),
            "seen_at": row.seen_at,
        }

    def _endpoint(self, endpoint: LeasedEndpoint) -> dict[str, Any]:
        totals = {name: endpoint.total(name) for name in LIMITS}
        leased = {name: endpoint.committed(name) for name, total in totals.items() if total is not None}
        return {"endpoint": endpoint.limits.endpoint, **totals, "leased": leased}


def _usd(picodollars: int | None) -> float | None:
    return None if picodollars is None else picodollars / PICODOLLARS
