"""Pairs in the store: made, failed or pending, with their contrast and what the filter set in force found."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from clairgen.keys import pair_id
from clairgen.records import FilterAction, Finding, ParseStatus, StoredPair
from clairgen.store.advice import outdated_row
from clairgen.store.completions import now
from clairgen.store.messages import messages_row
from clairgen.store.pair_rows import (
    COLUMNS,
    FROM,
    POSITION,
    MadePair,
    ask_rows,
    drop_reason,
    finding_rows,
    judgement_rows,
    stored_pair,
    update_row,
)
from clairgen.store.reader import Reader

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

    def __init__(self, reader: Reader, write: Callable[..., Awaitable[None]]) -> None:
        self._reader = reader
        self._write = write

    async def save(self, made: MadePair, filter_set: int) -> None:
        """Commit a pair with what made it, its contrast and its findings under `filter_set`; its failure, if any, is over."""
        identity = pair_id(made.pair.task_id, made.pair.recipe)
        prompt_hash, prompt = messages_row(made.prompt)
        await self._write(
            prompt,
            *ask_rows(identity, made.pair, made.asked),
            *judgement_rows(made.pair),
            outdated_row(identity, made.pair.chosen.text if made.pair.chosen else None),
            update_row(identity, made, prompt_hash, filter_set),
            *finding_rows(identity, filter_set, made.findings),
            ("DELETE FROM failures WHERE pair_id = ?", (identity,)),
        )

    async def save_findings(self, identity: str, findings: Sequence[Finding], filter_set: int) -> None:
        """Commit what a filter set finds in a pair, instead of what it found before."""
        verdict = ("UPDATE pairs SET drop_reason = ? WHERE id = ?", (drop_reason(findings), identity))
        await self._write(verdict, *finding_rows(identity, filter_set, findings))

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

    async def statuses(self, limit: int | None = None) -> dict[str, dict[str, int]]:
        """Counts by recipe and status, among the first `limit` tasks."""
        sql = "SELECT recipe, status, count(*) FROM pairs WHERE position <= ? GROUP BY recipe, status"
        found: dict[str, dict[str, int]] = {}
        for recipe, status, count in await self._reader.rows(sql, (limit if limit is not None else 2**62,)):
            found.setdefault(recipe, {})[status] = count
        return found

    async def failures(self) -> list[tuple[str, str, int, str]]:
        """Failures as (recipe, reason, count, one detail), most frequent first."""
        sql = (
            "SELECT f.recipe, f.reason, count(*), min(f.detail) FROM failures f JOIN pairs p ON p.id = f.pair_id "
            "WHERE p.status = 'failed' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
        )
        return [(row[0], row[1], row[2], row[3]) for row in await self._reader.rows(sql)]

    async def dropped(self) -> dict[str, dict[str, int]]:
        """Counts of made pairs that the filter set in force drops, by recipe and reason."""
        sql = (
            "SELECT recipe, drop_reason, count(*) FROM pairs WHERE status = 'made' AND drop_reason IS NOT NULL "
            "GROUP BY recipe, drop_reason ORDER BY 3 DESC"
        )
        found: dict[str, dict[str, int]] = {}
        for recipe, reason, count in await self._reader.rows(sql):
            found.setdefault(recipe, {})[reason] = count
        return found

    async def cost_usd(self, recipe: str) -> float | None:
        """What all the answers that a recipe's pairs asked for cost; shared ones count in every recipe. None without prices."""
        sql = (
            "SELECT sum(cost_usd) FROM completions WHERE key IN ("
            "SELECT a.key FROM pair_requests a JOIN pairs p ON p.id = a.pair_id WHERE p.recipe = ? AND p.status = 'made')"
        )
        row = await self._reader.row(sql, (recipe,))
        return row[0] if row else None

    async def uncovered(self, filter_set: int) -> int:
        """How many made pairs the filter set has not seen."""
        sql = "SELECT count(*) FROM pairs WHERE status = 'made' AND filter_set IS NOT ?"
        row = await self._reader.row(sql, (filter_set,))
        return int(row[0]) if row else 0

    async def made(self, recipe: str) -> AsyncIterator[StoredPair]:
        """All made pairs of a recipe in the order of their tasks, a page in memory at a time."""
        after = 0
        where = "WHERE p.recipe = ? AND p.status = 'made' AND p.position > ?"
        sql = f"SELECT {COLUMNS} {FROM} {where} ORDER BY p.position LIMIT {_PAGE}"
        while True:
            rows = await self._reader.rows(sql, (recipe, after))
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
        rows = await self._reader.rows(sql, (f"{escaped}%", start))
        findings = await self._findings([row[0] for row in rows])
        return [stored_pair(row, findings.get(row[0], ())) for row in rows]

    async def _findings(self, ids: Sequence[str]) -> Mapping[str, tuple[Finding, ...]]:
        marks = ", ".join("?" * len(ids))
        sql = (
            "SELECT r.pair_id, r.filter, r.action, r.reason, r.value FROM filter_results r JOIN pairs p ON p.id = r.pair_id "
            f"AND p.filter_set = r.filter_set WHERE r.pair_id IN ({marks}) ORDER BY r.pair_id, r.position"
        )
        found: dict[str, tuple[Finding, ...]] = {}
        for identity, name, action, reason, value in await self._reader.rows(sql, ids):
            found[identity] = (*found.get(identity, ()), Finding(name, FilterAction(action), reason, value))
        return found


_OF_MADE = "FROM judgements a JOIN pairs p ON p.task_id = a.task_id AND p.recipe = a.recipe AND p.status = 'made'"


@dataclass(frozen=True, slots=True)
class JudgementNumbers:
    """Verdicts of a judge: first position, second position, ties, unreadable; of those in both orders, how many flipped."""

    role: str
    first: int
    second: int
    ties: int
    refused: int
    flipped: int
    in_both_orders: int


class Judgements:
    """The judgements of one run, of pairs that are made."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def numbers(self, recipe: str) -> list[JudgementNumbers]:
        """Counts of a recipe's judgements, a judge each."""
        sql = f"SELECT a.role, a.choice, a.status, count(*) {_OF_MADE} WHERE a.recipe = ? GROUP BY 1, 2, 3 ORDER BY 1"
        counts: dict[str, dict[str, int]] = {}
        for role, choice, status, count in await self._reader.rows(sql, (recipe,)):
            kind = str(choice) if choice is not None else "tie" if status == ParseStatus.DECLARED_TIE else "refused"
            of_role = counts.setdefault(role, {})
            of_role[kind] = of_role.get(kind, 0) + count
        sql = (
            f"SELECT a.role, count(*), total(a.choice = b.choice) {_OF_MADE} JOIN judgements b ON b.task_id = a.task_id "
            "AND b.recipe = a.recipe AND b.role = a.role AND b.round = a.round AND b.shown_first = 2 "
            "WHERE a.recipe = ? AND a.shown_first = 1 AND a.choice IS NOT NULL AND b.choice IS NOT NULL GROUP BY a.role"
        )
        both = {role: (int(flipped), count) for role, count, flipped in await self._reader.rows(sql, (recipe,))}
        return [
            JudgementNumbers(
                role,
                of_role.get("1", 0),
                of_role.get("2", 0),
                of_role.get("tie", 0),
                of_role.get("refused", 0),
                *both.get(role, (0, 0)),
            )
            for role, of_role in counts.items()
        ]
