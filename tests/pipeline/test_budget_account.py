import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from clairgen.config.prices import PICODOLLARS
from clairgen.errors import BudgetError, DrainedError, RunStoppedError
from clairgen.pipeline.budget import Budget
from clairgen.pipeline.progress import Progress
from clairgen.store import Call, RunDirectory, Store, writing

DOLLAR = PICODOLLARS


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Store]:
    run = RunDirectory(folder)
    run.create()
    async with writing(run) as store:
        yield store


async def budget_of(store: Store, budget_usd: float | None, stop: asyncio.Event | None = None) -> Budget:
    return Budget(store.spending, await store.spending.total(), budget_usd, Progress(), stop or asyncio.Event())


class Queue:
    """Calls of one role that wait for room in the order of coming, as in a scheduler; `slots` is how many it can send."""

    def __init__(self, budget: Budget, role: str, slots: int = 1000) -> None:
        self.slots = slots
        self._budget = budget
        self._role = role
        self._waiting: list[tuple[int | None, asyncio.Future[Call]]] = []

    async def reserve(self, most: int | None) -> Call:
        """A call that may be sent."""
        reserved = asyncio.get_running_loop().create_future()
        self._waiting.append((most, reserved))
        self.dispatch()
        call: Call = await reserved
        await self._budget.commit(call)
        return call

    def dispatch(self) -> None:
        """Reserve for all that there is room and a slot for."""
        while self._waiting and self.slots:
            most, reserved = self._waiting[0]
            try:
                call = self._budget.reserve(self._role, most, self.dispatch)
            except RunStoppedError as error:
                reserved.set_exception(error)
            else:
                if call is None:
                    return
                self.slots -= 1
                reserved.set_result(call)
            del self._waiting[0]


async def reserved(budget: Budget, most: int | None) -> Call:
    return await Queue(budget, "reviser").reserve(most)


async def test_a_reservation_is_on_disk_before_anything_is_sent(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, await budget_of(store, 10) as budget:
        await reserved(budget, 3 * DOLLAR)
        assert (await store.spending.total()).unsettled == 3 * DOLLAR


async def test_a_true_cost_replaces_its_reservation(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        async with await budget_of(store, 10) as budget:
            budget.settle(await reserved(budget, 3 * DOLLAR), DOLLAR)
        spent = await store.spending.total()
    assert (spent.settled, spent.unsettled, spent.open_calls) == (DOLLAR, 0, 0)


async def test_what_a_killed_session_reserved_is_spent(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        async with await budget_of(store, 10) as killed:
            await reserved(killed, 6 * DOLLAR)
        async with await budget_of(store, 10) as budget:
            with pytest.raises(BudgetError, match=r"\$6.0000 are spent \(\$6.0000 of it for requests of unknown cost"):
                await reserved(budget, 5 * DOLLAR)
            await reserved(budget, 4 * DOLLAR)


async def test_an_unknown_outcome_counts_as_the_most_it_can_cost(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, await budget_of(store, 10) as budget:
        budget.settle(await reserved(budget, 6 * DOLLAR), None)
        with pytest.raises(BudgetError):
            await reserved(budget, 5 * DOLLAR)


async def test_a_request_waits_while_what_is_in_flight_may_leave_room(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, await budget_of(store, 10) as budget:
        first, second = await reserved(budget, 6 * DOLLAR), await reserved(budget, 3 * DOLLAR)
        waiting = asyncio.create_task(reserved(budget, 5 * DOLLAR))
        budget.settle(second, DOLLAR)
        await asyncio.sleep(0.01)
        assert not waiting.done()  # 1 + 6 + 5 is too much
        budget.settle(first, DOLLAR)
        await waiting


async def test_all_that_wait_learn_of_the_end_of_the_budget(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, await budget_of(store, 10) as budget:
        first = await reserved(budget, 8 * DOLLAR)
        waiting = [asyncio.create_task(reserved(budget, 5 * DOLLAR)) for _ in range(3)]
        await asyncio.sleep(0.01)
        budget.settle(first, None)
        assert {type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)} == {BudgetError}


async def test_nothing_is_reserved_once_the_run_is_to_stop(tmp_path: Path) -> None:
    stop = asyncio.Event()
    async with opened(tmp_path) as store, await budget_of(store, 10, stop) as budget:
        first = await reserved(budget, 8 * DOLLAR)
        waiting = asyncio.create_task(reserved(budget, 5 * DOLLAR))
        await asyncio.sleep(0.01)
        stop.set()
        budget.settle(first, DOLLAR)
        with pytest.raises(DrainedError):
            await waiting


async def test_cheap_requests_do_not_overtake_an_expensive_one_that_waits(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, await budget_of(store, 10) as budget:
        first = await reserved(budget, 8 * DOLLAR)
        expensive = asyncio.create_task(Queue(budget, "judge").reserve(5 * DOLLAR))
        cheap = asyncio.create_task(Queue(budget, "target").reserve(DOLLAR))
        await asyncio.sleep(0.01)
        assert not cheap.done()  # there is room for it
        budget.settle(first, DOLLAR)
        await asyncio.gather(expensive, cheap)


async def test_roles_take_turns_when_money_becomes_free(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, await budget_of(store, 10) as budget:
        held = [await reserved(budget, 5 * DOLLAR) for _ in range(2)]
        queues = {name: Queue(budget, name) for name in ("target", "judge")}
        served: list[str] = []

        async def request(name: str) -> None:
            call = await queues[name].reserve(5 * DOLLAR)
            served.append(name)
            await asyncio.sleep(0.01)
            budget.settle(call, 0)

        waiting = [asyncio.create_task(request(name)) for name in ("target",) * 4 + ("judge",) * 4]
        await asyncio.sleep(0.01)
        for call in held:
            budget.settle(call, 0)
        await asyncio.gather(*waiting)
    assert set(served[:2]) == set(served[2:4]) == {"target", "judge"}


async def test_money_is_not_kept_for_a_role_that_has_no_slot_to_use_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, await budget_of(store, 10) as budget:
        first = await reserved(budget, 8 * DOLLAR)
        busy = Queue(budget, "judge")
        blocked = asyncio.create_task(busy.reserve(5 * DOLLAR))
        free = asyncio.create_task(Queue(budget, "target").reserve(5 * DOLLAR))
        await asyncio.sleep(0.01)
        busy.slots = 0
        budget.settle(first, DOLLAR)
        call = await asyncio.wait_for(free, 5)
        assert not blocked.done()
        budget.settle(call, DOLLAR)
        busy.slots = 1
        busy.dispatch()
        await asyncio.wait_for(blocked, 5)


async def test_without_a_limit_the_same_account_is_kept_and_nothing_waits(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        async with await budget_of(store, None) as budget:
            for number in range(100):
                budget.settle(await reserved(budget, None if number % 2 else DOLLAR), DOLLAR)
        spent = await store.spending.total()
    assert (spent.settled, spent.calls, spent.open_calls) == (100 * DOLLAR, 100, 0)


async def test_a_settlement_that_reaches_the_disk_first_is_kept(tmp_path: Path) -> None:
    call = Call(1, "reviser", 5)
    async with opened(tmp_path) as store:
        await store.spending.settle(call, 2)
        await store.spending.reserve(call)
        assert (await store.spending.total()).settled == 2


async def test_a_count_that_no_database_holds_still_ends_the_budget(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        async with await budget_of(store, 10) as budget:
            budget.settle(await reserved(budget, DOLLAR), 2**80)
        async with await budget_of(store, 10) as later:
            with pytest.raises(BudgetError):
                await reserved(later, 1)
