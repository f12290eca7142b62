import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiosqlite
import pytest

from clairgen.errors import StoreError
from clairgen.store.connection import open_writer, transaction
from clairgen.store.statements import Statement
from clairgen.store.writer import Writer

PUT = "INSERT INTO meta (key, value) VALUES (?, ?)"


def row(number: int) -> Statement:
    return PUT, (str(number), "x")


async def counted_commits(connection: aiosqlite.Connection) -> list[str]:
    statements: list[str] = []
    await connection.set_trace_callback(statements.append)
    return statements


async def test_what_is_queued_while_the_writer_is_busy_shares_one_transaction(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    connection = await open_writer(path)
    statements = await counted_commits(connection)
    async with Writer(connection, path) as writer:
        await asyncio.gather(*(writer.write(row(number)) for number in range(500)))
    assert statements.count("COMMIT") <= 3
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM meta").fetchone() == (500,)
    database.close()


async def test_a_write_returns_only_when_another_process_could_read_it(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with Writer(await open_writer(path), path) as writer:
        await writer.write(row(1), row(2))
        with sqlite3.connect(path) as database:
            assert database.execute("SELECT count(*) FROM meta").fetchone() == (2,)
        database.close()


async def test_a_bad_write_spoils_no_other_of_its_transaction(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with Writer(await open_writer(path), path) as writer:
        outcomes = await asyncio.gather(
            writer.write(row(1)),
            writer.write(("INSERT INTO nowhere VALUES (1)", ())),
            writer.write((PUT, ("2", "half \ud800"))),
            writer.write((PUT, ("3", 2**70))),
            writer.write(row(4)),
            return_exceptions=True,
        )
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [type(None), StoreError, UnicodeEncodeError, OverflowError, type(None)]
        await writer.write(row(5))


async def test_a_full_database_is_one_sentence_and_loses_nothing_committed(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    connection = await open_writer(path)
    async with Writer(connection, path) as writer:
        await writer.write(row(0))
        await connection.execute("PRAGMA max_page_count = 60")
        with pytest.raises(
            StoreError, match=r"the disk that holds .* is full .* free some space and run the same command again"
        ):
            for number in range(1, 1000):
                await writer.write((PUT, (str(number), "x" * 4000)))
        await connection.execute("PRAGMA max_page_count = 100000")
        await writer.write((PUT, ("after", "x")))
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM meta WHERE key IN ('0', 'after')").fetchone() == (2,)
    database.close()


async def test_a_long_stream_counts_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.db"

    async def groups(fail: bool) -> AsyncIterator[Sequence[Statement]]:
        for start in range(0, 100, 10):
            if fail and start == 50:
                raise ValueError("stop")
            yield [row(number) for number in range(start, start + 10)]

    async with Writer(await open_writer(path), path) as writer:
        with pytest.raises(ValueError, match="stop"):
            await writer.exclusively(groups(fail=True))
        with sqlite3.connect(path) as database:
            assert database.execute("SELECT count(*) FROM meta").fetchone() == (0,)
            await writer.exclusively(groups(fail=False))
            assert database.execute("SELECT count(*) FROM meta").fetchone() == (100,)
        database.close()


async def test_writing_after_the_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with Writer(await open_writer(path), path) as writer:
        pass
    with pytest.raises(StoreError, match="is closed"):
        await writer.write(row(1))


async def test_an_error_after_which_sqlite_has_rolled_back_itself_is_raised_as_it_is(tmp_path: Path) -> None:
    connection = await open_writer(tmp_path / "run.db")
    try:
        await connection.execute(*row(1))
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            async with transaction(connection):
                await connection.execute(PUT.replace("INSERT", "INSERT OR ROLLBACK"), ("1", "y"))
        assert not connection.in_transaction
    finally:
        await connection.close()
