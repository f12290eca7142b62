"""What a coordinator grants never sums up to more than the limits, whoever joins, crashes, is cut off, or starts again.

Members are simulated by what they may do: each keeps to the last answer that it received, by its own clock.
"""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from clairgen.coordination.granted_budget import GrantedBudget
from clairgen.coordination.wire import (
    MOST,
    RATE_SECONDS,
    SHARD_SECONDS,
    Beat,
    Claim,
    Claimed,
    EndpointLimit,
    EndpointUse,
    Granted,
    Join,
    Leave,
    MoneyUse,
    RateShare,
)
from clairgen.errors import BudgetError, ConfigError, ReplacedError, RunError
from clairgen.service.coordinator.fair_shares import fair_shares, whole_shares
from clairgen.service.coordinator.member_groups import Group, RepeatedError
from clairgen.store.group_records import EndpointRow, GroupRow, MemberRow, Row, ShardRow, new_group
from tests.clocks import FakeClock

LIMIT = EndpointLimit(endpoint="paid", requests_per_minute=600, tokens_per_minute=1e6, concurrency=7)
NOTHING = RateShare(endpoint="paid", requests_per_minute=0, tokens_per_minute=0, concurrency=0)


@dataclass
class Machine:
    """A coordinator with its disk."""

    clock: FakeClock
    budget: int | None = None
    disk: dict[tuple[str, ...], Row] = field(default_factory=dict)
    read: list[Join | Beat] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.group = Group(replace(new_group("g"), budget=self.budget), self.clock)
        self.keep([self.group.row])

    def keep(self, rows: Sequence[Row]) -> None:
        """Commit rows."""
        for row in rows:
            key = getattr(row, "run_id", "") or getattr(row, "endpoint", "") or str(getattr(row, "number", ""))
            self.disk[type(row).__name__, key] = row
        self.group.saved(rows)

    def restart(self) -> None:
        """Begin again with what is on disk, as after `kill -9`."""
        [row] = [one for one in self.disk.values() if isinstance(one, GroupRow)]
        self.group = Group(row, self.clock, self.clock() + RATE_SECONDS)
        for one in self.disk.values():
            if isinstance(one, EndpointRow | MemberRow | ShardRow):
                self.group.load(one)

    def join(self, join: Join) -> None:
        """A process begins."""
        self.read.append(join)
        self.keep(self.group.join(join))

    def beat(self, beat: Beat) -> Granted:
        """A report, and its answer once that is on disk."""
        self.read.append(beat)
        granted, rows = self.group.beat(beat)
        self.keep(rows)
        return granted

    def read_again(self, message: Join | Beat) -> None:
        """A message arrives once more, as from a proxy that sent it again; nobody waits for the answer."""
        with contextlib.suppress(ReplacedError, RepeatedError):
            self.keep(self.group.join(message) if isinstance(message, Join) else self.group.beat(message)[1])


@dataclass
class Sender:
    """A member: what it may send until when, by the last answer that arrived."""

    name: str
    machine: Machine
    chance: random.Random
    share: RateShare = NOTHING
    ends_at: float = 0.0
    lease: int = 0
    sequence: int = 0
    in_flight: int = 0
    uses: tuple[float, ...] = (0.0, 0.3, 1.0)  # parts of its share
    loses: float = 0.1  # of its messages

    def join(self) -> None:
        """Begin."""
        joined = Join(session=self.name, run_id=self.name, run="r", location="p", spent=0, limits=(LIMIT,))
        self.machine.keep(self.machine.group.join(joined))

    @property
    def held(self) -> RateShare:
        """What it may send now."""
        return self.share if self.machine.clock() < self.ends_at else NOTHING

    def beat(self, waiting: int = 1) -> None:
        """Report, and keep to the answer, unless one of the two gets lost."""
        now, chance = self.machine.clock(), self.chance
        self.sequence += 1
        used = (self.held.requests_per_minute or 0) * chance.choice(self.uses) / 20
        self.in_flight = chance.randint(0, self.held.concurrency or 0)
        use = EndpointUse(
            endpoint="paid",
            sent=int(used),
            tokens=int(1000 * used),
            in_flight=self.in_flight,
            waiting=waiting,
            held=self.share if now < self.ends_at else None,
        )
        beat = Beat(session=self.name, run_id=self.name, sequence=self.sequence, lease=self.lease, endpoints=(use,))
        if chance.random() < self.loses:
            return  # it never arrives
        granted = self.machine.beat(beat)
        if chance.random() < self.loses:
            return  # its answer never arrives
        self.lease, self.ends_at = granted.lease, now + granted.seconds
        [self.share] = granted.shares


