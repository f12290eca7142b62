"""A member keeps to its leases by its own clock, whatever becomes of the coordinator; time passes as it sleeps."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from clairgen.coordination.coordinator_client import CoordinatorAddress, CoordinatorClient
from clairgen.coordination.membership import Membership
from clairgen.coordination.silence import Surroundings
from clairgen.coordination.wire import RATE_SECONDS, SHARD_SECONDS, EndpointLimit
from clairgen.errors import ENDPOINTS, REPLACED, ConfigError, DrainedError, EndpointsError, ReplacedError, exit_code
from clairgen.inference.announced_limits import RateLimits
from clairgen.inference.endpoint_limits import EndpointLimits
from clairgen.inference.shared_limits import ConfiguredLimits
from clairgen.task_shard import LeasedShard, TaskShard
from tests.clocks import FakeClock
from tests.coordination.coordinated import AT, Coordinated
from tests.service.served import ADDRESS, READ, tokens_of

PAID = EndpointLimit(endpoint="paid", requests_per_minute=60)
WORK = "w"


@dataclass
class Process:
    """A process with its membership of the group g, and what it told its user."""

    served: Coordinated
    clock: FakeClock
    patience: float = 60.0
    is_cut_off: bool = False
    suspended_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def member(self, address: CoordinatorAddress = AT) -> AsyncIterator[Membership]:
        """The membership, with its endpoint open."""
        transport = self.served.runtime(self.clock, lambda: self.is_cut_off).transport(self.notes.append)
        around = Surroundings(self.clock, self.lease_clock, self.clock.sleep, self.notes.append, self.stop)
        client = CoordinatorClient(transport, address, "g")
        async with Membership(client, "g", address.url, around, self.patience, [PAID]) as member:
            yield member
        await transport.close()

    def lease_clock(self) -> float:
        """Seconds, also those in which the machine was suspended."""
        return self.clock() + self.suspended_seconds

    def limits_of(self, member: Membership) -> EndpointLimits:
        """The limits of the endpoint that is paid for, of which somebody waits for a part."""
        configured = ConfiguredLimits(RateLimits(60), 1, None, 100)
        return member.limits.join("paid", "paid", [configured], self.notes.append).limits

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Let others go on until something is so."""
        async with asyncio.timeout(20):
            while not is_so():  # noqa: ASYNC110 - of a clock that others move
                await asyncio.sleep(0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def served(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Coordinated]:
    async with Coordinated(tmp_path / "runs", clock) as opened:
        yield opened


async def test_a_share_ends_by_the_members_own_clock_while_it_is_cut_off_and_is_there_again_afterwards(
    served: Coordinated, clock: FakeClock
) -> None:
    process = Process(served, clock)
    async with process.member() as member:
        await member.join("r", "run", "here", 0, None)
        limits = process.limits_of(member)
        assert limits.rate_limiter.is_closed
        await process.until(lambda: not limits.rate_limiter.is_closed)
        assert limits.rate_limiter.requests_per_minute == 60
        at, process.is_cut_off = clock(), True
        await process.until(lambda: limits.rate_limiter.is_closed)
        assert clock() - at <= RATE_SECONDS
        await process.until(lambda: bool(process.notes))
        assert "does not answer (no connection); what it granted ends or is used up" in process.notes[0]
        process.is_cut_off = False
        await process.until(lambda: not limits.rate_limiter.is_closed)
        assert process.notes[1:] == [f"the coordinator at {ADDRESS} answers again, and requests go on"]
    [group] = (await served.http.get("/api/coordinator")).json()
    assert group["members"][0]["state"] == "ended"
    assert group["endpoints"][0]["leased"] == {"requests_per_minute": 0}


async def test_a_machine_that_was_suspended_sends_nothing_by_a_lease_that_has_ended_and_keeps_its_patience(
    served: Coordinated, clock: FakeClock
) -> None:
    process = Process(served, clock, patience=30)
    async with process.member() as member:
        await member.join("r", "run", "here", 0, None)
        limits = process.limits_of(member)
        await process.until(lambda: not limits.rate_limiter.is_closed)
        process.is_cut_off, process.suspended_seconds = True, 3600  # as the network is while a machine wakes
        assert limits.rate_limiter.is_closed
        assert limits.permit_at() == math.inf
        at = clock()
        await process.until(lambda: clock() > at + RATE_SECONDS)
        assert not process.stop.is_set()
        process.is_cut_off = False
        await process.until(lambda: not limits.rate_limiter.is_closed)


async def test_a_server_that_is_named_and_has_registered_has_one_share(served: Coordinated, clock: FakeClock) -> None:
    process = Process(served, clock)
    async with process.member() as member:
        await member.join("r", "run", "here", 0, None)
        named, registered = process.limits_of(member), process.limits_of(member)
        await process.until(lambda: not registered.rate_limiter.is_closed)
        assert not named.rate_limiter.is_closed
        assert named is registered  # two would each send what is one share


async def test_a_member_stops_its_work_when_the_coordinator_stays_silent(served: Coordinated, clock: FakeClock) -> None:
    process = Process(served, clock)
    with pytest.raises(EndpointsError, match="has not answered for") as raised:
        async with process.member() as member:
            await member.join("r", "run", "here", 0, None)
            at, process.is_cut_off = clock(), True
            await process.until(process.stop.is_set)
            assert 60 <= clock() - at <= 60 + 2 * RATE_SECONDS
            raise DrainedError  # what all work gets that is to stop
    assert exit_code(raised.value) == ENDPOINTS
    assert "was not told that this process has ended" in process.notes[-1]


async def test_a_member_goes_on_with_its_share_over_a_restart_of_the_coordinator(
    served: Coordinated, clock: FakeClock
) -> None:
    process = Process(served, clock)
    async with process.member() as member:
        await member.join("r", "run", "here", 0, None)
        limits = process.limits_of(member)
        await process.until(lambda: not limits.rate_limiter.is_closed)
        await served.restart()
        at, was_closed = clock(), False
        while clock() < at + 3 * RATE_SECONDS:
            await asyncio.sleep(0)
            was_closed = was_closed or limits.rate_limiter.is_closed
        assert not was_closed
        assert process.notes == []


async def test_a_silent_holder_of_a_shard_has_stopped_before_another_gets_it(
    served: Coordinated, clock: FakeClock
) -> None:
    first, second = Process(served, clock, patience=600), Process(served, clock)
    with pytest.raises(ReplacedError, match="shard 1/1 was given to another process") as raised:
        async with first.member() as member:
            assert await member.claim(LeasedShard(1), WORK, "node 1") == TaskShard(1, 1)
            await member.join("r", "run", "here", 0, None)
            own = member.limits.join(
                "own", "own", [ConfiguredLimits(RateLimits(), 1, None, 9)], first.notes.append
            ).limits
            assert not own.rate_limiter.is_closed
            at, first.is_cut_off = clock(), True
            await first.until(lambda: own.rate_limiter.is_closed)
            assert clock() - at <= SHARD_SECONDS
            assert own.rate_limiter.closes_at < at + SHARD_SECONDS
            async with second.member() as other:
                assert (await other.claim(LeasedShard(1), WORK, "node 2")).number == 1
                assert clock() > own.rate_limiter.closes_at
                assert "shard 1/1 was begun by node 1" in second.notes[-1]
                first.is_cut_off = False
                await first.until(first.stop.is_set)
            raise DrainedError
    assert exit_code(raised.value) == REPLACED


async def test_a_named_shard_waits_for_its_holder(served: Coordinated, clock: FakeClock) -> None:
    first, second = Process(served, clock), Process(served, clock)
    async with first.member() as member:
        await member.claim(TaskShard(2, 3), WORK, "node 1")
        async with second.member() as other:
            claiming = asyncio.create_task(other.claim(TaskShard(2, 3), WORK, "node 2"))
            await second.until(lambda: bool(second.notes))
            assert "shard 2/3 is in work, such as by node 1" in second.notes[0]
            second.stop.set()
            with pytest.raises(DrainedError):
                await claiming
        member.is_done = True
    async with Process(served, clock).member() as third:
        with pytest.raises(ConfigError, match="splits these tasks into 3 shards, and 2 were asked for"):
            await third.claim(LeasedShard(2), WORK, "node 3")


async def test_a_shard_can_be_taken_from_a_holder_that_has_ended(served: Coordinated, clock: FakeClock) -> None:
    first, second = Process(served, clock), Process(served, clock)
    with pytest.raises(ReplacedError, match="shard 2/3 was given to another process"):
        async with first.member() as member:
            await member.claim(TaskShard(2, 3), WORK, "node 1")
            await member.join("r", "run", "here", 0, None)
            async with second.member() as other:
                assert await other.claim(TaskShard(2, 3), WORK, "node 2", takes_over=True) == TaskShard(2, 3)
                assert [note[:27] for note in second.notes] == ["shard 2/3 was begun by node"]  # it has not waited
                await first.until(first.stop.is_set)  # had it not ended, it would end now
            raise DrainedError


async def test_the_second_process_of_one_run_replaces_the_first(served: Coordinated, clock: FakeClock) -> None:
    first, second = Process(served, clock), Process(served, clock)
    with pytest.raises(ReplacedError, match="another one works on its run"):
        async with first.member() as member:
            await member.join("r", "run", "here", 0, None)
            async with second.member() as other:
                await other.join("r", "copy of run", "there", 0, None)
                await first.until(first.stop.is_set)
            raise DrainedError


async def test_a_token_of_a_member_is_enough_and_no_other_is(tmp_path: Path, clock: FakeClock) -> None:
    member_token = "member" + "0" * 40
    tokens = tokens_of(tmp_path, CLAIRGEN_TOKEN_MEMBER=member_token)
    async with Coordinated(tmp_path / "runs", clock, tokens) as served:
        process = Process(served, clock)
        async with process.member(CoordinatorAddress(ADDRESS, member_token)) as member:
            await member.join("r", "run", "here", 0, None)
        for token, sentence in (
            (READ, "this token has the scope read; this needs one with the scope member"),
            (None, "valid token"),
        ):
            async with process.member(CoordinatorAddress(ADDRESS, token)) as member:
                with pytest.raises(ConfigError, match=sentence):
                    await member.join("r", "run", "here", 0, None)


@pytest.mark.parametrize("url", ["head:8321", "http://", "ftp://head", "http://a:b@head", "http://head/?a=b"])
def test_what_is_no_address_of_a_service_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is not the URL of a service"):
        CoordinatorAddress.of(url, {})


def test_an_address_has_the_token_of_the_environment_and_does_not_show_it() -> None:
    address = CoordinatorAddress.of("http://head:8321/", {"CLAIRGEN_TOKEN_RUN": "secret"}, "a.b-c")
    assert (address.url, address.token, address.group) == ("http://head:8321", "secret", "a.b-c")
    assert "secret" not in repr(address)
    with pytest.raises(ConfigError, match="is not a name"):
        CoordinatorAddress.of("http://head", {}, "../x")
