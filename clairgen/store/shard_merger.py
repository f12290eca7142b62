"""Copies what the databases of shards have and that of the run has not, in one transaction with the record of what was copied.

Rows with a key (completions, messages) that the run has stay as they are; a pair comes with all that belongs to it where the
run has none, or one that is further from being made. Rows without a key (attempts, spending) are copied by their numbers, of
which the record keeps the last.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import aiosqlite

from clairgen.errors import RunError
from clairgen.store.attached_shard import AttachedShard, MergedShard, ShardToMerge
from clairgen.store.connection import close_writer, open_writer, store_errors, transaction
from clairgen.store.shard_pairs import OF_PAIRS, ShardPairs
from clairgen.store.tasks import LAST_POSITION

BY_KEY: Final = ("messages", "templates", "completions", "plans", "evaluations", "evaluation_items")
"""Tables whose rows are copied unless the run has one of the same key."""
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

SHARDS_AT_ONCE: Final = 8
"""In one transaction: SQLite attaches ten databases at most, unless it was built otherwise."""
_CACHE_KIBIBYTES = 262_144
"""For the indexes, in which rows of a shard fall anywhere."""


class ShardMerger:
    """Merges databases of shards into that of a run, whose lock and those of the shards the caller holds."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    async def merge(self, shards: Sequence[ShardToMerge], meta: Mapping[str, str]) -> list[MergedShard]:
        """Copy what is new in these shards, `SHARDS_AT_ONCE` at most, and commit `meta` with it; what came of each.

        Raises RunError where a task of the run has the position, the id or the prompt of another one.
        """
        attached = [AttachedShard(self._connection, f"shard_{at}", one) for at, one in enumerate(shards, start=1)]
        with store_errors(self._path):
            async with AsyncExitStack() as stack:
                for one in attached:
                    await one.attach()
                    stack.push_async_callback(one.detach)
                async with transaction(self._connection):
                    await self._copy(attached)
                    for name, value in meta.items():
                        sql = "INSERT OR REPLACE INTO main.meta (key, value) VALUES (?, ?)"
                        await self._connection.execute(sql, (name, value))
        return [one.merged for one in attached]

    async def _copy(self, shards: Sequence[AttachedShard]) -> None:
        """Copy a table of all shards before the next one, so that few indexes are written at a time."""
        for table in BY_KEY:
            for shard in shards:
                await _copy_by_key(shard, table)
        for shard in shards:
            await self._copy_tasks(shard)
        pairs = [ShardPairs(shard) for shard in shards]
        for one in pairs:
            await one.copy_pairs()
        for table in OF_PAIRS:
            for one in pairs:
                await one.copy_of_pairs(table)
        for one in pairs:
            await one.copy_later_advice()
            await one.copy_revisions()
        await pairs[0].remove_replaced()
        for one in pairs:
            await one.copy_votes()
            await one.forget()
        for shard in shards:
            await _copy_numbered(shard)
        await self._connection.execute("DELETE FROM main.meta WHERE key LIKE ?", (f"{LAST_POSITION}%",))

    async def _copy_tasks(self, shard: AttachedShard) -> None:
        await shard.add("tasks", f"INSERT OR IGNORE INTO main.tasks SELECT * FROM {shard.name}.tasks ORDER BY position")
        sql = (
            f"SELECT s.id FROM {shard.name}.tasks s LEFT JOIN main.tasks t ON t.position = s.position AND t.id = s.id "
            "AND t.messages = s.messages WHERE t.id IS NULL ORDER BY s.position LIMIT 1"
        )
        if row := await shard.row(sql):
            raise RunError(
                f"task {row[0]!r} of {shard.shard.database.parent} has the position, the id or the prompt of another task of "
                f"{self._path.parent}, so they were made from different tasks; merge only shards of one source"
            )


async def _copy_by_key(shard: AttachedShard, table: str) -> None:
    """Copy the rows whose keys the run lacks, in the order of those, which is that of its index."""
    if table == "completions":
        # A cross join is SQLite's way to begin with the shard, whatever it expects: the run has many times as many rows.
        shard.completions = await shard.differing(
            f"SELECT count(*), min(s.key) FROM {shard.name}.completions s CROSS JOIN main.completions c ON c.key = s.key "
            f"CROSS JOIN {shard.name}.completions o ON o.rowid = s.rowid WHERE c.text IS NOT o.text"
        )
    await shard.add(table, f"INSERT OR IGNORE INTO main.{table} SELECT * FROM {shard.name}.{table} ORDER BY 1")


async def _copy_numbered(shard: AttachedShard) -> None:
    """Copy attempts, calls and configurations, and record in the run's metadata how far they were copied."""
    last_attempt = await _copy_attempts(shard)
    calls = await _copy_spending(shard)
    await shard.run(
        f"INSERT INTO main.configurations (created_at, yaml) SELECT created_at, yaml FROM {shard.name}.configurations s "
        "WHERE NOT EXISTS (SELECT 1 FROM main.configurations c WHERE c.yaml = s.yaml) ORDER BY id"
    )
    record = replace(shard.shard.record, last_attempt=last_attempt, calls=calls)
    await shard.run(
        "INSERT OR REPLACE INTO main.meta (key, value) VALUES (?, ?)",
        (shard.shard.key, record.to_json()),
    )


async def _copy_attempts(shard: AttachedShard) -> int:
    """Copy the attempts after the last one that was copied; return the last of all."""
    columns = ", ".join(name for name in await shard.columns("attempts") if name != "id")
    await shard.add(
        "attempts",
        f"INSERT INTO main.attempts ({columns}) SELECT {columns} FROM {shard.name}.attempts WHERE id > ? ORDER BY id",
        (shard.shard.record.last_attempt,),
    )
    return await shard.number(f"SELECT coalesce(max(id), 0) FROM {shard.name}.attempts")


async def _copy_spending(shard: AttachedShard) -> tuple[tuple[int, int, int], ...]:
    """Copy new calls behind those of the run, and what earlier ones turned out to cost; return the record's new ranges."""
    calls = shard.shard.record.calls
    for first, last, offset in calls:
        await shard.run(
            f"UPDATE main.spending SET cost = (SELECT s.cost FROM {shard.name}.spending s WHERE s.id = main.spending.id - ?1) "
            "WHERE cost IS NULL AND id BETWEEN ?2 + ?1 AND ?3 + ?1",
            (offset, first, last),
        )
    first = calls[-1][1] + 1 if calls else 1
    last = await shard.number(f"SELECT coalesce(max(id), 0) FROM {shard.name}.spending")
    if last < first:
        return calls
    offset = await shard.number("SELECT coalesce(max(id), 0) FROM main.spending") + 1 - first
    names = [name for name in await shard.columns("spending") if name != "id"]
    await shard.add(
        "spending",
        f"INSERT INTO main.spending (id, {', '.join(names)}) SELECT id + ?, {', '.join(names)} FROM {shard.name}.spending "
        "WHERE id >= ? ORDER BY id",
        (offset, first),
    )
    return (*calls, (first, last, offset))


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
