import sqlite3
from pathlib import Path

import pytest

from clairgen.errors import RunError
from clairgen.store import RunDirectory, migrate, reading, writing
from clairgen.store.connection import open_reader, refuse_network_file_system
from clairgen.store.schema import MIGRATIONS, VERSION

TABLES = {
    *(
        "advice",
        "attempts",
        "completions",
        "configurations",
        "failures",
        "filter_results",
        "filter_sets",
        "judgements",
        "messages",
    ),
    *("meta", "pair_requests", "pairs", "plans", "spending", "tasks", "templates", "votes"),
}


async def made(path: Path) -> RunDirectory:
    run = RunDirectory(path)
    run.create()
    async with writing(run):
        pass
    return run


async def test_table_names_are_the_stable_face(tmp_path: Path) -> None:
    run = await made(tmp_path / "run")
    with sqlite3.connect(run.database) as database:
        assert {row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")} == TABLES
    database.close()


async def test_reading_never_migrates_and_names_the_command_that_does(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create()
    sqlite3.connect(run.database).close()
    run.database.touch()
    with pytest.raises(RunError, match=r"older version; bring it up to date with: clairgen migrate .*run"):
        await open_reader(run.database)
    assert await migrate(run.path) == (0, VERSION)
    assert await migrate(run.path) == (VERSION, VERSION)
    async with reading(run) as store:
        assert await store.tasks.count() == 0


async def test_a_run_from_before_advice_is_migrated_with_its_pairs(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create()
    with sqlite3.connect(run.database) as database:
        database.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
        database.execute("INSERT INTO pairs (id, position, task_id, recipe) VALUES ('a', 1, 'task', 'clair')")
    database.close()
    with pytest.raises(RunError, match="clairgen migrate"):
        await open_reader(run.database)
    assert await migrate(run.path) == (1, VERSION)
    async with reading(run) as store:
        assert await store.pairs.statuses() == {"clair": {"pending": 1}}
        assert await store.advice.numbers() == []


async def test_reading_beside_a_writer_sees_what_is_committed(tmp_path: Path) -> None:
    run = await made(tmp_path / "run")
    async with writing(run) as writer, reading(run) as reader:
        await writer.metadata.put("a", "1")
        assert await reader.metadata.get("a") == "1"


async def test_lock_is_held_by_one_and_let_go(tmp_path: Path) -> None:
    run = await made(tmp_path / "run")
    with run.locked(), pytest.raises(RunError, match="is in use by process"), RunDirectory(run.path).locked():
        pass
    with run.locked():
        pass


def test_network_file_systems_are_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    shared = tmp_path / "my share"
    mounts.write_text(f"dev / ext4 rw 0 0\nhost:/x {str(shared).replace(' ', chr(92) + '040')} nfs4 rw 0 0\n")
    refuse_network_file_system(tmp_path / "run" / "run.db", mounts)
    with pytest.raises(RunError, match=r"is on a network file system \(nfs4\)"):
        refuse_network_file_system(shared / "run" / "run.db", mounts)
