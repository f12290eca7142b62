"""Reading rows: SQL to tuples, SQLite's errors made ours."""

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