def most_sent(senders: Sequence[Sender]) -> tuple[float, float, int]:
    held = [one.held for one in senders]
    return (
        sum(one.requests_per_minute or 0 for one in held),
        sum(one.tokens_per_minute or 0 for one in held),
        sum(one.concurrency or 0 for one in held),
    )


@pytest.mark.parametrize("seed", range(20))
def test_leased_rates_never_sum_up_to_more_than_the_limit(seed: int) -> None:
    chance, clock = random.Random(seed), FakeClock()
    machine, senders = Machine(clock), list[Sender]()
    full = 0
    for step in range(400):
        clock.seconds += chance.uniform(0, 1.5)
        event = chance.random()
        if not senders or (event < 0.03 and len(senders) < 8):
            senders.append(Sender(f"m{step}", machine, chance))
            senders[-1].join()
        elif event < 0.05:
            senders.remove(chance.choice(senders[1:] or senders))  # `kill -9`: it sends nothing more
        elif event < 0.06:
            machine.restart()
        else:
            chance.choice(senders).beat(chance.choice((0, 1, 1)))
        requests, tokens, slots = most_sent(senders)
        assert requests <= 600 * (1 + 1e-9), step
        assert tokens <= 1e6 * (1 + 1e-9), step
        assert slots <= 7, step
        full += requests > 500
    assert full > 40  # and it is used


def test_members_that_want_all_have_equal_parts_soon_and_idle_ones_give_theirs_up() -> None:
    clock = FakeClock()
    machine = Machine(clock)
    senders = [Sender(name, machine, random.Random(1), uses=(1.0,), loses=0) for name in ("a", "b", "c")]

    def beats(count: int) -> None:
        for _ in range(count):
            for one in senders:
                clock.seconds += 1
                one.beat(waiting=int(one.uses == (1.0,)))

    for one in senders:
        one.join()
    beats(4)
    assert [one.share.requests_per_minute for one in senders] == [200] * 3
    assert sum(one.share.concurrency or 0 for one in senders) == 7
    senders[1].uses = senders[2].uses = (0.1,)
    beats(6)
    assert (senders[0].share.requests_per_minute or 0) > 500
    senders[1].uses = (1.0,)
    beats(6)
    shares = [one.share.requests_per_minute or 0 for one in senders]
    assert abs(shares[0] - shares[1]) < 30
    assert sum(shares) == pytest.approx(600)


def test_members_without_a_slot_leave_the_rate_to_those_that_have_one() -> None:
    clock = FakeClock()
    machine = Machine(clock)
    senders = [Sender(f"m{number}", machine, random.Random(1), loses=0) for number in range(20)]  # and 7 slots
    sendable = []
    for one in senders:
        one.join()
    for _ in range(40):
        for one in senders:
            clock.seconds += 3 / len(senders)
            one.uses = (1.0,) if one.share.concurrency else (0.0,)
            one.beat()
        sendable.append(sum(one.held.requests_per_minute or 0 for one in senders if one.held.concurrency))
    assert sum(sendable[5:]) / len(sendable[5:]) > 0.8 * 600


def test_fair_shares_are_within_demand_and_sum_up_to_the_total() -> None:
    chance = random.Random(0)
    for _ in range(200):
        demands = {n: chance.choice((0.0, chance.uniform(0, 50), float("inf"))) for n in range(chance.randint(1, 9))}
        shares = fair_shares(100, demands)
        assert sum(shares.values()) == pytest.approx(100)
        whole = whole_shares(11, demands, chance.randint(0, 100))
        assert sum(whole.values()) == 11
        hungry = [shares[n] for n, demand in demands.items() if demand == float("inf")]
        assert not hungry or max(shares.values()) <= min(hungry) + 1e-9


