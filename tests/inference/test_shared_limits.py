"""Sessions in one process that share limits: together they keep to them, and each gets about the same part."""

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from clairgen.config.role import Role
from clairgen.embedded.server import EmbeddedServers
from clairgen.errors import DrainedError, RetryableError
from clairgen.inference.factory import open_pools
from clairgen.inference.pool import Pool
from clairgen.inference.runtime import Runtime
from clairgen.inference.scheduler import Reserve
from clairgen.inference.shared_limits import SharedLimits
from clairgen.inference.transport import Response, Timeouts
from tests.scripted import said

URL = "http://provider/v1"


class IdleClock:
    """A clock that moves on to the next sleeper once nothing else is left to do."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def __call__(self) -> float:
        """The time now."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved on by `seconds`."""
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.seconds + seconds, next(self._numbers), woken))
        await woken

    async def run(self) -> None:
        """Move on from sleeper to sleeper, without end."""
        while True:
            for _ in range(12):
                await asyncio.sleep(0)
            while self._sleepers:
                at, _, woken = heapq.heappop(self._sleepers)
                if not woken.done():
                    self.seconds = max(self.seconds, at)
                    woken.set_result(None)
                    break


@dataclass
class Provider:
    """What all sessions send to; `answer` gives the status for a time and how long it takes, by session."""

    clock: IdleClock
    seconds: Mapping[str, float] = field(default_factory=dict)
    status: Callable[[float], int] = lambda _now: 200
    sent: list[tuple[float, str]] = field(default_factory=list)
    in_flight: Counter[str] = field(default_factory=Counter)
    most_in_flight: int = 0

    def between(self, start: float, end: float) -> Counter[str]:
        """Requests of each session from one time to another, counted from the clock's start."""
        return Counter(name for at, name in self.sent if start <= at - 1000 < end)


class Sending:
    """The transport of one session."""

    def __init__(self, provider: Provider, name: str) -> None:
        self._provider, self._name = provider, name

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Response:
        """Answer as the provider does."""
        provider, name = self._provider, self._name
        status = provider.status(provider.clock())
        provider.sent.append((provider.clock(), name))
        provider.in_flight[name] += 1
        provider.most_in_flight = max(provider.most_in_flight, provider.in_flight.total())
        try:
            await provider.clock.sleep(provider.seconds.get(name, 1.0))
        finally:
            provider.in_flight[name] -= 1
        reply = orjson.loads(said("yes").body) if status == 200 else {"error": {"message": "slow down"}}
        return Response(status, {}, orjson.dumps(reply))

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Response:
        """Be alive."""
        return Response(200, {}, b"{}")

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Session:
    """One session: what its pools are, and the sentences for its user."""

    name: str
    pools: dict[str, Pool]
    stop: asyncio.Event
    notes: list[str]
    clock: IdleClock
    done: int = 0
    reserve: Reserve = lambda _again: True

    async def send(self, count: int, role: str = "target", tokens: int = 100) -> None:
        """Send requests, all of which wait at once."""

        async def one() -> None:
            pool, failed = self.pools[role], True
            while failed:
                endpoint = await pool.acquire(tokens, (), lambda again: self.reserve(again))
                try:
                    await endpoint.ask(b"{}", tokens)
                    failed = False
                except RetryableError:
                    pass
                finally:
                    pool.release(endpoint)
            self.done += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(one())


@dataclass
class Process:
    """Several sessions in one process."""

    clock: IdleClock
    provider: Provider
    stack: AsyncExitStack
    folder: Path
    shared: SharedLimits | None

    async def session(self, name: str, roles: tuple[str, ...] = ("target",), **fields: Any) -> Session:  # noqa: ANN401 - any field of a role
        """Begin a session whose roles all have these fields."""
        role = Role.model_validate({"model": "m", "endpoints": [URL]} | fields)
        runtime = Runtime(clock=self.clock, sleep=self.clock.sleep, environment={}, shared_limits=self.shared)
        stop, notes = asyncio.Event(), list[str]()
        servers = EmbeddedServers(log=self.folder / "engine.log")
        transport = Sending(self.provider, name)
        pools = await open_pools(dict.fromkeys(roles, role), transport, servers, runtime, stop, notes.append)
        session = Session(name, pools, stop, notes, self.clock)
        self.stack.push_async_callback(self.end, session)
        return session

    async def end(self, session: Session) -> None:
        """End a session, once."""
        pools, session.pools = session.pools, {}
        for pool in pools.values():
            await pool.close()


@asynccontextmanager
async def process(folder: Path, *, shared: bool = True) -> AsyncIterator[Process]:
    clock = IdleClock()
    running = asyncio.create_task(clock.run())
    async with AsyncExitStack() as stack:
        yield Process(clock, Provider(clock), stack, folder, SharedLimits(clock) if shared else None)
    running.cancel()


def tasks(group: asyncio.TaskGroup, *work: Any) -> None:  # noqa: ANN401 - coroutines
    for one in work:
        group.create_task(one)


