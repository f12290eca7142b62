"""Reading rows: SQL to tuples, SQLite's errors made ours."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiosqlite

from clairgen.store.connection import store_errors


class Reader:
    """Runs queries on one connection. Raises StoreError."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; ask for a page at a time where there may be many."""
        with store_errors(self._path):
            return [tuple(row) for row in await self._connection.execute_fetchall(sql, parameters)]

    async def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query that gives one at most."""
        with store_errors(self._path):
            row = next(iter(await self._connection.execute_fetchall(sql, parameters)), None)
        return None if row is None else tuple(row)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


_MOST_AT_ONCE = 2000

_Asked = tuple[str, asyncio.Future[tuple[Any, ...] | None]]


class Lookups:
    """Answers single look-ups in groups. `sql` takes a JSON list of keys and gives rows that begin with their key."""

    def __init__(self, reader: Reader, sql: str) -> None:
        self._reader = reader
        self._sql = sql
        self._asked: list[_Asked] = []
        self._looking: asyncio.Task[None] | None = None

    async def find(self, key: str) -> tuple[Any, ...] | None:
        """The row of this key, if there is one."""
        found: asyncio.Future[tuple[Any, ...] | None] = asyncio.get_running_loop().create_future()
        self._asked.append((key, found))
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return await found

    async def _look(self) -> None:
        try:
            while self._asked:
                group, self._asked = self._asked[:_MOST_AT_ONCE], self._asked[_MOST_AT_ONCE:]
                await self._answer([(key, found) for key, found in group if not found.done()])
        finally:
            self._looking = None

    async def _answer(self, group: Sequence[_Asked]) -> None:
        try:
            rows = {row[0]: row for row in await self._reader.rows(self._sql, (json.dumps([key for key, _ in group]),))}
        except Exception as error:  # noqa: BLE001 - whoever looks gets it; the others look again
            for _, found in group:
                if not found.done():
                    found.set_exception(error)
            return
        for key, found in group:
            if not found.done():
                found.set_result(rows.get(key))
