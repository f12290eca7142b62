"""One budget over runs on many machines, of which this run has what its coordinator granted: a `WiderBudget`.

What the run has spent is what its own store says. Its grant is a sum that it may reach over all of its sessions, so that a
message which is lost or comes twice changes nothing.
"""

import asyncio

from clairgen.config.prices import PICODOLLARS, dollars, plain_figure, rounded_up
from clairgen.coordination.wire import MoneyGrant, MoneyUse
from clairgen.errors import BudgetError
from clairgen.inference.shared_budget import Again, MoneyChunk, MoneyQueue


class GrantedBudget:
    """See `WiderBudget`. `spent` is what the run has spent before; `hurry` is set when a request finds no room."""

    def __init__(self, budget: int, spent: int, hurry: asyncio.Event, group: str) -> None:
        self._budget = budget
        self._granted = spent
        self._spent = spent
        self._others = 0
        self._silent = 0
        self._reserved = 0
        self._lacking = 0  # what the next request may cost, while it waits
        self._chunk = MoneyChunk()
        self._hurry = hurry
        self._group = group
        self._queue = MoneyQueue()

    @property
    def limit_usd(self) -> float:
        """See `WiderBudget`."""
        return self._budget / PICODOLLARS

    @property
    def used_usd(self) -> float:
        """See `WiderBudget`; of other runs what they have spent by their last reports."""
        return (self._spent + self._reserved + self._others) / PICODOLLARS

    @property
    def spent(self) -> int:
        """What the run has spent over all of its sessions."""
        return self._spent

    def reserve(self, most: int, again: Again) -> bool:
        """See `WiderBudget`."""
        if self._spent + self._others + most > self._budget:
            raise self._exhausted(most)
        if self._queue.is_turn_of(again) and self._spent + self._reserved + most <= self._granted:
            self._queue.served()
            self._reserved += most
            self._lacking = 0
            return True
        self._queue.wait(again)
        if not self._lacking:
            self._chunk.grow(most)
            self._chunk.size = min(self._chunk.size, self._budget)
            self._hurry.set()
        self._lacking = max(self._lacking, most)
        return False

    def settle(self, most: int, counted: int) -> None:
        """See `WiderBudget`."""
        self._reserved -= most
        self._spent += counted

    def serve(self) -> None:
        """See `WiderBudget`."""
        self._queue.serve()

    def join(self) -> None:
        """See `WiderBudget`; there is one session."""

    def leave(self, again: Again) -> None:
        """See `WiderBudget`."""
        self._queue.leave(again)
        self._lacking = 0

    def use(self) -> MoneyUse:
        """What the run has spent, keeps to, and asks for."""
        used = self._spent + self._reserved
        needed = used + self._lacking
        return MoneyUse(
            spent=max(0, self._spent),
            allotted=max(0, self._granted),
            needed=needed,
            wanted=max(needed, used + self._chunk.size),
        )

    def granted(self, grant: MoneyGrant) -> None:
        """Keep to a grant. Where money is scarce, what is not needed now is given back with the next report."""
        self._granted, self._others, self._budget = grant.allotted, grant.others, grant.budget
        self._silent = grant.silent
        self._chunk.shrink(self._granted - (self._spent + self._reserved))
        self._lacking = 0
        self._queue.serve()
        if grant.scarce:
            self._granted = min(self._granted, max(self._spent + self._reserved, 0))
            self._chunk.size = 0

    def _exhausted(self, most: int) -> BudgetError:
        enough = rounded_up(max(2 * self._budget, self._spent + self._others + self._reserved + most) / PICODOLLARS)
        silent = ""
        if self._silent:
            silent = (
                f" ({dollars(self._silent / PICODOLLARS)} of it is held for runs that do not report: continue them, or free it "
                f"with: clairgen coordinator URL --group {self._group} --free RUN)"
            )
        return BudgetError(
            f"the budget of {dollars(self.limit_usd)} of the group {self._group} has no room for the next request: this run has "
            f"spent {dollars(self._spent / PICODOLLARS)}, the others {dollars(self._others / PICODOLLARS)}{silent}, and the "
            f"request could cost {dollars(most / PICODOLLARS)}; what is in flight is finished and kept; when all have ended, "
            f"continue them with a larger --budget-usd, such as {plain_figure(enough)}",
            None,
        )