def test_a_429_of_one_member_pauses_all_and_lowers_what_all_have() -> None:
    clock = FakeClock()
    machine = Machine(clock)
    for name in ("a", "b"):
        machine.keep(
            machine.group.join(Join(session=name, run_id=name, run="r", location="p", spent=0, limits=(LIMIT,)))
        )
    told = EndpointUse(endpoint="paid", sent=15, waiting=1, pauses=1, pause_seconds=20)
    machine.beat(Beat(session="a", run_id="a", sequence=1, endpoints=(told,)))
    heard = machine.beat(
        Beat(session="b", run_id="b", sequence=1, endpoints=(EndpointUse(endpoint="paid", sent=15, waiting=1),))
    )
    assert heard.shares[0].pause_seconds == 20
    endpoint = machine.group.endpoints["paid"]
    assert (
        endpoint.total("requests_per_minute") == 300
    )  # half of it at least, and 0.8 of the 300 a minute that were sent
    clock.seconds += 30
    assert 300 < (endpoint.total("requests_per_minute") or 0) <= 600
    said = EndpointUse(endpoint="paid", announced_requests_per_minute=100)
    machine.beat(Beat(session="a", run_id="a", sequence=2, endpoints=(said,)))
    assert endpoint.total("requests_per_minute") == 100


class Payer:
    """A process at work on a run, which reserves before it asks. `disk` is what its run's own store accounts for."""

    def __init__(self, run: str, location: str, disk: int, machine: Machine, chance: random.Random) -> None:
        self.run, self.disk, self.machine, self.chance = run, disk, machine, chance
        self.session, self.sequence = f"{run}-{chance.randint(0, 10**9)}", 0
        self.reserved = list[int]()
        self.wanted = 0
        self.is_short = False
        self.budget = GrantedBudget(10_000, disk, asyncio.Event(), "g")
        machine.join(Join(session=self.session, run_id=run, run=run, location=location, spent=disk, budget=10_000))

    def ask(self) -> None:
        """Reserve for a request, now or when there is room."""
        self.wanted = self.wanted or self.chance.randint(1, 200)
        try:
            if self.budget.reserve(self.wanted, self.ask):
                self.reserved.append(self.wanted)
                self.wanted = 0
        except BudgetError:
            self.is_short, self.wanted = True, 0
            self.budget.leave(self.ask)

    def answered(self) -> int:
        """A request was answered; what it cost."""
        most = self.reserved.pop()
        cost = self.chance.randint(0, most)
        self.disk += cost
        self.budget.settle(most, cost)
        self.budget.serve()
        return cost

    def beat(self) -> None:
        """Report, and keep to the answer, unless one of the two gets lost."""
        self.sequence += 1
        beat = Beat(session=self.session, run_id=self.run, sequence=self.sequence, money=self.budget.use())
        if self.chance.random() < 0.1:
            return  # it never arrives
        granted = self.machine.beat(beat)
        if self.chance.random() > 0.1 and granted.money is not None:
            self.budget.granted(granted.money)


@pytest.mark.parametrize("seed", range(10))
async def test_what_servers_bill_is_never_above_the_budget(seed: int) -> None:
    """One that is killed is billed all that it had reserved, and comes back perhaps, or a copy that lacks what it spent last."""
    chance, clock = random.Random(seed), FakeClock()
    machine, payers = Machine(clock, budget=10_000), list[Payer]()
    bill = short = 0
    for step in range(1500):
        clock.seconds += chance.uniform(0, 1)
        event = chance.random()
        if not payers or (event < 0.02 and len(payers) < 5):
            payers.append(Payer(f"r{step}", "here", 0, machine, chance))
        one = chance.choice(payers)
        if 0.02 < event < 0.03:
            bill += sum(one.reserved)
            payers.remove(one)
            spent, is_copy = one.disk + sum(one.reserved), chance.random() < 0.5
            if chance.random() < 0.7:
                disk = int(spent * chance.uniform(0.8, 1)) if is_copy else spent
                payers.append(Payer(one.run, f"copy {step}" if is_copy else "here", disk, machine, chance))
        elif 0.03 < event < 0.04:
            machine.restart()
        elif 0.04 < event < 0.08:
            machine.read_again(chance.choice(machine.read[-40:]))
        elif event < 0.3:
            one.beat()
        elif event < 0.7:
            one.ask()
        elif one.reserved:
            bill += one.answered()
        assert bill + sum(sum(payer.reserved) for payer in payers) <= 10_000, step
        short += one.is_short
    assert bill > 5_000
    assert short


