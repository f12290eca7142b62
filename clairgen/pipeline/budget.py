"""The budget: what requests cost and may cost, and the limits that their sum never exceeds, the run's and a shared one.

Before a request is sent, the most that it can cost is reserved on disk; after its answer the true cost replaces it. A request
whose outcome is unknown (killed, timed out, broken off) is counted at the most that it can cost. So at any moment the disk
accounts for at least as much as any provider can have billed, and what it accounts for is within the budget.

Nothing in here waits for money: `Charge.reserve` says at once whether there is room. Requests that there is no room for wait in
their role's scheduler, which is called again, one role after the other, when money becomes free.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from clairgen.config.prices import (
    PICODOLLARS,
    cost_of_usage,
    costs,
    dollars,
    max_cost,
    picodollars,
    plain_figure,
    rounded_up,
)
from clairgen.config.role import Price, Role
from clairgen.errors import BudgetError, DrainedError, RequestError, StoreError
from clairgen.inference.rejection_rules import NO_CAPACITY
from clairgen.inference.shared_budget import MoneyQueue, WiderBudget
from clairgen.pipeline.copy_allowance import CopyAllowance
from clairgen.pipeline.progress import Progress
from clairgen.records import Usage
from clairgen.store import Call, RunDirectory, Spending, Spent, reading


class Budget:
    """The money of a session. Without a limit (`budget_usd` is None) it keeps the same account, and there is always room.

    With a `shared` budget there has to be room in both. With an `allowance` the copy of the run has to allow it as well.

    Use it as an async context manager, inside the store's: leaving waits until all is on disk.
    """

    def __init__(
        self,
        spending: Spending,
        before: Spent,
        budget_usd: float | None,
        progress: Progress,
        stop: asyncio.Event,
        shared: WiderBudget | None = None,
        allowance: CopyAllowance | None = None,
    ) -> None:
        self._spending = spending
        self._limit = None if budget_usd is None else int(budget_usd * PICODOLLARS)
        self._settled = before.settled
        self._unknown = before.unsettled
        self._unknown_calls = before.open_calls
        self._uncounted_calls = before.uncounted_calls
        self._reserved = 0
        self._last_id = before.last_id
        self._progress = progress
        self._stop = stop
        self._shared = shared
        self._allowance = allowance
        self._queue = MoneyQueue()
        self._serve_own = self._queue.serve  # one object, by which the shared budget knows this session
        self._writes: set[asyncio.Task[None]] = set()
        progress.shared_budget = shared
        self._show()

    async def __aenter__(self) -> Self:
        if self._shared is not None:
            self._shared.join()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await asyncio.gather(*self._writes, return_exceptions=True)
        finally:
            self._leave_shared()

    def reserve(self, role: str, most: int | None, again: Callable[[], None]) -> Call | None:
        """Reserve the most that a call can cost, in memory; None if there is no room, and then `again` is called later.

        Raises BudgetError if there can never be room, DrainedError once the run is to stop.
        """
        if not self._admits(most or 0, again):
            return None
        self._last_id += 1
        self._reserved += most or 0
        self._show()
        return Call(self._last_id, role, most)

    async def commit(self, call: Call) -> None:
        """Put a reservation on disk. With a limit, the call may be sent only when this has returned."""
        if self._limit is None and self._shared is None:
            self._write_later(self._spending.reserve(call))
        else:
            await self._spending.reserve(call)

    def cancel(self, call: Call) -> None:
        """Give back a reservation that was not committed."""
        self._reserved -= call.max_cost or 0
        if self._shared is not None:
            self._shared.settle(call.max_cost or 0, 0)
        self._show()
        self.serve()

    def settle(self, call: Call, cost: int | None) -> None:
        """Replace a committed reservation by the true cost; None is not known, and counts as the most that it can be.

        There is room again only once the cost is on disk, or a kill would leave more reserved there than the budget allows.
        """
        if cost is None:
            self._close(call, None)
        else:
            self._write_later(self._settle_on_disk(call, cost))

    def resume(self, calls: Iterable[Call]) -> None:
        """Count calls of an earlier session, whose outcome comes yet, as reserved and no longer as unknown."""
        self._move_to_reserved(calls, 1)

    def leave_open(self, calls: Iterable[Call]) -> None:
        """Count calls whose outcome comes in a later session as unknown, and no longer as reserved."""
        self._move_to_reserved(calls, -1)

    def close(self, call: Call, cost: int | None) -> None:
        """Count a call whose cost is on disk already; None is not known, and counts as the most that it can be."""
        self._close(call, cost)

    def billed(self, role: str, cost: int) -> Call:
        """Count what was billed without a reservation; the call is still to be committed."""
        self._last_id += 1
        self._settled += cost
        if self._shared is not None:
            self._shared.settle(0, cost)
        self._progress.role(role).cost_usd += cost / PICODOLLARS
        self._show()
        return Call(self._last_id, role, cost)

    def serve(self) -> None:
        """Let those who wait for room try again, until the first of them finds that there is still none."""
        self._queue.serve()
        if self._shared is not None:
            self._shared.serve()

    def _leave_shared(self) -> None:
        """What is not settled by now was cut off, and counts as on disk: at the most that it can cost."""
        if self._shared is not None:
            self._shared.settle(self._reserved, self._reserved)
            self._shared.leave(self._serve_own)
            self._shared = None

    def _admits(self, most: int, again: Callable[[], None]) -> bool:
        if self._limit is None and self._shared is None:
            return True
        if self._stop.is_set():
            raise DrainedError
        spent = self._settled + self._unknown
        if self._limit is not None and spent + most > self._limit:
            raise self._exhausted(most, self._limit)
        fits = self._limit is None or spent + self._reserved + most <= self._limit
        if (
            fits
            and self._queue.is_turn_of(again)
            and (self._allowance is None or self._allowance.covers(spent + self._reserved + most, most, self.serve))
            and (self._shared is None or self._shared.reserve(most, self._serve_own))
        ):
            self._queue.served()
            return True
        self._queue.wait(again)
        return False

    def _move_to_reserved(self, calls: Iterable[Call], sign: int) -> None:
        """Move calls from what is unknown to what is reserved, or back if `sign` is -1."""
        for call in calls:
            most = sign * (call.max_cost or 0)
            self._unknown -= most
            self._unknown_calls -= sign
            self._uncounted_calls -= sign * (call.max_cost is None)
            self._reserved += most
            if self._shared is not None:
                self._shared.settle(-most, -most)
        self._show()

    async def _settle_on_disk(self, call: Call, cost: int) -> None:
        try:
            await self._spending.settle(call, cost)
        except StoreError:  # the disk is full, which stops the run where its answers are saved
            self._close(call, None)
        else:
            self._close(call, cost)

    def _close(self, call: Call, cost: int | None) -> None:
        most = call.max_cost or 0
        counted = most if cost is None else cost
        self._reserved -= most
        if cost is None:
            self._unknown += counted
            self._unknown_calls += 1
            self._uncounted_calls += call.max_cost is None
        else:
            self._settled += counted
        if self._shared is not None:
            self._shared.settle(most, counted)
        self._progress.role(call.role).cost_usd += counted / PICODOLLARS
        if (self._limit is not None or self._shared is not None) and counted > most:
            self._progress.note(
                f"a request of {call.role} was billed {dollars(counted / PICODOLLARS)}, more than its prompt and max_tokens "
                "can cost; the budget holds only as far as the server respects max_tokens"
            )
        self._show()
        self.serve()

    def _exhausted(self, most: int, limit: int) -> BudgetError:
        spent, unknown = self._settled + self._unknown, ""
        if self._unknown:
            unknown = f" ({_usd(self._unknown)} of it for requests of unknown cost, counted at the most they can cost)"
        enough = rounded_up(max(2 * limit, max(spent + self._reserved, limit) + most) / PICODOLLARS)
        return BudgetError(
            f"the budget of {_usd(limit)} has no room for the next request: {_usd(spent)} are spent{unknown}, "
            f"{_usd(self._reserved)} are reserved for what is in flight, and the request could cost {_usd(most)}; what is in "
            "flight is finished and kept; raise budget_usd, or give a larger --budget-usd, such as "
            f"{plain_figure(enough)}, and run the same command again",
            enough,
        )

    def _write_later(self, write: Coroutine[Any, Any, None]) -> None:
        """Write without waiting for it; the writer includes it in the next group."""
        task = asyncio.create_task(write)
        self._writes.add(task)
        task.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()  # nothing waits for this reservation; a disk that is full stops the run elsewhere

    def _show(self) -> None:
        money = self._progress.money
        money.spent_usd = (self._settled + self._unknown) / PICODOLLARS
        money.uncertain_usd = self._unknown / PICODOLLARS
        money.uncertain_calls = self._unknown_calls
        money.uncounted_calls = self._uncounted_calls
        money.reserved_usd = self._reserved / PICODOLLARS
        money.budget_usd = None if self._limit is None else self._limit / PICODOLLARS


async def spent_usd(runs: Iterable[Path]) -> float:
    """What these runs can have cost together by what is on disk, in US dollars; those of unknown cost count at the most."""
    total = 0
    for run in runs:
        if (directory := RunDirectory(run)).database.exists():
            async with reading(directory) as store:
                total += (await store.spending.total()).total
    return total / PICODOLLARS


class Charge:
    """What one attempt may cost and did cost. Without a budget, or for a role that costs nothing, it counts nothing.

    `most` is the highest price that it can have, by its service tier; left out, the role's own.

    Use it as a context manager around the whole attempt, from waiting for a slot to the answer: `reserve`, `commit`, send, then
    `answered` or `failed`. However it is left, the reservation is settled: as zero if nothing was sent, else by what is known,
    else as unknown.
    """

    def __init__(self, budget: Budget | None, name: str, role: Role, body: bytes, most: Price | None = None) -> None:
        self._budget = budget if costs(role) else None
        self._most = most or role.price_per_million
        self._name = name
        self._role = role
        self._body = body
        self._call: Call | None = None
        self._written = False
        self._cost: int | None = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._budget is None:
            return
        if self._call is None:
            self._budget.serve()  # those behind it in the line, if it was in one
        elif self._written:
            self._budget.settle(self._call, self._cost)
        else:
            self._budget.cancel(self._call)

    def reserve(self, again: Callable[[], None]) -> bool:
        """Whether there is room for the attempt, which is then reserved; else see `Budget.reserve`."""
        if self._budget is None:
            return True
        self._call = self._budget.reserve(self._name, max_cost(self._role, self._body, self._most), again)
        return self._call is not None

    async def commit(self) -> None:
        """The request is sent as soon as this returns."""
        if self._budget is None or self._call is None:
            return
        self._written = True  # perhaps, if this is cancelled
        await self._budget.commit(self._call)
        self._cost = None

    def answered(self, usage: Usage, price: Price | None = None) -> None:
        """The attempt was answered, which cost what the server counted, at this price or the role's own."""
        self._cost = None if self._call is None else cost_of_usage(usage, price or self._role.price_per_million)

    def failed(self, error: RequestError) -> None:
        """The attempt failed: a rejection costs nothing; after a server's fault, or silence, what was done before is unknown."""
        self._cost = cost_of_failure(error, self._most)


def cost_of_failure(error: RequestError, price: Price | None) -> int | None:
    """What a failed attempt cost, in picodollars: nothing if it was rejected or not sent, else what the server counted.

    None is not known.
    """
    status = error.status
    refused = status is not None and ((300 <= status < 500 and status != 408) or error.reason == NO_CAPACITY.reason)
    rejected = refused and not error.billed
    unsent = status is None and not error.billed
    if rejected or unsent:
        return 0
    return None if price is None or error.used is None else picodollars(price, *error.used)


def _usd(amount: int) -> str:
    return dollars(amount / PICODOLLARS)