@pytest.mark.parametrize("sessions", [2, 4])
async def test_sessions_have_one_rate_limit_and_equal_parts_of_it(sessions: int, tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        here.provider.seconds = {"s0": 4.0}
        found = [await here.session(f"s{number}", requests_per_minute=600) for number in range(sessions)]
        async with asyncio.TaskGroup() as group:
            tasks(group, *(one.send(100) for one in found))
        assert here.clock() - 1000 == pytest.approx(sessions * 100 / 10, abs=4)
        parts = here.provider.between(0, 5 * sessions)
        assert sum(parts.values()) == pytest.approx(50 * sessions, abs=1)
        assert max(parts.values()) - min(parts.values()) <= 1


async def test_without_shared_limits_they_break_it(tmp_path: Path) -> None:
    async with process(tmp_path, shared=False) as here:
        one, other = [await here.session(name, requests_per_minute=600) for name in ("a", "b")]
        async with asyncio.TaskGroup() as group:
            tasks(group, one.send(100), other.send(100))
        assert sum(here.provider.between(0, 5).values()) == pytest.approx(100, abs=2)


async def test_a_session_that_begins_later_is_served_at_once_and_leaves_no_trace(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        early = await here.session("early", requests_per_minute=600)
        async with asyncio.TaskGroup() as group:
            group.create_task(early.send(600))
            await here.clock.sleep(10)
            late = await here.session("late", requests_per_minute=600)
            await late.send(100)
            await here.end(late)
        seen = here.provider.between
        assert seen(0, 10) == {"early": pytest.approx(100, abs=1)}
        assert seen(10, 20) == {"early": pytest.approx(50, abs=2), "late": pytest.approx(50, abs=2)}
        assert seen(20, 30) == {"early": pytest.approx(50, abs=2), "late": pytest.approx(50, abs=2)}
        assert seen(31, 60)["early"] == pytest.approx(290, abs=2)
        assert here.clock() - 1000 == pytest.approx(71, abs=1)


async def test_a_session_counts_once_however_many_roles_it_has(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        many = await here.session("many", ("target", "reviser", "judge"), requests_per_minute=600)
        one = await here.session("one", requests_per_minute=600)
        async with asyncio.TaskGroup() as group:
            tasks(group, *(many.send(60, role) for role in many.pools), one.send(100))
            await here.clock.sleep(15)
            assert here.provider.between(0, 15) == {"many": pytest.approx(75, abs=1), "one": pytest.approx(75, abs=1)}


async def test_parts_of_a_limit_of_tokens_are_counted_in_tokens(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        long, short = [await here.session(name, tokens_per_minute=60_000) for name in ("long", "short")]
        async with asyncio.TaskGroup() as group:
            tasks(group, long.send(20, tokens=900), short.send(180, tokens=100))
            await here.clock.sleep(30)
            seen = here.provider.between(0, 30)
        assert seen["short"] / seen["long"] == pytest.approx(9, rel=0.15)


async def test_sessions_have_the_same_number_of_slots_whatever_their_requests_take(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        here.provider.seconds = {"slow": 10.0, "fast": 0.5}
        slow, fast = [await here.session(name, concurrency=8) for name in ("slow", "fast")]
        async with asyncio.TaskGroup() as group:
            group.create_task(slow.send(40))
            await here.clock.sleep(3)
            group.create_task(fast.send(800))
            await here.clock.sleep(30)
            assert here.provider.in_flight == {"slow": 4, "fast": 4}
            state = fast.pools["target"].endpoint_states()[0]
            assert (state.in_flight, state.in_flight_of_others, state.concurrency_limit) == (4, 4, 8)
        assert here.provider.most_in_flight == 8


async def test_a_session_alone_gets_what_it_gets_without_sharing(tmp_path: Path) -> None:
    took = []
    for shared in (False, True):
        async with process(tmp_path, shared=shared) as here:
            alone = await here.session("alone", ("target", "judge"), requests_per_minute=1200, concurrency=7)
            async with asyncio.TaskGroup() as group:
                tasks(group, alone.send(150), alone.send(150, "judge"))
            took.append((here.clock(), here.provider.most_in_flight))
    assert took[0][0] == pytest.approx(took[1][0], abs=0.2)
    assert took[0][1] == took[1][1] == 14


async def test_a_session_that_cannot_send_keeps_no_other_waiting(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        poor, rich = [await here.session(name, requests_per_minute=600, concurrency=5) for name in ("poor", "rich")]
        again: list[Callable[[], None]] = []

        def nothing_left(call: Callable[[], None]) -> bool:
            again.append(call)
            return False

        poor.reserve = nothing_left
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(poor.send(50))
            await rich.send(50)
            assert here.clock() - 1000 == pytest.approx(10, abs=1)
            poor.reserve = lambda _again: True
            again[-1]()
            await waiting
        assert here.provider.between(0, 30) == {"rich": 50, "poor": 50}


async def test_a_session_that_is_stopped_keeps_no_other_waiting(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        stopped, going = [await here.session(name, requests_per_minute=600) for name in ("stopped", "going")]

        async def until_stopped() -> None:
            with pytest.raises(ExceptionGroup) as raised:
                await stopped.send(500)
            assert raised.group_contains(DrainedError)

        async with asyncio.TaskGroup() as group:
            tasks(group, until_stopped(), going.send(150))
            await here.clock.sleep(5)
            stopped.stop.set()
            await here.clock.sleep(5)
            assert here.provider.between(6, 10) == {"going": pytest.approx(40, abs=1)}


async def test_requests_that_are_cancelled_while_it_is_their_turn_keep_no_other_waiting(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        gone, going = [await here.session(name, requests_per_minute=60, concurrency=1) for name in ("gone", "going")]
        waiting = asyncio.create_task(gone.send(30))
        async with asyncio.TaskGroup() as group:
            group.create_task(going.send(20))
            await here.clock.sleep(4.5)
            waiting.cancel()
        assert here.clock() - 1000 == pytest.approx(25, abs=3)
        await asyncio.wait([waiting])


async def test_a_429_to_one_session_pauses_all(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        here.provider.seconds, here.provider.status = {}, lambda now: 429 if now == 1000 else 200
        one, other = [await here.session(name, concurrency=4) for name in ("a", "b")]
        async with asyncio.TaskGroup() as group:
            tasks(group, one.send(4), other.send(4))
        assert here.provider.between(0.01, 1.4) == {}
        assert {pool.endpoint_states()[0].rate_limit_source for pool in (one.pools | other.pools).values()} == {
            "learned"
        }


def sentence(theirs: str, ours: str, holds: str) -> str:
    return (
        f"another session that runs now has {theirs} for {URL}, where this one has {ours}; both share that endpoint, so {holds} "
        "holds for both together"
    )


async def test_of_different_limits_the_lower_holds_and_is_named_as_long_as_both_run(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        high = await here.session("high", requests_per_minute=1200, concurrency=40)
        low = await here.session("low", requests_per_minute=600)
        [state] = high.pools["target"].endpoint_states()
        assert (state.requests_per_minute, state.concurrency_limit, state.rate_limit_source) == (600, 40, "configured")
        assert high.notes == [sentence("requests_per_minute: 600", "1200", "600")]
        assert low.notes == [sentence("concurrency: 40", "nothing", "40")]
        await here.end(low)
        assert high.pools["target"].endpoint_states()[0].requests_per_minute == 1200
        assert len(high.notes) == 1


async def test_a_much_slower_session_that_ends_leaves_no_permit_to_wait_for(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        fast = await here.session("fast", requests_per_minute=600)
        slow = await here.session("slow", requests_per_minute=1)
        async with asyncio.TaskGroup() as group:
            group.create_task(fast.send(100))
            await here.clock.sleep(2)
            await here.end(slow)
        assert here.clock() - 1000 == pytest.approx(13, abs=1)


async def test_sessions_of_another_event_loop_are_rejected(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        await here.session("one")
        shared = here.shared
        assert shared is not None

        async def elsewhere() -> None:
            shared.join("key", "name", [], print)

        with pytest.raises(RuntimeError, match="one event loop"):
            await asyncio.to_thread(asyncio.run, elsewhere())


async def test_other_models_keys_and_addresses_have_limits_of_their_own(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        found = [
            await here.session("a", requests_per_minute=60, model="n"),
            await here.session("b", requests_per_minute=60, endpoints=["http://other/v1"]),
            await here.session("c", requests_per_minute=60),
        ]
        async with asyncio.TaskGroup() as group:
            tasks(group, *(one.send(10) for one in found))
        assert here.clock() - 1000 == pytest.approx(10, abs=1)


async def test_the_next_session_keeps_to_a_limit_that_the_last_one_used_up(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        first = await here.session("first", requests_per_minute=60, burst=60)
        await first.send(57)
        await here.end(first)
        second = await here.session("second", requests_per_minute=60, burst=60)
        await second.send(10)
        assert sum(here.provider.between(0, 6).values()) <= 65
        await here.end(second)
        await here.clock.sleep(3700)
        third = await here.session("third", model="another")
        assert len(here.shared._endpoints) == 1 if here.shared else False
        await here.end(third)


async def test_two_sessions_with_several_endpoints_use_all_of_them(tmp_path: Path) -> None:
    async with process(tmp_path) as here:
        urls = ["http://one/v1", "http://two/v1"]
        both = await here.session("both", endpoints=urls, concurrency=4)
        one = await here.session("one", endpoints=urls[:1], concurrency=4)
        async with asyncio.TaskGroup() as group:
            tasks(group, both.send(60), one.send(20))
            await here.clock.sleep(4.5)
            assert here.provider.in_flight == {"both": 6, "one": 2}
        assert here.clock() - 1000 == pytest.approx(10, abs=1)
