"""Pairs in the store: made, failed or pending, with their contrast and what the filter set in force found."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiosqlite

from clairgen.errors import AskError
from clairgen.keys import pair_id
from clairgen.metrics import METRICS_VERSION
from clairgen.records import Answer, Contrast, FilterAction, Finding, Message, Pair, ParseStatus, StoredPair, Task
from clairgen.store.completions import now
from clairgen.store.messages import messages_of, messages_row
from clairgen.store.writer import Statement

_PAGE = 512
_COLUMNS = (
    "p.id, p.task_id, p.recipe, m.body, p.chosen, p.rejected, p.chosen_finish_reason, p.rejected_finish_reason, "
    "p.chosen_model, p.rejected_model, p.reasoning, p.parse_status, p.parser_version, p.levenshtein, p.jaccard, "
    "p.length_ratio, p.tokeniser, p.metrics_version, p.position, a.key, b.key, iif(p.chosen IS NULL, c.text, NULL)"
)
_POSITION = 18  # of p.position among the columns
_FROM = (
    "FROM pairs p JOIN messages m ON m.hash = p.prompt "
    "LEFT JOIN pair_asks a ON a.pair_id = p.id AND a.part = 'chosen' "
    "LEFT JOIN pair_asks b ON b.pair_id = p.id AND b.part = 'rejected' "
    "LEFT JOIN completions c ON c.key = a.key"
)


@dataclass(frozen=True, slots=True)
class MadePair:
    """A pair on its way into the store."""

    pair: Pair
    prompt: tuple[Message, ...]
    contrast: Contrast | None
    findings: tuple[Finding, ...]


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
            *_asks(identity, made.pair),
            _update(identity, made, prompt_hash, filter_set),
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
        sql = f"SELECT {_COLUMNS} {_FROM} {where} ORDER BY p.position LIMIT {_PAGE}"
        while True:
            async with self._reader.execute(sql, (recipe, after)) as cursor:
                rows = list(await cursor.fetchall())
            if not rows:
                return
            findings = await self._findings([row[0] for row in rows])
            for row in rows:
                yield _stored_pair(row, findings.get(row[0], ()))
            after = rows[-1][_POSITION]

    async def find(self, start: str) -> list[StoredPair]:
        """Made pairs whose id begins with `start`, or whose task has that id; at most ten."""
        escaped = start.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        sql = (
            f"SELECT {_COLUMNS} {_FROM} WHERE p.status = 'made' AND (p.id LIKE ? ESCAPE '\\' OR p.task_id = ?) "
            "ORDER BY p.position LIMIT 10"
        )
        async with self._reader.execute(sql, (f"{escaped}%", start)) as cursor:
            rows = list(await cursor.fetchall())
        findings = await self._findings([row[0] for row in rows])
        return [_stored_pair(row, findings.get(row[0], ())) for row in rows]

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


def failure_of(task_id: str, recipe: str, role: str | None, error: AskError) -> Failure:
    """The failure that an ask's error is for its task."""
    return Failure(task_id, recipe, role, error.reason, error.detail)


def finding_rows(identity: str, filter_set: int, findings: Sequence[Finding]) -> list[Statement]:
    """Statements that replace what a filter set found in a pair."""
    sql = "INSERT INTO filter_results (filter_set, pair_id, position, filter, action, reason, value) VALUES (?, ?, ?, ?, ?, ?, ?)"
    return [
        ("DELETE FROM filter_results WHERE filter_set = ? AND pair_id = ?", (filter_set, identity)),
        *(
            (sql, (filter_set, identity, position, found.filter, found.action.value, found.reason, found.value))
            for position, found in enumerate(findings)
        ),
    ]


def drop_reason(findings: Sequence[Finding]) -> str | None:
    """The reason that a pair is counted under when it is dropped: the first in the order of the filters."""
    return next((finding.reason for finding in findings if finding.action is FilterAction.DROP), None)


def contrast_row(identity: str, contrast: Contrast) -> Statement:
    """The statement that replaces the contrast of a pair."""
    values = _contrast_values(contrast)
    columns = ", ".join(f"{name} = ?" for name in values)
    return f"UPDATE pairs SET {columns} WHERE id = ?", (*values.values(), identity)


def _contrast_values(contrast: Contrast | None) -> dict[str, Any]:
    return {
        "levenshtein": contrast.levenshtein if contrast else None,
        "jaccard": contrast.jaccard if contrast else None,
        "length_ratio": contrast.length_ratio if contrast else None,
        "tokeniser": contrast.tokeniser if contrast else None,
        "metrics_version": METRICS_VERSION,
    }


def _update(identity: str, made: MadePair, prompt_hash: str, filter_set: int) -> Statement:
    pair = made.pair
    answered = pair.chosen or pair.unparsed
    values = _contrast_values(made.contrast) | {
        "status": "made",
        "chosen": pair.chosen.text if pair.chosen else None,
        "reasoning": pair.reasoning,
        "parse_status": pair.parse_status.value,
        "parser_version": pair.parser_version,
        "prompt": prompt_hash,
        "rejected": pair.rejected.text,
        "chosen_finish_reason": answered.finish_reason if answered else None,
        "rejected_finish_reason": pair.rejected.finish_reason,
        "chosen_model": answered.model if answered else None,
        "rejected_model": pair.rejected.model,
        "filter_set": filter_set,
        "drop_reason": drop_reason(made.findings),
        "made_at": now(),
    }
    columns = ", ".join(f"{name} = ?" for name in values)
    return f"UPDATE pairs SET {columns} WHERE id = ?", (*values.values(), identity)


def _asks(identity: str, pair: Pair) -> list[Statement]:
    sql = "INSERT OR REPLACE INTO pair_asks (pair_id, part, key) VALUES (?, ?, ?)"
    parts = (("chosen", pair.chosen or pair.unparsed), ("rejected", pair.rejected))
    return [(sql, (identity, part, answer.key)) for part, answer in parts if answer is not None]


def _stored_pair(row: Any, findings: tuple[Finding, ...]) -> StoredPair:  # noqa: ANN401 - a row of SQLite
    (
        identity, task_id, recipe, body, chosen, rejected, chosen_finish, rejected_finish, chosen_model, rejected_model,
        reasoning, parse_status, parser_version, levenshtein, jaccard, length_ratio, tokeniser, version, _, chosen_key,
        rejected_key, unparsed,
    ) = row  # fmt: skip
    pair = Pair(
        task_id,
        recipe,
        None if chosen is None else Answer(chosen, chosen_finish, chosen_key or "", chosen_model),
        Answer(rejected, rejected_finish, rejected_key or "", rejected_model),
        reasoning,
        ParseStatus(parse_status),
        parser_version,
        Answer(unparsed, chosen_finish, chosen_key, chosen_model) if chosen is None and unparsed is not None else None,
    )
    fresh = levenshtein is not None and version == METRICS_VERSION
    contrast = None if not fresh else Contrast(levenshtein, jaccard, length_ratio, tokeniser)
    return StoredPair(
        identity, Task(task_id, messages_of(body)), pair, contrast, findings, chosen_model, rejected_model
    )
