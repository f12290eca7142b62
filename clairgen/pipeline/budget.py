"""The ledger: what calls cost and may cost, and the budget that their sum never passes.

Before a call is sent, the most that it can cost is reserved on disk; after its answer the true cost takes that place. What
is not known of a call (killed, timed out, torn) is counted as spent. So at any moment the disk knows of at least as much as
any provider can have billed, and what the disk knows of is within the budget.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Self

from clairgen.config.models import Role
from clairgen.config.prices import PICODOLLARS, costs, dollars, most_picodollars, picodollars
from clairgen.errors import BudgetError, DrainedError, RequestError, StoreError
from clairgen.pipeline.progress import Progress
from clairgen.records import Usage
from clairgen.store import Call, Spending, Spent


class Budget:
    """The money of a session. Without a budget it keeps the same account, and nobody waits for it.

    Use it as an async context manager, inside the store's: leaving waits until all is on disk.
    """

    def __init__(
        self, spending: Spending, before: Spent, budget_usd: float | None, progress: Progress, stop: asyncio.Event
    ) -> None:
        self._spending = spending
        self._budget = None if budget_usd is None else int(budget_usd * PICODOLLARS)
        self._settled = before.settled
        self._unknown = before.unsettled
        self._in_flight = 0
        self._last_id = before.last_id
        self._progress = progress
        self._stop = stop
        self._line = asyncio.Lock()
        self._changed = asyncio.Event()
        self._writes: set[asyncio.Task[None]] = set()
        self._show()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.gather(*self._writes, return_exceptions=True)

    async def reserve(self, role: str, most: int | None) -> Call:
        """A call that may be sent now. With a budget, waits while what is in flight might leave room for it.

        Raises BudgetError once that cannot be, DrainedError if the run was asked to stop meanwhile.
        """
        if self._budget is None:
            call = self._opened(role, most)
            self._later(self._spending.reserve(call))
            return call
        async with self._line:  # first come, first served: a cheap ask must not starve a dear one
            while not self._fits(most or 0, self._budget):
                self._changed.clear()
                await self._changed.wait()
            call = self._opened(role, most)
        try:
            await self._spending.reserve(call)
        except BaseException:
            self.settle(call, 0)  # it was not sent
            raise
        return call

    def settle(self, call: Call, cost: int | None) -> None:
        """Replace a reservation by the true cost; None is not known, and counts as spent at its most.

        Room is free only once the disk knows of it, or a kill would leave more reserved there than the budget holds.
        """
        if cost is None:
            self._close(call, None)
        else:
            self._later(self._settled_on_disk(call, cost))

    async def _settled_on_disk(self, call: Call, cost: int) -> None:
        try:
            await self._spending.settle(call, cost)
        except StoreError:  # the disk is full, which stops the run where its answers are saved
            self._close(call, None)
        else:
            self._close(call, cost)

    def _close(self, call: Call, cost: int | None) -> None:
        most = call.most or 0
        counted = most if cost is None else cost
        self._in_flight -= most
        if cost is None:
            self._unknown += counted
        else:
            self._settled += counted
        self._progress.role(call.role).cost_usd += counted / PICODOLLARS
        if self._budget is not None and counted > most:
            self._progress.note(
                f"a call of {call.role} was billed {dollars(counted / PICODOLLARS)}, more than its prompt and max_tokens can "
                "cost; the budget holds only as far as the server keeps to max_tokens"
            )
        self._changed.set()
        self._show()

    def _fits(self, most: int, budget: int) -> bool:
        """Whether a call of this cost may be sent now. Raises BudgetError if it never may, DrainedError when stopping."""
        if self._stop.is_set():
            raise DrainedError
        spent = self._settled + self._unknown
        if spent + most > budget:
            raise BudgetError(self._reached(most, budget))
        return spent + self._in_flight + most <= budget

    def _reached(self, most: int, budget: int) -> str:
        said = [
            dollars(amount / PICODOLLARS) for amount in (budget, self._settled + self._unknown, self._in_flight, most)
        ]
        unknown = (
            f" ({dollars(self._unknown / PICODOLLARS)} of it for calls of unknown outcome, counted at the most they can cost)"
            if self._unknown
            else ""
        )
        return (
            f"the budget of {said[0]} has no room for the next ask: {said[1]} are spent{unknown}, {said[2]} are reserved for "
            f"what is in flight, and the ask could cost {said[3]}; what is in flight is finished and kept; raise budget_usd, or "
            "give a larger --budget-usd, and run the same command again"
        )

    def _opened(self, role: str, most: int | None) -> Call:
        self._last_id += 1
        self._in_flight += most or 0
        self._show()
        return Call(self._last_id, role, most)

    def _later(self, write: Coroutine[Any, Any, None]) -> None:
        """Write without making anybody wait; the writer takes it along with the next group."""
        task = asyncio.create_task(write)
        self._writes.add(task)
        task.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()  # a reservation that nobody waits for; a disk that is full stops the run elsewhere

    def _show(self) -> None:
        money = self._progress.money
        money.spent_usd = (self._settled + self._unknown) / PICODOLLARS
        money.reserved_usd = self._in_flight / PICODOLLARS
        money.budget_usd = None if self._budget is None else self._budget / PICODOLLARS


class Meter:
    """The meter of an ask that costs nothing that is known: it counts nothing."""

    async def begins(self, body: bytes) -> None:
        """A try may be sent once this returns. Raises what `Budget.reserve` raises."""

    def answered(self, usage: Usage) -> None:
        """The try brought an answer, which cost what the server counted."""

    def failed(self, error: RequestError) -> None:
        """The try brought none."""

    def ends(self) -> None:
        """Nobody waits any more; what a try that is still out will cost is not known."""


class PricedMeter(Meter):
    """The meter of an ask that costs something. Each try is a call of its own in the ledger."""

    def __init__(self, name: str, role: Role, ledger: Budget) -> None:
        self._name = name
        self._role = role
        self._ledger = ledger
        self._call: Call | None = None

    async def begins(self, body: bytes) -> None:
        """Reserve the most that the try can cost."""
        self._call = await self._ledger.reserve(self._name, most_picodollars(self._role, body))

    def answered(self, usage: Usage) -> None:
        """Settle the try by what the server counted."""
        self._settle(self._cost(usage.prompt_tokens, usage.completion_tokens))

    def failed(self, error: RequestError) -> None:
        """A refusal costs nothing; of a server's fault, or of silence, nobody knows what was done before."""
        refused = error.status is not None and 300 <= error.status < 500 and error.status != 408
        unsent = error.status is None and not error.billed
        self._settle(0 if refused or unsent else self._cost(*(error.used or (None, None))))

    def ends(self) -> None:
        """Count a try that is still out at its most."""
        self._settle(None)

    def _cost(self, prompt_tokens: int | None, answer_tokens: int | None) -> int | None:
        price = self._role.price_per_million
        if price is None or prompt_tokens is None or answer_tokens is None:
            return None
        return picodollars(price, prompt_tokens, answer_tokens)

    def _settle(self, cost: int | None) -> None:
        if self._call is not None:
            self._ledger.settle(self._call, cost)
            self._call = None


def meters(name: str, role: Role, ledger: Budget | None) -> Callable[[], Meter]:
    """What gives each ask of a role its meter."""
    if ledger is not None and costs(role):
        return lambda: PricedMeter(name, role, ledger)
    free = Meter()
    return lambda: free
