"""Copies what a shard's database has and the run's has not, in one transaction with the record of what was copied.

Rows with a key (completions, messages) that the run has stay as they are; a pair comes with all that belongs to it where the
run has none, or one that is further from being made. Rows without a key (attempts, spending) are copied by their numbers, of
which the record keeps the last.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiosqlite

from clairgen.errors import RunError
from clairgen.store.completions import now
from clairgen.store.connection import close_writer, open_writer, store_errors, transaction, writer_uri
from clairgen.store.revisions import HUMAN_REVISION
from clairgen.store.tasks import LAST_POSITION
from clairgen.store.votes import BLIND_VOTE

BY_KEY: Final = ("messages", "templates", "completions", "plans", "evaluations", "evaluation_items")
"""Tables whose rows are copied unless the run has one of the same key."""
OF_PAIRS: Final = ("pair_requests", "failures", "filter_results", "scores", "advice", "judgements")
"""Tables whose rows come with the pair that they belong to."""
DECISIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(BY_KEY, "by key"),
    **dict.fromkeys(OF_PAIRS, "with their pair"),
    "tasks": "at their positions, which are those of the whole run in every shard; another task there is an error",
    "pairs": "by id, the one that is further from being made",
    "attempts": "those after the last one that was copied",
    "spending": "under other ids, and again once a call is settled",
    "pair_texts": "with their pair, under the number that it has in the run",
    "pair_changes": "none: the triggers of pairs write it",
    "revisions": "those that the run has not; their pairs come behind its own",
    **dict.fromkeys(
        ("review_queues", "queued_pairs", "leases"), "not at all: a queue is drawn again from the whole run"
    ),
    **dict.fromkeys(
        ("batches", "batch_lines", "batch_strays"),
        "not at all: a shard with open batches is not merged, and ended ones are done",
    ),
    "votes": "those that the run has not, in the order in which they were cast",
    "configurations": "each text once",
    "filter_sets": "the one in force, if the run has none",
    "meta": "key by key, see clairgen.pipeline.merge_shards",
}
"""What becomes of each table of the schema when a shard is merged."""

_CACHE_KIBIBYTES = 131_072
"""For the indexes, in which rows of a shard fall anywhere."""
_SAME_EDIT = (
    "r.pair_id = s.pair_id AND r.editor = s.editor AND r.text = s.text AND r.note IS s.note "
    "AND r.created_at = s.created_at"
)
_COLUMNS_OF_VOTES = "pair_id, voter, vote, note, created_at, outdated_at"
_VALUES = {
    "filter_set": "iif(filter_set = ?1, ?2, NULL)",
    "position": f"position + iif(recipe = '{HUMAN_REVISION}', ?3, 0)",  # which is no task's
}
_PROGRESS = "CASE {}.status WHEN 'made' THEN 2 WHEN 'failed' THEN 1 ELSE 0 END"


@dataclass(frozen=True, slots=True)
class MergeRecord:
    """What was merged from a shard before: the last attempt, and ranges of calls as (first, last, added to their ids)."""

    shard: str
    path: str
    last_attempt: int = 0
    calls: tuple[tuple[int, int, int], ...] = ()

    @classmethod
    def from_json(cls, text: str) -> "MergeRecord":
        """The record that `to_json` wrote."""
        content: dict[str, Any] = json.loads(text)
        return cls(**content | {"calls": tuple((first, last, added) for first, last, added in content["calls"])})

    def to_json(self) -> str:
        """The record as the run's metadata has it."""
        return json.dumps(
            {"shard": self.shard, "path": self.path, "last_attempt": self.last_attempt, "calls": self.calls}
        )


@dataclass(frozen=True, slots=True)
class Differing:
    """Rows of a shard that the run has with other content, which stay as the run has them; `first` is the key of one."""

    count: int
    first: str | None


@dataclass(frozen=True, slots=True)
class MergedShard:
    """What came of a shard: how many rows were new, by table, and which differ from those of the run."""

    record: MergeRecord
    added: Mapping[str, int] = field(default_factory=dict)
    completions: Differing = Differing(0, None)
    pairs: Differing = Differing(0, None)


