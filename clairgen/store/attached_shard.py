"""The database of one shard, attached to that of the run that it is merged into, and what is known of it before and after."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite

from clairgen.store.connection import writer_uri


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
class ShardToMerge:
    """The database of a shard, and what was copied of it before, which the run's metadata has under `key`.

    `findings` are the filter sets in force in the shard and in the run if those find the same; otherwise pairs come without
    findings.
    """

    database: Path
    record: MergeRecord
    key: str
    findings: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Differing:
    """Rows of a shard that the run has with other content, which stay as the run has them; `first` is the key of one."""

    count: int
    first: str | None


@dataclass(frozen=True, slots=True)
class MergedShard:
    """What came of a shard: how many rows were new, by table, and which differ from those of the run."""

    added: Mapping[str, int]
    completions: Differing
    pairs: Differing


class AttachedShard:
    """A shard under a name in the SQL of the run's connection, and what has come of it so far: see `MergedShard`."""

    def __init__(self, connection: aiosqlite.Connection, name: str, shard: ShardToMerge) -> None:
        self._connection = connection
        self.name = name
        self.shard = shard
        self.added = Counter[str]()
        self.completions = self.pairs = Differing(0, None)

    @property
    def merged(self) -> MergedShard:
        """What has come of it."""
        return MergedShard(dict(self.added), self.completions, self.pairs)

    async def attach(self) -> None:
        """Attach the database, outside of a transaction."""
        await self._connection.execute(f"ATTACH ? AS {self.name}", (writer_uri(self.shard.database, "rw"),))

    async def detach(self) -> None:
        """Detach it, outside of a transaction."""
        await self._connection.execute(f"DETACH {self.name}")

    async def run(self, sql: str, parameters: Mapping[str, Any] | tuple[Any, ...] = ()) -> int:
        """Execute a statement; how many rows it wrote."""
        async with self._connection.execute(sql, parameters) as cursor:
            return max(cursor.rowcount, 0)

    async def add(self, table: str, sql: str, parameters: Mapping[str, Any] | tuple[Any, ...] = ()) -> None:
        """Execute a statement that adds rows of a table to the run, and count them."""
        self.added[table] += await self.run(sql, parameters)

    async def row(self, sql: str) -> tuple[Any, ...] | None:
        """The first row of a query; None if there is none."""
        async with self._connection.execute(sql) as cursor:
            row = await cursor.fetchone()
        return None if row is None else tuple(row)

    async def number(self, sql: str) -> int:
        """The number that is the answer to a query; 0 without a row."""
        row = await self.row(sql)
        return int(row[0]) if row is not None else 0

    async def differing(self, sql: str) -> Differing:
        """What a query of a count and of one key finds."""
        count, first = await self.row(sql) or (0, None)
        return Differing(int(count), first)

    async def columns(self, table: str) -> list[str]:
        """The columns of a table."""
        async with self._connection.execute(f"PRAGMA main.table_info({table})") as cursor:
            return [row[1] for row in await cursor.fetchall()]
