"""Finding rows by key: all who look while the reader is busy share one query, since each query is a hop to its thread."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from clairgen.store.reader import Reader

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
