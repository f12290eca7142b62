"""Reading rows by column name, with SQLite's errors as StoreError; single look-ups are answered in groups."""

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import aiosqlite

from clairgen.store.connection import store_errors

_MOST_AT_ONCE = 2000

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]
"""What a query's marks stand for, in order or by name."""
_Waiting = tuple[str, asyncio.Future[sqlite3.Row | None]]
"""A key, and who waits for its row."""


class Reader:
    """Runs queries on one connection. Raises StoreError."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._path = path

    async def rows(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """All rows of a query; read a page at a time where there may be many."""
        with store_errors(self._path):
            return list(await self._connection.execute_fetchall(sql, parameters))

    async def row(self, sql: str, parameters: Parameters = ()) -> sqlite3.Row | None:
        """The first row of a query that gives one at most."""
        return next(iter(await self.rows(sql, parameters)), None)

    async def value(self, sql: str, parameters: Parameters = ()) -> Any:  # noqa: ANN401 - any value of SQLite
        """The value of a query for one column of one row; None without a row."""
        row = await self.row(sql, parameters)
        return None if row is None else row[0]

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


class Lookups:
    """Answers single look-ups in groups. `sql` takes a JSON list of keys and gives rows with a column `key`."""

    def __init__(self, reader: Reader, sql: str) -> None:
        self._reader = reader
        self._sql = sql
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def find(self, key: str) -> sqlite3.Row | None:
        """The row of this key, if there is one."""
        found: asyncio.Future[sqlite3.Row | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, found))
        if self._task is None:
            self._task = asyncio.create_task(self._look_up())
        return await found

    async def _look_up(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
                await self._answer([(key, found) for key, found in group if not found.done()])
        finally:
            self._task = None

    async def _answer(self, group: Sequence[_Waiting]) -> None:
        try:
            keys = json.dumps([key for key, _ in group])
            rows = {row["key"]: row for row in await self._reader.rows(self._sql, (keys,))}
        except Exception as error:  # noqa: BLE001 - these look-ups get it; the next ones are tried again
            for _, found in group:
                if not found.done():
                    found.set_exception(error)
            return
        for key, found in group:
            if not found.done():
                found.set_result(rows.get(key))
