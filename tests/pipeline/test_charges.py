import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from clairgen.config.role import Price, Role
from clairgen.errors import RequestError, RequestFailedError, RetryableError, UnusableEndpointError
from clairgen.pipeline.budget import Budget, Charge
from clairgen.pipeline.progress import Progress
from clairgen.records import Usage
from clairgen.store import RunDirectory, Spent, Store, writing

ROLE = Role(model="m", endpoints=["http://gpu1/v1"], max_tokens=100, price_per_million=Price(input=1, output=2))
MOST = (len(b"body") + 1024) * 10**6 + 100 * 2 * 10**6


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Store, Budget]]:
    run = RunDirectory(folder)
    run.create()
    async with writing(run) as store:
        total = await store.spending.total()
        async with Budget(store.spending, total, 1.0, Progress(), asyncio.Event()) as budget:
            yield store, budget


async def spent_by(folder: Path, outcome: Usage | RequestError | None) -> Spent:
    """What an attempt with this outcome leaves in the account; None is an attempt that was sent and cut off."""
    async with opened(folder) as (store, budget):
        async with budget:
            with Charge(budget, "reviser", ROLE, b"body") as charge:
                assert charge.reserve(never)
                await charge.commit()
                if isinstance(outcome, Usage):
                    charge.answered(outcome)
                elif outcome is not None:
                    charge.failed(outcome)
        return await store.spending.total()


def never() -> None:
    raise AssertionError("there was room")


def with_usage(error: RequestError) -> RequestError:
    error.used = (30, 1)
    return error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("outcome", "settled", "unsettled"),
    [
        (Usage(30, 10), 50 * 10**6, 0),
        (Usage(30, None), 0, MOST),
        (Usage(), 0, MOST),
        (None, 0, MOST),
        (RetryableError("unreachable", "nothing was sent"), 0, 0),
        (RetryableError("rate-limited", "no", status=429), 0, 0),
        (RequestFailedError("bad-request", "no", status=400), 0, 0),
        (RequestFailedError("http-401", "no", status=401), 0, 0),
        (UnusableEndpointError("no", 401), 0, 0),
        (RetryableError("timed-out", "silence", billed=True), 0, MOST),
        (RetryableError("torn-connection", "half", billed=True), 0, MOST),
        (RetryableError("server-error", "HTTP 500", status=500), 0, MOST),
        (RetryableError("server-error", "HTTP 503", status=503), 0, MOST),
        (RetryableError("server-error", "HTTP 408", status=408), 0, MOST),
        (RetryableError("not-json", "HTML", status=200, billed=True), 0, MOST),
        (with_usage(RetryableError("empty-answer", "", status=200, billed=True)), 32 * 10**6, 0),
        (with_usage(RequestFailedError("content-filter", "", status=200, billed=True)), 32 * 10**6, 0),
    ],
)
async def test_an_attempt_costs_what_is_known_of_it_and_else_the_most_it_can(
    outcome: Usage | RequestError | None, settled: int, unsettled: int, tmp_path: Path
) -> None:
    spent = await spent_by(tmp_path, outcome)
    assert (spent.settled, spent.unsettled, spent.calls) == (settled, unsettled, 1)


async def test_an_attempt_that_gets_no_slot_costs_nothing_and_leaves_no_row(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, budget):
        with pytest.raises(asyncio.CancelledError), Charge(budget, "reviser", ROLE, b"body") as charge:
            assert charge.reserve(never)
            raise asyncio.CancelledError  # between the reservation in memory and the one on disk
        assert budget.reserve("reviser", 10**12, never) is not None  # all of the budget is there again
        assert (await store.spending.total()).calls == 0


async def test_an_attempt_that_is_cancelled_while_it_is_committed_costs_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, budget):

        async def attempt() -> None:
            with Charge(budget, "reviser", ROLE, b"body") as charge:
                assert charge.reserve(never)
                await charge.commit()
                raise AssertionError("it was cancelled before")

        async with budget:
            running = asyncio.create_task(attempt())
            await asyncio.sleep(0)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        spent = await store.spending.total()
        assert (spent.settled, spent.unsettled, spent.open_calls) == (0, 0, 0)


@pytest.mark.parametrize("price", [Price(input=0, output=0), None])
async def test_what_costs_nothing_is_not_charged(price: Price | None, tmp_path: Path) -> None:
    role = ROLE.model_copy(update={"price_per_million": price})
    async with opened(tmp_path) as (store, budget):
        with Charge(budget, "reviser", role, b"body") as charge:
            assert charge.reserve(never)
            await charge.commit()
            charge.answered(Usage(30, 10))
        assert (await store.spending.total()).calls == 0


async def test_without_a_budget_nothing_is_charged() -> None:
    with Charge(None, "reviser", ROLE, b"body") as charge:
        assert charge.reserve(never)
        await charge.commit()
        charge.failed(RetryableError("timed-out", "silence", billed=True))
