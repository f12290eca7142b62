import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from clairgen.errors import RunError, StoreError
from clairgen.store import RunDirectory, migrate, reading, writing
from clairgen.store.read_connection import open_reader
from clairgen.store.schema import MIGRATIONS, VERSION

TABLES = {
    *(
        "advice",
        "evaluation_items",
        "evaluations",
        "attempts",
        "batch_lines",
        "batch_strays",
        "batches",
        "completions",
        "configurations",
        "failures",
        "pair_texts",
        "filter_results",
        "filter_sets",
        "judgements",
        "messages",
    ),
    *("meta", "pair_changes", "pair_requests", "pairs", "plans", "scores", "spending", "tasks", "templates", "votes"),
    *("review_queues", "queued_pairs", "leases", "revisions"),
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


async def test_reading_never_migrates_and_says_that_a_run_was_stopped_before_it_began(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create()
    sqlite3.connect(run.database).close()
    run.database.touch()
    with pytest.raises(RunError, match="holds nothing yet: the generate that made it was stopped before it began"):
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


@pytest.mark.parametrize("trace", ["config.yaml", "run.log", "run.db-wal"])
async def test_an_emptied_database_is_not_taken_for_a_new_run(trace: str, tmp_path: Path) -> None:
    run = await made(tmp_path / "run")
    os.truncate(run.database, 0)
    (run.path / trace).write_text("written by a run")
    for use in (run.create, run.refuse_emptied):
        with pytest.raises(RunError, match=rf"run\.db is empty although {trace} shows that the run has begun"):
            use()
    with pytest.raises(RunError, match=r"run\.db is empty"):
        await migrate(run.path)
    with pytest.raises(RunError, match=r"run\.db is empty"):
        async with reading(run):
            pass


async def test_a_run_that_was_killed_before_its_first_page_is_begun_again(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create()
    run.database.touch()
    (run.path / "lock").touch()
    run.create()
    async with writing(run) as store:
        assert await store.tasks.count() == 0


@contextlib.contextmanager
def folder_for_all() -> Iterator[Path]:
    """A folder that other users may enter, as they may not pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing can be written into a folder; root, who may do anything, becomes somebody else meanwhile."""
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


async def test_a_finished_run_in_a_folder_that_is_read_only_can_be_read() -> None:
    with folder_for_all() as folder:
        run = await made(folder / "run")
        with read_only(run.path):
            for snapshot in (False, True):
                async with reading(run, snapshot=snapshot) as store:
                    assert await store.tasks.count() == 0
        assert {path.name for path in run.path.iterdir()} == {"run.db"}


async def test_an_unfinished_run_in_a_folder_that_is_read_only_is_not_read_without_its_log() -> None:
    with folder_for_all() as folder:
        run = await made(folder / "run")
        (run.path / "run.db-wal").write_bytes(b"what was not merged yet")
        with read_only(run.path), pytest.raises(StoreError, match="check the folder's permissions"):
            async with reading(run):
                pass


async def test_a_run_that_was_killed_before_its_database_had_a_log_is_not_read_until_that_is_rolled_back(
    tmp_path: Path,
) -> None:
    run = await made(tmp_path / "run")
    with contextlib.closing(sqlite3.connect(run.database, isolation_level=None)) as killed:
        killed.execute("PRAGMA journal_mode = DELETE")
        killed.execute("PRAGMA cache_size = 1")  # so that pages are written before the commit
        killed.execute("BEGIN")
        killed.execute(
            "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 999) INSERT INTO meta SELECT i, hex(zeroblob(500)) FROM n"
        )
        left = RunDirectory(tmp_path / "left")
        shutil.copytree(run.path, left.path)
    assert (left.path / "run.db-journal").stat().st_size > 0
    with pytest.raises(RunError, match=r"stopped in the middle of a write; .*: clairgen migrate .*left"):
        await open_reader(left.database)
    assert await migrate(left.path) == (VERSION, VERSION)
    async with reading(left) as store:
        assert await store.metadata.get("7") is None


async def test_a_snapshot_is_of_one_moment_and_other_reading_is_not(tmp_path: Path) -> None:
    run = await made(tmp_path / "run")
    async with writing(run) as writer, reading(run, snapshot=True) as snapshot, reading(run) as store:
        await writer.metadata.put("run_id", "later")
        assert await snapshot.metadata.get("run_id") is None
        assert await store.metadata.get("run_id") == "later"
        async with reading(run, snapshot=True) as later:
            assert await later.metadata.get("run_id") == "later"
