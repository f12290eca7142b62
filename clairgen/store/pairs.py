"""Pairs in the store: pending, made or failed, with their contrast and what the filter set in force found."""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from clairgen.conversations import is_encodable
from clairgen.keys import pair_id
from clairgen.metrics.contrast import METRICS_VERSION
from clairgen.records import FilterAction, Finding, StoredPair
from clairgen.store.advice import outdated_row
from clairgen.store.completions import now
from clairgen.store.judgements import judgement_rows
from clairgen.store.pair_rows import (
    LOST_BY,
    SELECT_FIGURES,
    SELECT_PAIRS,
    MadePair,
    PairFigures,
    PairRow,
    chosen_text,
    drop_reason,
    finding_rows,
    no_findings_row,
    rejected_text,
    request_rows,
    stored_pair,
    update_rows,
)
from clairgen.store.reader import Reader
from clairgen.store.scores import score_rows, scores_of_pairs
from clairgen.store.statements import Write, messages_row
from clairgen.store.votes import outdated_votes_row

_PAGE = 512
_PAGE_WITHOUT_TEXTS = 4000


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a pair could not be made."""

    task_id: str
    recipe: str
    role: str | None
    reason: str
    detail: str


class Pairs:
    """The pairs of one run. A contrast that older metrics measured is read as None, to be measured again."""

    def __init__(self, reader: Reader, write: Write) -> None:
        self._reader = reader
        self._write = write

    async def save(self, made: MadePair, filter_set: int) -> None:
        """Commit what was made, with its requests, contrast and findings under `filter_set`; a former failure is deleted."""
        identity = pair_id(made.outcome.task_id, made.outcome.recipe)
        prompt_hash, prompt = messages_row(made.prompt)
        await self._write(
            prompt,
            *request_rows(identity, made),
            *judgement_rows(made.outcome),
            *score_rows(identity, made.outcome),
            outdated_row(identity, chosen_text(made.outcome)),
            outdated_votes_row(identity, chosen_text(made.outcome), rejected_text(made.outcome)),
            *update_rows(identity, made, prompt_hash, filter_set),
            no_findings_row(identity, filter_set),
            *finding_rows(identity, filter_set, made.findings),
            ("DELETE FROM failures WHERE pair_id = ?", (identity,)),
        )

    async def save_findings(self, identity: str, findings: Sequence[Finding], filter_set: int) -> None:
        """Commit what a filter set finds in a pair, instead of what it found before."""
        update = ("UPDATE pairs SET drop_reason = ? WHERE id = ?", (drop_reason(findings), identity))
        rows = finding_rows(identity, filter_set, findings)
        await self._write(update, no_findings_row(identity, filter_set), *rows)

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
        """Make failed pairs pending again; returns how many."""
        count = sum(numbers.get("failed", 0) for numbers in (await self.statuses()).values())
        await self._write(("UPDATE pairs SET status = 'pending' WHERE status = 'failed'", ()))
        return count

    async def statuses(self, limit: int | None = None) -> dict[str, dict[str, int]]:
        """Counts by recipe and status, among the first `limit` tasks."""
        sql = "SELECT recipe, status, count(*) AS count FROM pairs WHERE position <= ? GROUP BY recipe, status"
        found = defaultdict[str, dict[str, int]](dict)
        for row in await self._reader.rows(sql, (limit if limit is not None else 2**62,)):
            found[row["recipe"]][row["status"]] = row["count"]
        return dict(found)

    async def failures(self) -> list[tuple[str, str, int, str]]:
        """Failures as (recipe, reason, count, one detail), most frequent first."""
        sql = (
            "SELECT f.recipe, f.reason, count(*) AS count, min(f.detail) AS detail "
            "FROM failures f JOIN pairs p ON p.id = f.pair_id "
            "WHERE p.status = 'failed' GROUP BY f.recipe, f.reason ORDER BY count DESC, f.recipe, f.reason"
        )
        return [(row["recipe"], row["reason"], row["count"], row["detail"]) for row in await self._reader.rows(sql)]

    async def dropped(self) -> dict[str, dict[str, int]]:
        """Counts of made pairs that the filter set in force drops, by recipe and reason."""
        sql = (
            "SELECT recipe, drop_reason, count(*) AS count FROM pairs WHERE status = 'made' AND drop_reason IS NOT NULL "
            "GROUP BY recipe, drop_reason ORDER BY count DESC"
        )
        found = defaultdict[str, dict[str, int]](dict)
        for row in await self._reader.rows(sql):
            found[row["recipe"]][row["drop_reason"]] = row["count"]
        return dict(found)

    async def left_out(self, recipe: str, lost_by: Sequence[str]) -> dict[str, int]:
        """How many pairs `made` leaves out with the same arguments, by the reason for which they are lost."""
        sql = (
            f"SELECT {LOST_BY} AS reason, count(*) AS count FROM pairs p WHERE recipe = ? AND status = 'made' "
            "AND reason IS NOT NULL AND reason NOT IN (SELECT value FROM json_each(?)) "
            "GROUP BY reason ORDER BY count DESC, reason"
        )
        return {row["reason"]: row["count"] for row in await self._reader.rows(sql, (recipe, json.dumps(lost_by)))}

    async def cost_usd(self, recipe: str) -> float | None:
        """Cost of all completions that a recipe's pairs took; shared ones count in every recipe. None without prices."""
        sql = (
            "SELECT sum(cost_usd) FROM completions WHERE cost_usd IS NOT NULL AND key IN ("
            "SELECT r.key FROM pair_requests r JOIN pairs p ON p.id = r.pair_id WHERE p.recipe = ? AND p.status = 'made')"
        )
        cost: float | None = await self._reader.value(sql, (recipe,))
        return cost

    async def uncovered(self, filter_set: int) -> int:
        """How many made pairs the filter set has not seen."""
        sql = "SELECT count(*) FROM pairs WHERE status = 'made' AND filter_set IS NOT ?"
        return int(await self._reader.value(sql, (filter_set,)))

    async def made(self, recipe: str, lost_by: Sequence[str] | None = None) -> AsyncIterator[StoredPair]:
        """All made pairs of a recipe in the order of their tasks, a page in memory at a time.

        With `lost_by` only those that are kept, and those that are lost for one of these reasons: of the first filter that drops
        them, or of no decision.
        """
        async for _, stored in self.placed(recipe, lost_by):
            yield stored

    async def placed(
        self, recipe: str, lost_by: Sequence[str] | None = None, page: int = _PAGE
    ) -> AsyncGenerator[tuple[int, StoredPair], None]:
        """The same with their positions; `page` is how many are in memory."""
        async for rows in self._pages(SELECT_PAIRS, recipe, page, lost_by):
            for row, stored in zip(rows, await self._stored(rows), strict=True):
                yield row["position"], stored

    async def figures(self, recipe: str) -> AsyncIterator[list[PairFigures]]:
        """What reports count of all made pairs of a recipe, in the order of their tasks, without texts; a page at a time."""
        async for page in self._pages(SELECT_FIGURES, recipe, _PAGE_WITHOUT_TEXTS):
            yield [PairFigures._make(row) for row in page]

    async def unmeasured(self, recipe: str, tokenizer: str) -> int:
        """How many pairs of a recipe have no contrast by this version of the metrics under a tokenizer."""
        sql = (
            "SELECT count(*) FROM pairs WHERE recipe = ? AND status = 'made' AND parse_status = 'ok' "
            "AND (levenshtein IS NULL OR metrics_version <> ? OR tokenizer <> ?)"
        )
        return int(await self._reader.value(sql, (recipe, METRICS_VERSION, tokenizer)))

    async def made_with_ids(self, ids: Iterable[str]) -> AsyncIterator[StoredPair]:
        """The made pairs among those with these ids, a page in memory at a time."""
        sql = f"{SELECT_PAIRS} WHERE p.status = 'made' AND p.id IN (SELECT value FROM json_each(?)) ORDER BY p.position"
        remaining = iter(ids)
        while page := list(islice(remaining, _PAGE)):
            rows = await self._reader.rows(sql, (json.dumps(page),))
            for stored in await self._stored(rows):
                yield stored

    async def of_task(self, task_id: str, recipes: Sequence[str]) -> int:
        """How many pairs of these recipes a task has."""
        marks = ", ".join("?" * len(recipes))
        sql = f"SELECT count(*) FROM pairs WHERE status = 'made' AND id IN ({marks})"
        return int(await self._reader.value(sql, [pair_id(task_id, recipe) for recipe in recipes]))

    async def marked(self) -> dict[str, dict[str, int]]:
        """Counts of made pairs that the filter set in force marks, by recipe and reason."""
        # A cross join is SQLite's way to begin with the marks, of which there are fewer than pairs.
        sql = (
            "SELECT p.recipe, f.reason, count(DISTINCT p.id) AS count FROM filter_results f "
            "CROSS JOIN pairs p ON p.id = f.pair_id AND p.filter_set = f.filter_set "
            "WHERE f.filter_set IN (SELECT DISTINCT filter_set FROM pairs) AND f.action = ? AND p.status = 'made' "
            "GROUP BY p.recipe, f.reason ORDER BY count DESC"
        )
        found = defaultdict[str, dict[str, int]](dict)
        for row in await self._reader.rows(sql, (FilterAction.MARK.value,)):
            found[row["recipe"]][row["reason"]] = row["count"]
        return dict(found)

    async def request_keys(self, identity: str) -> list[str]:
        """The keys of all completions that a pair was made of, chosen and rejected first."""
        return list(await self.purposes(identity))

    async def purposes(self, identity: str) -> dict[str, str]:
        """The same with what each was for: `chosen`, `rejected`, or `request-N` for all others."""
        sql = "SELECT key, purpose FROM pair_requests WHERE pair_id = ? ORDER BY purpose"
        return {row["key"]: row["purpose"] for row in await self._reader.rows(sql, (identity,))}

    async def find(self, start: str) -> list[StoredPair]:
        """Made pairs whose id begins with `start`, or whose task has that id; at most ten."""
        if not is_encodable(start):
            return []
        escaped = start.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        where = "WHERE p.status = 'made' AND (p.id LIKE ? ESCAPE '\\' OR p.task_id = ?)"
        sql = f"{SELECT_PAIRS} {where} ORDER BY p.position LIMIT 10"
        return await self._stored(await self._reader.rows(sql, (f"{escaped}%", start)))

    async def _pages(
        self, select: str, recipe: str, size: int, lost_by: Sequence[str] | None = None
    ) -> AsyncIterator[Sequence[sqlite3.Row]]:
        """Rows of the made pairs of a recipe in the order of their tasks, so many at a time; for `lost_by` see `made`."""
        after = 0
        where = "WHERE p.recipe = ? AND p.status = 'made' AND p.position > ?"
        if lost_by is not None:
            where += f" AND ({LOST_BY} IS NULL OR {LOST_BY} IN (SELECT value FROM json_each(?)))"
        given = () if lost_by is None else (json.dumps(lost_by),)
        sql = f"{select} {where} ORDER BY p.position LIMIT ?"
        while rows := await self._reader.rows(sql, (recipe, after, *given, size)):
            yield rows
            after = rows[-1]["position"]

    async def _stored(self, rows: Sequence[sqlite3.Row]) -> list[StoredPair]:
        """The pairs of rows of SELECT_PAIRS."""
        pairs = [PairRow._make(row) for row in rows]
        findings = await self._findings(pairs)
        scores = await scores_of_pairs(self._reader, [pair.id for pair in pairs])
        return [stored_pair(pair, findings.get(pair.id, ()), scores.get(pair.id, ())) for pair in pairs]

    async def _findings(self, pairs: Sequence[PairRow]) -> Mapping[str, tuple[Finding, ...]]:
        """What each pair's own filter set found, by the pair's id."""
        by_set = defaultdict[int, list[str]](list)
        for pair in pairs:
            by_set[pair.filter_set].append(pair.id)
        found: dict[str, tuple[Finding, ...]] = {}
        for filter_set, ids in by_set.items():
            marks = ", ".join("?" * len(ids))
            sql = (
                "SELECT pair_id, filter, action, reason, value FROM filter_results "
                f"WHERE filter_set = ? AND pair_id IN ({marks}) ORDER BY pair_id, position"
            )
            for row in await self._reader.rows(sql, (filter_set, *ids)):
                finding = Finding(row["filter"], FilterAction(row["action"]), row["reason"], row["value"])
                found[row["pair_id"]] = (*found.get(row["pair_id"], ()), finding)
        return found


def summed_counts(counts: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Counts by recipe and status or reason, of several runs together."""
    found = defaultdict[str, Counter[str]](Counter)
    for one in counts:
        for name, numbers in one.items():
            found[name] += Counter(numbers)
    return {name: dict(numbers) for name, numbers in found.items()}
