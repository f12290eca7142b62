"""Spending in the store: every call that costs something, with its maximum cost and, once known, its cost.

Amounts are picodollars (1e-12 US dollars). A call is recorded before it is sent and settled after its answer; the two may
be committed in either order. One that is never settled, because the process was killed or the outcome is unknown, counts
with its maximum.
"""

from dataclasses import dataclass

from clairgen.store.completions import now
from clairgen.store.reader import Reader
from clairgen.store.statements import Statement, Write

_LOST = "lost"  # the role of what a lost session of the run may have spent
_LARGEST = 2**62  # token counts come from servers, and SQLite's integers end at 2**63


@dataclass(frozen=True, slots=True)
class Call:
    """A call that may cost something; `max_cost` is None where nothing limits it."""

    id: int
    role: str
    max_cost: int | None


@dataclass(frozen=True, slots=True)
class Spent:
    """Sums over a run's calls: `settled` is what is known, `unsettled` the maximum cost of the other `open_calls`.

    `uncounted_calls` of those have no maximum and count as nothing.
    """

    settled: int
    unsettled: int
    calls: int
    open_calls: int
    last_id: int
    uncounted_calls: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.settled + other.settled,
            self.unsettled + other.unsettled,
            self.calls + other.calls,
            self.open_calls + other.open_calls,
            max(self.last_id, other.last_id),
            self.uncounted_calls + other.uncounted_calls,
        )

    @property
    def total(self) -> int:
        """What the run can have cost."""
        return self.settled + self.unsettled


class Spending:
    """The calls of one run that may cost something."""

    def __init__(self, reader: Reader, write: Write) -> None:
        self._reader = reader
        self._write = write

    async def reserve(self, call: Call) -> None:
        """Commit that a call is about to be sent."""
        await self._write(reservation(call))

    async def settle(self, call: Call, cost: int) -> None:
        """Commit what a call cost."""
        await self._write(settlement(call, cost))

    async def count_lost(self, allowed: int) -> None:
        """Commit that a lost session of the run may have come to so much."""
        await self._write(lost_spending(allowed))

    async def total(self) -> Spent:
        """The sums of the run so far."""
        sql = (
            "SELECT total(cost) AS settled, total(iif(cost IS NULL, max_cost, 0)) AS unsettled, count(*) AS calls, "
            "count(*) - count(cost) AS open_calls, coalesce(max(id), 0) AS last_id, "
            "total(cost IS NULL AND max_cost IS NULL) AS uncounted_calls FROM spending"
        )
        [row] = await self._reader.rows(sql)
        return Spent(
            int(row["settled"]),
            int(row["unsettled"]),
            row["calls"],
            row["open_calls"],
            row["last_id"],
            int(row["uncounted_calls"]),
        )


def lost_spending(allowed: int) -> Statement:
    """The statement after which a run counts at least so much as spent: what a lost session of it may have come to."""
    sql = (
        "INSERT INTO spending (id, role, max_cost, started_at) SELECT last + 1, ?, ? - spent, ? FROM "
        "(SELECT coalesce(max(id), 0) AS last, CAST(total(cost) AS INTEGER) + "
        "CAST(total(iif(cost IS NULL, max_cost, 0)) AS INTEGER) AS spent FROM spending) "
        "WHERE spent < ?"
    )
    return sql, (_LOST, allowed, now(), allowed)


def reservation(call: Call) -> Statement:
    """The statement that records a call before it is sent."""
    sql = "INSERT OR IGNORE INTO spending (id, role, max_cost, started_at) VALUES (?, ?, ?, ?)"
    return sql, (call.id, call.role, call.max_cost, now())


def settlement(call: Call, cost: int) -> Statement:
    """The statement that records what a call cost."""
    sql = (
        "INSERT INTO spending (id, role, max_cost, started_at, cost) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET cost = excluded.cost"
    )
    return sql, (call.id, call.role, call.max_cost, now(), min(cost, _LARGEST))
