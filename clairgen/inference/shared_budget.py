"""One budget over several sessions of a process, each of which keeps its own account on disk as well (`pipeline/budget`)."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from clairgen.config.prices import PICODOLLARS, dollars, plain_figure, rounded_up
from clairgen.errors import BudgetError

_FIRST_REQUESTS: Final = 16  # that a first chunk is for, before it is known how many are needed

Again = Callable[[], None]
"""Tries once more to reserve; two are the same if they are equal."""


class WiderBudget(Protocol):
    """A budget beyond that of one run, in which there has to be room as well. Amounts are picodollars."""

    @property
    def limit_usd(self) -> float:
        """What all that share it may cost."""

    @property
    def used_usd(self) -> float:
        """What is spent, and reserved for requests in flight, as far as is known here."""

    def reserve(self, most: int, again: Again) -> bool:
        """Reserve the most that a request can cost; False if there is no room, and then `again` is called later.

        `again` stands for the session. Raises BudgetError if there can never be room.
        """

    def settle(self, most: int, counted: int) -> None:
        """A reservation of `most` came to `counted`."""

    def serve(self) -> None:
        """Let those that wait try again."""

    def join(self) -> None:
        """A session begins."""

    def leave(self, again: Again) -> None:
        """The session has ended."""


@dataclass(slots=True)
class MoneyChunk:
    """How much more than is needed now is asked for at once, `size` picodollars, so that few requests wait for the answer."""

    size: int = 0

    def grow(self, most: int) -> None:
        """A request that may cost `most` found no room."""
        self.size = max(2 * self.size, _FIRST_REQUESTS * most)

    def shrink(self, unused: int) -> None:
        """So much was not used when it was asked for again."""
        if unused > self.size // 2:
            self.size //= 2


@dataclass(slots=True, eq=False)
class MoneyQueue:
    """Who waits for money: first come, first served, so that cheap requests do not starve others."""

    _waiting: deque[Again] = field(default_factory=deque)
    _turn: Again | None = None

    def is_turn_of(self, again: Again) -> bool:
        """Whether nobody else is to be served before it."""
        return self._turn == again or not self._waiting

    def served(self) -> None:
        """The one whose turn it was got what it wanted; what it wants next waits behind the others."""
        self._turn = None

    def wait(self, again: Again) -> None:
        """Wait: at the beginning if it was its turn and there was no room yet, else at the end."""
        if self._turn == again:
            self._waiting.appendleft(again)
        elif again not in self._waiting:
            self._waiting.append(again)

    def leave(self, again: Again) -> None:
        """It no longer wants anything."""
        if again in self._waiting:
            self._waiting.remove(again)

    def serve(self) -> None:
        """Let those who wait try again, until the first of them finds that there is still no room."""
        while self._waiting:
            self._turn = again = self._waiting.popleft()
            again()
            self._turn = None
            if self._waiting and self._waiting[0] == again:
                return


class SharedBudget:
    """A `WiderBudget`. Give one object to the `Runtime` of every session that is to share it, all in one event loop.

    `spent_before_usd` is what the runs of these sessions have cost before, as `clairgen.pipeline.budget.spent_usd` sums it up
    from disk: after a restart, or a kill, it includes all that can have been billed. `how_to_raise` is what the error advises.
    A request is sent only if it fits this budget and that of its run.
    """

    def __init__(
        self,
        limit_usd: float,
        spent_before_usd: float = 0.0,
        *,
        how_to_raise: str = "give SharedBudget a larger limit_usd",
    ) -> None:
        self._limit = int(limit_usd * PICODOLLARS)
        self._spent = round(spent_before_usd * PICODOLLARS)
        self._reserved = 0
        self._how_to_raise = how_to_raise
        self._queue = MoneyQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sessions = 0

    @property
    def limit_usd(self) -> float:
        """What all sessions together may cost."""
        return self._limit / PICODOLLARS

    @property
    def used_usd(self) -> float:
        """What is spent, and reserved for requests in flight."""
        return (self._spent + self._reserved) / PICODOLLARS

    def reserve(self, most: int, again: Again) -> bool:
        """See `WiderBudget`; those that wait take turns."""
        if self._spent + most > self._limit:
            raise self._exhausted(most)
        if self._queue.is_turn_of(again) and self._spent + self._reserved + most <= self._limit:
            self._queue.served()
            self._reserved += most
            return True
        self._queue.wait(again)
        return False

    def settle(self, most: int, counted: int) -> None:
        """A reservation of `most` came to `counted`."""
        self._reserved -= most
        self._spent += counted

    def serve(self) -> None:
        """Let the sessions that wait try again, each in its turn."""
        self._queue.serve()

    def join(self) -> None:
        """A session begins. Raises RuntimeError while sessions of another event loop share it, which would not be woken up."""
        loop = asyncio.get_running_loop()
        if self._sessions and self._loop is not loop:
            raise RuntimeError("a budget can be shared by sessions of one event loop only")
        self._loop = loop
        self._sessions += 1

    def leave(self, again: Again) -> None:
        """The session has ended."""
        self._sessions -= 1
        self._queue.leave(again)
        self._queue.serve()

    def _exhausted(self, most: int) -> BudgetError:
        enough = rounded_up(max(2 * self._limit, max(self._spent + self._reserved, self._limit) + most) / PICODOLLARS)
        return BudgetError(
            f"the budget of {dollars(self.limit_usd)} that several sessions share has no room for the next request: "
            f"{dollars(self._spent / PICODOLLARS)} are spent, {dollars(self._reserved / PICODOLLARS)} are reserved for what is "
            f"in flight, and the request could cost {dollars(most / PICODOLLARS)}; what is in flight is finished and kept; "
            f"{self._how_to_raise}, such as {plain_figure(enough)}, and continue the run",
            None,
        )
