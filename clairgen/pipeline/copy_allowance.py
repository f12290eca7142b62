"""How much of a run's budget may be spent by what its copy says, so that a run that is restored from it knows the most it cost.

The copy says first that the run may come to a sum, and only then it does. A session that is lost has spent no more than what the
copy said last, and all of that counts as spent where the run is restored. The sum is raised in chunks that follow the spending.
"""

from collections.abc import Callable

from clairgen.inference.shared_budget import MoneyChunk


class CopyAllowance:
    """What a run with a budget may come to over all of its sessions, in picodollars; `hurry` is called where that is too little.

    `limit` is the budget.
    """

    def __init__(self, limit: int, hurry: Callable[[], None]) -> None:
        self._limit = limit
        self._hurry = hurry
        self._stated = 0
        self._needed = 0
        self._chunk = MoneyChunk()
        self._lacking = 0  # what the next request may cost, while it waits
        self._is_underway = False
        self._again: Callable[[], None] | None = None

    def covers(self, total: int, most: int, again: Callable[[], None]) -> bool:
        """Whether a request that may cost `most`, and with it the run `total`, may be sent; if not, `again` is called later."""
        self._needed = total
        if total <= self._stated:
            return True
        self._lacking, self._again = most, again
        if not self._is_underway:
            self._hurry()
        return False

    def next_statement(self) -> int:
        """What the copy is to say next: less than before where less is spent, and that holds at once."""
        if self._lacking:
            self._chunk.grow(self._lacking)
        else:
            self._chunk.shrink(self._stated - self._needed)
        self._lacking, self._is_underway = 0, True
        statement = min(self._needed + self._chunk.size, self._limit)
        self._stated = min(self._stated, statement)
        return statement

    def state(self, statement: int) -> None:
        """The copy says so by now."""
        self._stated, self._lacking, self._is_underway = statement, 0, False
        again, self._again = self._again, None
        if again is not None:
            again()