def test_a_shard_has_one_holder_and_is_given_on_when_its_holder_is_silent() -> None:
    clock = FakeClock()
    machine = Machine(clock)

    def claim(session: str, number: int | None = None, count: int = 2, holder: str | None = None) -> int | None:
        asked = Claim(session=session, work="w", count=count, number=number, holder=holder or session)
        claimed, rows = machine.group.claim(asked)
        machine.keep(rows)
        return claimed.number

    assert [claim("a"), claim("b"), claim("c"), claim("c", 1)] == [1, 2, None, None]
    assert claim("a") == 1  # asked again, since the answer got lost
    with pytest.raises(ConfigError, match="splits these tasks into 2 shards, and 3 were asked for"):
        claim("d", count=3)
    clock.seconds += SHARD_SECONDS - 1
    assert machine.beat(Beat(session="a", sequence=1)).has_shard
    assert claim("c") is None
    clock.seconds += 2
    assert claim("c") == 2
    assert not machine.beat(Beat(session="b", sequence=1)).has_shard
    machine.restart()
    assert claim("d") is None  # they may be at work, for all that is known
    clock.seconds += SHARD_SECONDS
    assert machine.beat(Beat(session="a", sequence=2)).has_shard  # nobody else asked for it
    machine.keep(machine.group.leave(Leave(session="a", done=True)))
    machine.keep(machine.group.leave(Leave(session="c", done=False)))
    assert claim("e") == 2
    machine.keep(machine.group.leave(Leave(session="e", done=True)))
    claimed, _ = machine.group.claim(Claim(session="f", work="w", count=2, holder="f"))
    assert (claimed.number, claimed.done) == (None, True)
    assert claim("f", 1) == 1  # by its number it can be gone on with


def test_a_process_holds_one_shard_however_often_it_asks() -> None:
    machine = Machine(FakeClock())

    def claim(session: str) -> int | None:
        claimed, rows = machine.group.claim(Claim(session=session, work="w", count=3, holder="node 1"))
        machine.keep(rows)
        return claimed.number

    assert [claim("a"), claim("b")] == [1, 2]
    machine.keep(machine.group.leave(Leave(session="a", done=False)))
    assert claim("b") == 2  # though the first is free again, and was this machine's too
    machine.keep(machine.group.leave(Leave(session="b", done=True)))
    assert [row.state for row, _ in machine.group.shards.rows()] == ["", "done"]


def test_who_had_a_shard_is_known_by_the_folder_that_its_number_was_put_into() -> None:
    machine = Machine(FakeClock())

    def claim(session: str, holder: str, number: int | None = None) -> Claimed:
        claimed, rows = machine.group.claim(Claim(session=session, work="w", count=2, number=number, holder=holder))
        machine.keep(rows)
        machine.keep(machine.group.leave(Leave(session=session, done=False)))
        return claimed

    assert claim("a", "node1:/shards/{shard}").number == 1
    assert [row.holder for row, _ in machine.group.shards.rows()] == ["node1:/shards/1"]
    assert claim("b", "node2:/shards/{shard}").number == 2
    assert claim("c", "node2:/shards/{shard}").number == 2  # the one that this machine had
    assert claim("d", "node1:/shards/1", 1).sentence == ""
    assert "was begun by node1:/shards/1;" in claim("e", "node2:/shards/{shard}", 1).sentence


