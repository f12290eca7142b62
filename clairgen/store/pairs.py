"""Pairs in the store: made, failed or pending, with their contrast and what the filter set in force found."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import aiosqlite

from clairgen.keys import pair_id
from clairgen.records import FilterAction, Finding, StoredPair
from clairgen.store.completions import now
from clairgen.store.messages import messages_row
from clairgen.store.pair_rows import COLUMNS, FROM, POSITION, MadePair, ask_rows, finding_rows, stored_pair, update_row

_PAGE = 512


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a pair could not be made."""

    task_id: str
    recipe: str
    role: str | None
    reason: str
    detail: str


class Pairs:
    """The pairs of one run. A contrast that older metrics measured is given as None, to be measured anew."""

    def __init__(self, reader: aiosqlite.Connection, write: Callable[..., Awaitable[None]]) -> None:
        self._reader = reader
        self._write = write

    async def save(self, made: MadePair, filter_set: int) -> None:
        """Commit a pair with what made it, its contrast and its findings under `filter_set`; its failure, if any, is over."""
        identity = pair_id(made.pair.task_id, made.pair.recipe)
        prompt_hash, prompt = messages_row(made.prompt)
        await self._write(
            prompt,
            *ask_rows(identity, made.pair),
            update_row(identity, made, prompt_hash, filter_set),
            *finding_rows(identity, filter_set, made.findings),
            ("DELETE FROM failures WHERE pair_id = ?", (identity,)),
        )

    async def fail(self, failure: Failure) -> None:
        """Commit that a pair could not be made."""
        identity = pair_id(failure.task_id, failure.recipe)
        sql = (
            "INSERT OR REPLACE INTO failures (pair_id, task_id, recipe, role, reason, detail, failed_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        row = (identity, failure.task_id, failure.recipe, failure.role, failure.reason, failure.detail, now())
        await self._write((sql, row), ("UPDATE pairs SET status = 'failed' WHERE id = ?", (identity,)))

    async def retry_failed(self) -> int:
        """Make failed pairs pending again; tell how many."""
        count = sum(numbers.get("failed", 0) for numbers in (await self.statuses()).values())
        await self._write(("UPDATE pairs SET status = 'pending' WHERE status = 'failed'", ()))
        return count

    async def make_again(self, recipe: str) -> None:
        """Make all pairs of a recipe pending, since what they are made of has changed; their completions stay."""
        await self._write(("UPDATE pairs SET status = 'pending' WHERE recipe = ?", (recipe,)))

    async def statuses(self, limit: int | None = None) -> dict[str, dict[str, int]]:
        """Counts by recipe and status, among the first `limit` tasks."""
        sql = "SELECT recipe, status, count(*) FROM pairs WHERE position <= ? GROUP BY recipe, status"
        found: dict[str, dict[str, int]] = {}
        async with self._reader.execute(sql, (limit if limit is not None else 2**62,)) as cursor:
            async for recipe, status, count in cursor:
                found.setdefault(recipe, {})[status] = count
        return found

    async def failures(self) -> list[tuple[str, str, int, str]]:
        """Failures as (recipe, reason, count, one detail), most frequent first."""
        sql = "SELECT recipe, reason, count(*), min(detail) FROM failures GROUP BY recipe, reason ORDER BY 3 DESC, 1, 2"
        async with self._reader.execute(sql) as cursor:
            return [(row[0], row[1], row[2], row[3]) async for row in cursor]

    async def dropped(self) -> dict[str, dict[str, int]]:
        """Counts of made pairs that the filter set in force drops, by recipe and reason."""
        sql = (
            "SELECT recipe, drop_reason, count(*) FROM pairs WHERE status = 'made' AND drop_reason IS NOT NULL "
            "GROUP BY recipe, drop_reason ORDER BY 3 DESC"
        )
        found: dict[str, dict[str, int]] = {}
        async with self._reader.execute(sql) as cursor:
            async for recipe, reason, count in cursor:
                found.setdefault(recipe, {})[reason] = count
        return found

    async def cost_usd(self, recipe: str) -> float | None:
        """What the answers that a recipe's pairs are made of cost; shared ones count in every recipe. None without prices."""
        sql = (
            "SELECT sum(cost_usd) FROM completions WHERE key IN ("
            "SELECT a.key FROM pair_asks a JOIN pairs p ON p.id = a.pair_id WHERE p.recipe = ? AND p.status = 'made')"
        )
        async with self._reader.execute(sql, (recipe,)) as cursor:
            row = await cursor.fetchone()
        return row[0] if row else None

    async def uncovered(self, filter_set: int) -> int:
        """How many made pairs the filter set has not seen."""
        sql = "SELECT count(*) FROM pairs WHERE status = 'made' AND filter_set IS NOT ?"
        async with self._reader.execute(sql, (filter_set,)) as cursor:
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def made(self, recipe: str) -> AsyncIterator[StoredPair]:
        """All made pairs of a recipe in the order of their tasks, a page in memory at a time."""
        after = 0
        where = "WHERE p.recipe = ? AND p.status = 'made' AND p.position > ?"
        sql = f"SELECT {COLUMNS} {FROM} {where} ORDER BY p.position LIMIT {_PAGE}"
        while True:
            async with self._reader.execute(sql, (recipe, after)) as cursor:
                rows = list(await cursor.fetchall())
            if not rows:
                return
            findings = await self._findings([row[0] for row in rows])
            for row in rows:
                yield stored_pair(row, findings.get(row[0], ()))
            after = rows[-1][POSITION]

    async def find(self, start: str) -> list[StoredPair]:
        """Made pairs whose id begins with `start`, or whose task has that id; at most ten."""
        escaped = start.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        sql = (
            f"SELECT {COLUMNS} {FROM} WHERE p.status = 'made' AND (p.id LIKE ? ESCAPE '\\' OR p.task_id = ?) "
            "ORDER BY p.position LIMIT 10"
        )
        async with self._reader.execute(sql, (f"{escaped}%", start)) as cursor:
            rows = list(await cursor.fetchall())
        findings = await self._findings([row[0] for row in rows])
        return [stored_pair(row, findings.get(row[0], ())) for row in rows]

    async def _findings(self, ids: Sequence[str]) -> Mapping[str, tuple[Finding, ...]]:
        marks = ", ".join("?" * len(ids))
        sql = (
            "SELECT r.pair_id, r.filter, r.action, r.reason, r.value FROM filter_results r JOIN pairs p ON p.id = r.pair_id "
            f"AND p.filter_set = r.filter_set WHERE r.pair_id IN ({marks}) ORDER BY r.pair_id, r.position"
        )
        found: dict[str, tuple[Finding, ...]] = {}
        async with self._reader.execute(sql, ids) as cursor:
            async for identity, name, action, reason, value in cursor:
                found[identity] = (*found.get(identity, ()), Finding(name, FilterAction(action), reason, value))
        return found
