"""Spending: every call to a model that costs something, with the most that it can cost and, once known, what it did cost.

Amounts are picodollars. A call is recorded before it is sent and settled after its answer, in either order of arrival on
disk; one that never was, because the process was killed or the outcome is unknown, counts at its most.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from clairgen.store.completions import now
from clairgen.store.reader import Reader

_LARGEST = 2**62  # what a server says that it counted is not to be trusted with SQLite's integers


@dataclass(frozen=True, slots=True)
class Call:
    """A call that may cost something; `most` is None where nothing bounds it."""

    id: int
    role: str
    most: int | None


@dataclass(frozen=True, slots=True)
class Spent:
    """Sums over a run's calls: `settled` is what is known, `unsettled` the most that the `open_calls` others can have cost."""

    settled: int
    unsettled: int
    calls: int
    open_calls: int
    last_id: int


class Spending:
    """The calls of one run that may cost something."""

    def __init__(self, reader: Reader, write: Callable[..., Awaitable[None]]) -> None:
        self._reader = reader
        self._write = write

    async def reserve(self, call: Call) -> None:
        """Commit that a call is about to be sent."""
        sql = "INSERT OR IGNORE INTO spending (id, role, most, begun_at) VALUES (?, ?, ?, ?)"
        await self._write((sql, (call.id, call.role, call.most, now())))

    async def settle(self, call: Call, cost: int) -> None:
        """Commit what a call cost."""
        sql = (
            "INSERT INTO spending (id, role, most, begun_at, cost) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET cost = excluded.cost"
        )
        await self._write((sql, (call.id, call.role, call.most, now(), min(cost, _LARGEST))))

    async def total(self) -> Spent:
        """The sums of the run so far."""
        sql = (
            "SELECT total(cost), total(iif(cost IS NULL, most, 0)), count(*), count(*) - count(cost), "
            "coalesce(max(id), 0) FROM spending"
        )
        row = await self._reader.row(sql) or (0, 0, 0, 0, 0)
        return Spent(int(row[0]), int(row[1]), row[2], row[3], row[4])
