import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairgen.store.write_ahead_log import CommittedPages, LogFollower, LogGapError

MANY = 1 << 20


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(opened(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT)")
        yield connection


def opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def put(connection: sqlite3.Connection, *keys: object) -> None:
    connection.execute("BEGIN")
    connection.executemany("INSERT OR REPLACE INTO t VALUES (?, hex(randomblob(300)))", [(str(key),) for key in keys])
    connection.execute("COMMIT")


def apply(pages: CommittedPages, file: Path) -> None:
    with file.open("r+b") as opened_file:
        for page, content in pages.pages.items():
            opened_file.seek((page - 1) * pages.page_bytes)
            opened_file.write(content)
        opened_file.truncate(pages.database_pages * pages.page_bytes)


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return list(database.iterdump())


def follow(follower: LogFollower, copy: Path, most_bytes: int | None = MANY) -> int:
    looks = 0
    while (found := follower.committed(most_bytes)) is not None:
        apply(found, copy)
        looks += 1
    return looks


def test_snapshot_and_what_is_committed_after_it_are_the_database(tmp_path: Path, writer: sqlite3.Connection) -> None:
    copy = tmp_path / "copy.db"
    put(writer, *range(50))
    with closing(LogFollower(tmp_path / "a.db")) as follower:
        follower.begin()
        follower.snapshot(copy)
        assert sorted(path.name for path in tmp_path.glob("copy.db*")) == ["copy.db"]
        assert follower.committed(MANY) is None
        put(writer, *range(40, 300))
        writer.execute("DELETE FROM t WHERE k < '3'")
        assert follow(follower, copy) == 1
        writer.execute("VACUUM")  # the database shrinks
        put(writer, "last")
        assert follow(follower, copy, most_bytes=1) == 2  # one commit at least, however large
        assert follower.committed(MANY) is None
    assert dump(copy) == dump(tmp_path / "a.db")


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["put", "delete", "roll back", "spill", "follow", "restart", "other"]), max_size=30))
def test_whatever_is_written_is_followed_through_restarts(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    path, copy, dice, gaps = folder / "a.db", folder / "copy.db", random.Random(len(steps)), 0
    with closing(opened(path)) as writer, closing(opened(path)) as other, closing(LogFollower(path)) as follower:
        writer.execute("CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT)")
        writer.execute("PRAGMA cache_size = 5")  # a large transaction writes into the log before it ends

        def begin() -> None:
            copy.unlink(missing_ok=True)
            follower.begin()
            follower.snapshot(copy)

        begin()
        for step in [*steps, "follow", "restart", "put", "follow"]:
            try:
                step_of(step, dice, writer, other, follower, copy)
            except LogGapError:
                gaps += 1
                begin()
        assert dump(copy) == dump(path)
    # The first transaction after a restart is rolled back, and another connection writes next: it gives the log salts of its own.
    assert gaps <= steps.count("roll back")


def step_of(
    step: str,
    dice: random.Random,
    writer: sqlite3.Connection,
    other: sqlite3.Connection,
    follower: LogFollower,
    copy: Path,
) -> None:
    keys = [dice.randrange(400) for _ in range(dice.randrange(1, 60))]
    if step in ("put", "other"):
        put(writer if step == "put" else other, *keys)
    elif step == "delete":
        writer.execute("DELETE FROM t WHERE k < ?", (str(keys[0]),))
    elif step in ("roll back", "spill"):
        writer.execute("BEGIN")
        writer.executemany("INSERT OR REPLACE INTO t VALUES (?, hex(zeroblob(900)))", [(key,) for key in keys])
        try:
            follow(follower, copy)  # sees nothing of it
        finally:
            writer.execute("ROLLBACK" if step == "roll back" else "COMMIT")
    else:
        follow(follower, copy, dice.choice([1, 5_000, None]))
        if step == "restart":
            follower.move_into_database()
            assert follower.restart()


def test_a_log_that_another_program_restarts_is_a_gap(tmp_path: Path, writer: sqlite3.Connection) -> None:
    with closing(LogFollower(tmp_path / "a.db")) as follower:
        follower.begin()
        put(writer, 1)
        with closing(sqlite3.connect(tmp_path / "a.db")) as other:
            assert other.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0
            put(writer, 2)
        with pytest.raises(LogGapError):
            follower.committed(MANY)
        follower.begin()
        assert follower.committed(MANY) is None
        put(writer, 3)
        assert follower.committed(MANY) is not None


def test_a_commit_between_the_last_look_and_the_restart_is_a_gap(tmp_path: Path, writer: sqlite3.Connection) -> None:
    with closing(LogFollower(tmp_path / "a.db")) as follower:
        follower.begin()
        put(writer, 1)
        assert follower.restart()
        put(writer, 2)
        with pytest.raises(LogGapError):
            follower.committed(MANY)


@pytest.mark.parametrize("mode", ["TRUNCATE", "deleted"])
def test_a_log_that_is_gone_is_a_gap(mode: str, tmp_path: Path, writer: sqlite3.Connection) -> None:
    with closing(LogFollower(tmp_path / "a.db")) as follower:
        follower.begin()
        put(writer, 1)
        assert follower.committed(MANY) is not None
        if mode == "deleted":
            (tmp_path / "a.db-wal").unlink()
        else:
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with pytest.raises(LogGapError):
            follower.committed(MANY)


def test_a_commit_that_is_not_written_to_its_end_is_not_seen_yet(tmp_path: Path, writer: sqlite3.Connection) -> None:
    log, copy = tmp_path / "a.db-wal", tmp_path / "copy.db"
    with closing(LogFollower(tmp_path / "a.db")) as follower:
        follower.begin()
        follower.snapshot(copy)
        put(writer, 1)
        before = log.stat().st_size
        put(writer, *range(100))
        whole = log.read_bytes()
        for end in (before + 10, before + 30, len(whole) - 4096, len(whole) - 1):
            os.truncate(log, end)
            follow(follower, copy)
            assert follower.committed(MANY) is None
        log.write_bytes(whole[:-8] + b"\0" * 8)  # of its last page, not all is there
        assert follower.committed(MANY) is None
        log.write_bytes(whole)
        assert follower.committed(MANY) is not None


def test_somebody_who_reads_in_the_log_puts_a_restart_off(tmp_path: Path, writer: sqlite3.Connection) -> None:
    with closing(LogFollower(tmp_path / "a.db")) as follower, closing(sqlite3.connect(tmp_path / "a.db")) as reader:
        follower.begin()
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM t").fetchall()
        put(writer, 1)
        assert follower.committed(MANY) is not None
        assert not follower.restart()
        put(writer, 2)
        assert follower.committed(MANY) is not None
        reader.execute("COMMIT")
        assert follower.restart()
        put(writer, 3)
        assert follower.committed(MANY) is not None