class ShardMerger:
    """Merges databases of shards into that of a run, whose lock and those of the shards the caller holds."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    async def merge(
        self, shard: Path, record: MergeRecord, *, findings: tuple[int, int] | None, meta: Mapping[str, str], key: str
    ) -> MergedShard:
        """Copy what is new in the database `shard`, of which `record` says what was copied before.

        `findings` are the filter sets in force in the shard and in the run if those find the same; otherwise pairs come without
        findings. `meta` is committed with it, and so is the new record, under `key`. Raises RunError where a task of the run has
        the position, the id or the prompt of another one.
        """
        with store_errors(self._path):
            await self._connection.execute("ATTACH ? AS shard", (writer_uri(shard, "rw"),))
            try:
                async with transaction(self._connection):
                    return await self._copy(shard, record, findings, meta, key)
            finally:
                await self._connection.execute("DETACH shard")

    async def _copy(
        self, shard: Path, record: MergeRecord, findings: tuple[int, int] | None, meta: Mapping[str, str], key: str
    ) -> MergedShard:
        # A cross join is SQLite's way to begin with the shard, whatever it expects: the run has many times as many rows.
        completions = await self._differing(
            "SELECT count(*), min(s.key) FROM shard.completions s CROSS JOIN main.completions c ON c.key = s.key "
            "WHERE c.text IS NOT s.text"
        )
        pairs = await self._differing(
            "SELECT count(*), min(s.id) FROM shard.pairs s CROSS JOIN shard.pair_texts o ON o.pair = s.number "
            "CROSS JOIN main.pairs p ON p.id = s.id CROSS JOIN main.pair_texts t ON t.pair = p.number WHERE s.status = 'made' "
            "AND p.status = 'made' AND (t.chosen IS NOT o.chosen OR t.rejected IS NOT o.rejected)"
        )
        added = {table: await self._copy_by_key(table) for table in BY_KEY}
        added["tasks"] = await self._copy_tasks(shard)
        added["pairs"] = await self._copy_pairs(findings)
        added["revisions"] = await self._copy_revisions()
        added["votes"] = await self._copy_votes()
        added["attempts"], last_attempt = await self._copy_attempts(record.last_attempt)
        added["spending"], calls = await self._copy_spending(record.calls)
        await self._run(
            "INSERT INTO main.configurations (created_at, yaml) SELECT created_at, yaml FROM shard.configurations s "
            "WHERE NOT EXISTS (SELECT 1 FROM main.configurations c WHERE c.yaml = s.yaml) ORDER BY id"
        )
        await self._run("DELETE FROM main.meta WHERE key LIKE ?", f"{LAST_POSITION}%")
        after = MergeRecord(record.shard, record.path, last_attempt, calls)
        for name, value in {**meta, key: after.to_json()}.items():
            await self._run("INSERT OR REPLACE INTO main.meta (key, value) VALUES (?, ?)", name, value)
        return MergedShard(after, added, completions, pairs)

    async def _copy_by_key(self, table: str) -> int:
        return await self._run(f"INSERT OR IGNORE INTO main.{table} SELECT * FROM shard.{table}")

    async def _copy_tasks(self, shard: Path) -> int:
        added = await self._run("INSERT OR IGNORE INTO main.tasks SELECT * FROM shard.tasks ORDER BY position")
        sql = (
            "SELECT s.id FROM shard.tasks s LEFT JOIN main.tasks t ON t.position = s.position AND t.id = s.id "
            "AND t.messages = s.messages WHERE t.id IS NULL ORDER BY s.position LIMIT 1"
        )
        if row := await self._row(sql):
            raise RunError(
                f"task {row[0]!r} of {shard.parent} has the position, the id or the prompt of another task of "
                f"{self._path.parent}, so they were made from different tasks; merge only shards of one source"
            )
        return added

    async def _copy_pairs(self, findings: tuple[int, int] | None) -> int:
        """Copy the pairs that the run lacks, or has only pending or failed where the shard's is further."""
        await self._run(
            "CREATE TEMP TABLE IF NOT EXISTS taken (id TEXT PRIMARY KEY, task_id TEXT, recipe TEXT) WITHOUT ROWID"
        )
        await self._run("DELETE FROM temp.taken")
        added = await self._run(
            "INSERT INTO temp.taken SELECT s.id, s.task_id, s.recipe FROM shard.pairs s LEFT JOIN main.pairs p ON p.id = s.id "
            f"WHERE p.id IS NULL OR {_PROGRESS.format('s')} > {_PROGRESS.format('p')}"
        )
        await self._run("DELETE FROM main.pairs WHERE id IN (SELECT id FROM temp.taken)")
        columns = [name for name in await self._columns("pairs") if name != "number"]
        before, now_in_force = findings or (None, None)
        values = [_VALUES.get(name, name) for name in columns]
        revised = await self._number(
            f"SELECT coalesce(max(position), 0) FROM main.pairs WHERE recipe = '{HUMAN_REVISION}'"
        )
        await self._run(
            f"INSERT INTO main.pairs ({', '.join(columns)}) SELECT {', '.join(values)} FROM shard.pairs "
            "WHERE id IN (SELECT id FROM temp.taken) ORDER BY position, recipe",
            before,
            now_in_force,
            revised,
        )
        await self._run(
            "INSERT INTO main.pair_texts (pair, chosen, rejected, unparsed, reasoning) SELECT p.number, t.chosen, t.rejected, "
            "t.unparsed, t.reasoning FROM shard.pairs s CROSS JOIN shard.pair_texts t ON t.pair = s.number "
            "CROSS JOIN main.pairs p ON p.id = s.id WHERE s.id IN (SELECT id FROM temp.taken) ORDER BY s.position, s.recipe"
        )
        for table in OF_PAIRS:
            is_taken = (
                "(task_id, recipe) IN (SELECT task_id, recipe FROM temp.taken)"
                if table == "judgements"
                else "pair_id IN (SELECT id FROM temp.taken)"
            )
            if table == "filter_results":
                is_taken += " AND filter_set IN (SELECT id FROM main.filter_sets)"  # with which its key begins
            await self._run(f"DELETE FROM main.{table} WHERE {is_taken}")
            if table != "filter_results":
                await self._run(f"INSERT INTO main.{table} SELECT * FROM shard.{table} WHERE {is_taken}")
        await self._run(
            "INSERT INTO main.filter_results SELECT ?2, pair_id, position, filter, action, reason, value "
            "FROM shard.filter_results WHERE filter_set = ?1 AND pair_id IN (SELECT id FROM temp.taken)",
            before,
            now_in_force,
        )
        await self._run(
            "INSERT OR IGNORE INTO main.advice SELECT a.* FROM shard.advice a CROSS JOIN shard.pairs s ON s.id = a.pair_id "
            "CROSS JOIN main.pairs p ON p.id = s.id CROSS JOIN main.pair_texts t ON t.pair = p.number "
            "CROSS JOIN shard.pair_texts o ON o.pair = s.number AND o.chosen IS t.chosen"
        )
        return added

    async def _copy_revisions(self) -> int:
        """Copy the edits that the run lacks, and take out the pairs of those that were replaced since, as the shard has done."""
        columns = ", ".join(name for name in await self._columns("revisions") if name != "id")
        added = await self._run(
            f"INSERT INTO main.revisions ({columns}) SELECT {columns} FROM shard.revisions s "
            f"WHERE NOT EXISTS (SELECT 1 FROM main.revisions r WHERE {_SAME_EDIT}) ORDER BY id"
        )
        await self._run(
            "UPDATE main.revisions AS r SET replaced_at = s.replaced_at FROM shard.revisions s "
            f"WHERE {_SAME_EDIT} AND r.replaced_at IS NULL AND s.replaced_at IS NOT NULL"
        )
        replaced = (
            f"SELECT p.id FROM main.pairs p WHERE p.recipe = '{HUMAN_REVISION}' AND NOT EXISTS "
            "(SELECT 1 FROM main.revisions r WHERE r.pair_id = p.id AND r.replaced_at IS NULL)"
        )
        for table in ("filter_results", "pair_requests", "advice"):
            await self._run(f"DELETE FROM main.{table} WHERE pair_id IN ({replaced})")
        await self._run(f"DELETE FROM main.pairs WHERE id IN ({replaced})")
        return added

    async def _copy_votes(self) -> int:
        """Copy the votes that the run lacks, and which were blind.

        All on the same pairs are put in order again, since the latest one counts.
        """
        await self._run("CREATE TEMP TABLE IF NOT EXISTS moved_votes AS SELECT * FROM main.votes WHERE false")
        await self._run("DELETE FROM temp.moved_votes")
        await self._run(
            "INSERT OR IGNORE INTO main.meta SELECT key, value FROM shard.meta WHERE substr(key, 1, ?) = ?",
            len(BLIND_VOTE),
            BLIND_VOTE,
        )
        added = await self._run(
            f"INSERT INTO temp.moved_votes (id, {_COLUMNS_OF_VOTES}) SELECT s.id, s.pair_id, s.voter, s.vote, s.note, "
            "s.created_at, coalesce(s.outdated_at, iif(t.chosen IS u.chosen AND t.rejected IS u.rejected, NULL, ?)) "
            "FROM shard.votes s LEFT JOIN main.pairs p ON p.id = s.pair_id LEFT JOIN main.pair_texts t ON t.pair = p.number "
            "LEFT JOIN shard.pairs o ON o.id = s.pair_id LEFT JOIN shard.pair_texts u ON u.pair = o.number "
            "WHERE NOT EXISTS (SELECT 1 FROM main.votes v WHERE v.pair_id = s.pair_id AND v.voter = s.voter AND v.vote = s.vote "
            "AND v.note IS s.note AND v.created_at = s.created_at)",
            now(),
        )
        if added:
            touched = "pair_id IN (SELECT pair_id FROM temp.moved_votes)"
            await self._run(f"INSERT INTO temp.moved_votes SELECT * FROM main.votes WHERE {touched}")
            await self._run(f"DELETE FROM main.votes WHERE {touched}")
            await self._run(
                f"INSERT INTO main.votes ({_COLUMNS_OF_VOTES}) SELECT {_COLUMNS_OF_VOTES} FROM temp.moved_votes "
                "ORDER BY created_at, id"
            )
        return added

    async def _copy_attempts(self, last: int) -> tuple[int, int]:
        columns = ", ".join(name for name in await self._columns("attempts") if name != "id")
        added = await self._run(
            f"INSERT INTO main.attempts ({columns}) SELECT {columns} FROM shard.attempts WHERE id > ? ORDER BY id", last
        )
        return added, await self._number("SELECT coalesce(max(id), 0) FROM shard.attempts")

    async def _copy_spending(
        self, calls: tuple[tuple[int, int, int], ...]
    ) -> tuple[int, tuple[tuple[int, int, int], ...]]:
        """Copy new calls behind those of the run, and what earlier ones turned out to cost."""
        for first, last, offset in calls:
            await self._run(
                "UPDATE main.spending SET cost = (SELECT s.cost FROM shard.spending s WHERE s.id = main.spending.id - ?1) "
                "WHERE cost IS NULL AND id BETWEEN ?2 + ?1 AND ?3 + ?1",
                offset,
                first,
                last,
            )
        first = calls[-1][1] + 1 if calls else 1
        last = await self._number("SELECT coalesce(max(id), 0) FROM shard.spending")
        if last < first:
            return 0, calls
        offset = await self._number("SELECT coalesce(max(id), 0) FROM main.spending") + 1 - first
        names = [name for name in await self._columns("spending") if name != "id"]
        added = await self._run(
            f"INSERT INTO main.spending (id, {', '.join(names)}) SELECT id + ?, {', '.join(names)} FROM shard.spending "
            "WHERE id >= ? ORDER BY id",
            offset,
            first,
        )
        return added, (*calls, (first, last, offset))

    async def _run(self, sql: str, *parameters: Any) -> int:  # noqa: ANN401 - any value of SQLite
        """Execute a statement; how many rows it wrote."""
        async with self._connection.execute(sql, parameters) as cursor:
            return max(cursor.rowcount, 0)

    async def _row(self, sql: str) -> tuple[Any, ...] | None:
        async with self._connection.execute(sql) as cursor:
            row = await cursor.fetchone()
        return None if row is None else tuple(row)

    async def _number(self, sql: str) -> int:
        row = await self._row(sql)
        return int(row[0]) if row is not None else 0

    async def _differing(self, sql: str) -> Differing:
        count, first = await self._row(sql) or (0, None)
        return Differing(int(count), first)

    async def _columns(self, table: str) -> list[str]:
        async with self._connection.execute(f"PRAGMA main.table_info({table})") as cursor:
            return [row[1] for row in await cursor.fetchall()]


@asynccontextmanager
async def merging(path: Path) -> AsyncIterator[ShardMerger]:
    """What merges databases of shards into that at `path`; hold the run's lock around this."""
    connection = await open_writer(path)
    try:
        with store_errors(path):
            await connection.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
        yield ShardMerger(connection, path)
    finally:
        await close_writer(connection, path)
