"""The one writer: commits whatever is queued each time it is free, so that many small writes share one transaction.

There is no timer: under load the groups grow. A write returns when it is on disk (WAL, synchronous FULL).
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiosqlite

from clairgen.errors import StoreError
from clairgen.store.connection import close_writer, store_errors, transaction
from clairgen.store.statements import Statement

_LARGE_CACHE_KIBIBYTES = 65_536
Queued = tuple[Sequence[Statement], asyncio.Future[None]]
"""Statements to commit together, and the future of who waits for that."""


class Writer:
    """Groups statements into transactions on one connection. Use it as an async context manager.

    `committed` is called after each commit of a group with the seconds that its transaction took.
    """

    def __init__(
        self,
        connection: aiosqlite.Connection,
        path: Path,
        committed: Callable[[float], None] = lambda _seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._path = path
        self._committed = committed
        self._clock = clock
        self._queued: list[Queued] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._free = asyncio.Lock()
        self._loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.create_task(self._run(), name="store writer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._wake.set()
        if self._loop is not None:
            await self._loop
        await close_writer(self._connection, self._path)

    async def write(self, *statements: Statement) -> None:
        """Commit `statements` together, and perhaps with others'; return when they are durable. Raises StoreError."""
        if self._closing:
            raise StoreError(f"the database {self._path} is closed")
        done = asyncio.get_running_loop().create_future()
        self._queued.append((statements, done))
        self._wake.set()
        await done

    async def exclusively(self, groups: AsyncIterable[Sequence[Statement]]) -> None:
        """Run a long stream of statements as one transaction. Nothing else may write meanwhile."""
        with store_errors(self._path):
            async with self._free, self._large_cache(), transaction(self._connection):
                async for statements in groups:
                    await self._execute(statements)

    async def leave_log(self) -> None:
        """From now on leave it to what copies the run to move the write-ahead log into the database."""
        await self._connection.execute("PRAGMA wal_autocheckpoint = 0")

    @asynccontextmanager
    async def paused(self, wait_seconds: float) -> AsyncIterator[bool]:
        """Between two transactions: what is to be written waits for the block. False if the one under way lasted longer."""
        try:
            await asyncio.wait_for(self._free.acquire(), wait_seconds)
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self._free.release()

    @asynccontextmanager
    async def _large_cache(self) -> AsyncIterator[None]:
        """For what looks up rows anywhere in the database."""
        async with self._connection.execute("PRAGMA cache_size") as cursor:
            row = await cursor.fetchone()
        before = row[0] if row is not None else 0
        await self._connection.execute(f"PRAGMA cache_size = -{_LARGE_CACHE_KIBIBYTES}")
        try:
            yield
        finally:
            await self._connection.execute(f"PRAGMA cache_size = {before}")

    async def _run(self) -> None:
        while not self._closing or self._queued:
            await self._wake.wait()
            self._wake.clear()
            group, self._queued = self._queued, []
            if group:
                await self._commit(group)

    async def _commit(self, group: Sequence[Queued]) -> None:
        """Commit a group; if that fails, each of its writes separately, so that a bad one affects no other."""
        error = await self._attempt([statement for statements, _ in group for statement in statements])
        if error is not None and len(group) > 1:
            for write in group:
                await self._commit([write])
            return
        for _, done in group:
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

    async def _attempt(self, statements: Sequence[Statement]) -> Exception | None:
        start = self._clock()
        try:
            with store_errors(self._path):
                async with self._free, transaction(self._connection):
                    await self._execute(statements)
        except Exception as error:  # noqa: BLE001 - who wrote this gets it; the writer goes on for the others
            return error
        self._committed(self._clock() - start)
        return None

    async def _execute(self, statements: Sequence[Statement]) -> None:
        """Statements with equal SQL go to SQLite as one call, since each call is a hop to its thread."""
        by_sql: dict[str, list[Sequence[Any]]] = {}
        for sql, parameters in statements:
            by_sql.setdefault(sql, []).append(parameters)
        for sql, rows in by_sql.items():
            await self._connection.executemany(sql, rows)