def test_members_that_disagree_are_refused_until_nobody_is_at_work() -> None:
    clock = FakeClock()
    machine = Machine(clock, budget=5 * 10**12)

    def join(name: str, budget: int | None = None, **limits: float) -> None:
        given = LIMIT.model_copy(update=limits)
        machine.keep(
            machine.group.join(
                Join(session=name, run_id=name, run=name, location="p", spent=0, budget=budget, limits=(given,))
            )
        )

    join("a")
    with pytest.raises(ConfigError, match=r"has a budget of \$5, and this one names \$6; give all members"):
        join("b", 6 * 10**12)
    with pytest.raises(ConfigError, match="has requests_per_minute: 600 for paid, and this one has 300"):
        join("b", requests_per_minute=300)
    clock.seconds += SHARD_SECONDS
    join("b", 6 * 10**12, requests_per_minute=300)
    assert machine.group.endpoints["paid"].total("requests_per_minute") == 300
    assert machine.group.money.budget == 6 * 10**12


def test_money_of_a_run_that_is_silent_stays_with_it_until_somebody_frees_it() -> None:
    clock = FakeClock()
    machine = Machine(clock, budget=1000)
    for name in ("a", "b"):
        machine.keep(machine.group.join(Join(session=name, run_id=name, run=name, location="p", spent=0)))
    use = MoneyUse(spent=0, allotted=0, needed=10, wanted=400)
    machine.beat(Beat(session="a", run_id="a", sequence=1, money=use))
    assert machine.group.money.unallotted == 750
    with pytest.raises(RunError, match="a is at work"):
        machine.group.free("a")
    clock.seconds += SHARD_SECONDS
    granted = machine.beat(Beat(session="b", run_id="b", sequence=1, money=use)).money
    assert granted is not None
    assert (granted.others, granted.silent) == (250, 250)
    freed, rows = machine.group.free("a")
    machine.keep(rows)
    assert (freed, machine.group.money.unallotted) == (250, 1000 - granted.allotted)
    with pytest.raises(ReplacedError):
        machine.beat(Beat(session="a", run_id="a", sequence=2, money=replace_use(use)))


def replace_use(use: MoneyUse) -> MoneyUse:
    return use.model_copy(update={"spent": 5})


def test_a_message_that_comes_late_changes_nothing() -> None:
    machine = Machine(FakeClock(), budget=1000)
    machine.keep(machine.group.join(Join(session="a", run_id="a", run="a", location="p", spent=0)))
    high = MoneyUse(spent=0, allotted=0, needed=500, wanted=500)
    machine.beat(Beat(session="a", run_id="a", sequence=2, money=high))
    with pytest.raises(ReplacedError, match="older than one that was read before"):
        machine.beat(Beat(session="a", run_id="a", sequence=1, money=MoneyUse(spent=0, allotted=0, needed=0, wanted=0)))
    assert machine.group.money.accounts["a"].row.allotted == 500
    assert replace(machine.group.row, budget=None).budget is None


def test_a_process_that_is_announced_a_second_time_keeps_what_it_was_granted_since() -> None:
    machine = Machine(FakeClock(), budget=1000)
    join = Join(session="a", run_id="a", run="a", location="p", spent=0)
    machine.keep(machine.group.join(join))
    machine.beat(Beat(session="a", run_id="a", sequence=1, money=MoneyUse(spent=0, allotted=0, needed=900, wanted=900)))
    machine.keep(machine.group.join(join))  # the message of before, which was sent twice
    assert machine.group.money.unallotted == 100


def test_amounts_stay_within_what_a_database_holds() -> None:
    machine = Machine(FakeClock(), budget=MOST)
    for number in range(4):
        name = f"p{number}"
        machine.keep(machine.group.join(Join(session=name, run_id="a", run="a", location=name, spent=0)))
        use = MoneyUse(spent=0, allotted=MOST, needed=0, wanted=0)
        machine.beat(Beat(session=name, run_id="a", sequence=1, money=use))
    assert machine.group.money.accounts["a"].row.lost == MOST
