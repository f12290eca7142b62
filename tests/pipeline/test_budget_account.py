import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from clairgen.config.prices import PICODOLLARS
from clairgen.errors import BudgetError, DrainedError
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


async def ledger(store: Store, budget: float | None, stop: asyncio.Event | None = None) -> Budget:
    return Budget(store.spending, await store.spending.total(), budget, Progress(), stop or asyncio.Event())


async def test_a_reservation_is_on_disk_before_anything_is_sent(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, await ledger(store, 10) as account:
        await account.reserve("reviser", 3 * DOLLAR)
        assert (await store.spending.total()).unsettled == 3 * DOLLAR


async def test_a_true_cost_takes_the_place_of_its_reservation(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        async with await ledger(store, 10) as account:
            account.settle(await account.reserve("reviser", 3 * DOLLAR), DOLLAR)
        spent = await store.spending.total()
    assert (spent.settled, spent.unsettled, spent.open_calls) == (DOLLAR, 0, 0)


async def test_what_a_killed_session_reserved_is_spent(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        async with await ledger(store, 10) as killed:
            await killed.reserve("reviser", 6 * DOLLAR)
        async with await ledger(store, 10) as account:
            with pytest.raises(BudgetError, match=r"\$6.0000 are spent \(\$6.0000 of it for calls of unknown outcome"):
                await account.reserve("reviser", 5 * DOLLAR)
            await account.reserve("reviser", 4 * DOLLAR)


async def test_an_unknown_outcome_counts_at_its_most(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, await ledger(store, 10) as account:
        account.settle(await account.reserve("reviser", 6 * DOLLAR), None)
        with pytest.raises(BudgetError):
            await account.reserve("reviser", 5 * DOLLAR)


async def test_an_ask_waits_while_what_is_in_flight_may_leave_room(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, await ledger(store, 10) as account:
        first, second = await account.reserve("reviser", 6 * DOLLAR), await account.reserve("reviser", 3 * DOLLAR)
        waiting = asyncio.create_task(account.reserve("reviser", 5 * DOLLAR))
        account.settle(second, DOLLAR)
        await asyncio.sleep(0.01)
        assert not waiting.done()  # 1 + 6 + 5 is too much
        account.settle(first, DOLLAR)
        await waiting


async def test_whoever_waits_hears_of_the_end_of_the_budget(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, await ledger(store, 10) as account:
        first = await account.reserve("reviser", 8 * DOLLAR)
        waiting = [asyncio.create_task(account.reserve("reviser", 5 * DOLLAR)) for _ in range(3)]
        await asyncio.sleep(0.01)
        account.settle(first, None)
        assert {type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)} == {BudgetError}


async def test_nobody_is_let_through_once_the_run_is_to_stop(tmp_path: Path) -> None:
    stop = asyncio.Event()
    async with opened(tmp_path) as store, await ledger(store, 10, stop) as account:
        first = await account.reserve("reviser", 8 * DOLLAR)
        waiting = asyncio.create_task(account.reserve("reviser", 5 * DOLLAR))
        await asyncio.sleep(0.01)
        stop.set()
        account.settle(first, DOLLAR)
        with pytest.raises(DrainedError):
            await waiting


async def test_without_a_budget_the_same_account_is_kept_and_nobody_waits(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        async with await ledger(store, None) as account:
            for number in range(100):
                account.settle(await account.reserve("reviser", None if number % 2 else DOLLAR), DOLLAR)
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
        async with await ledger(store, 10) as account:
            account.settle(await account.reserve("reviser", DOLLAR), 2**80)
        async with await ledger(store, 10) as later:
            with pytest.raises(BudgetError):
                await later.reserve("reviser", 1)
