"""A short write beside the holder of a run's lock: whole or not at all, and never lost once it was acknowledged."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from clairgen import api
from clairgen.errors import RunError, StoreError
from clairgen.store import RunDirectory, Store, Vote, connection, reading, short_write
from tests.service.served import made, rows
from tests.store.killed_writes import COMMIT_DELAYS, POINTS
from tests.store.test_migration import OLD


@pytest.mark.process
async def test_what_is_killed_in_the_middle_of_a_write_is_whole_or_not_there(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(2))
    pair = (await api.made_pairs(run, "imported"))[1].id
    command = [sys.executable, "-m", "tests.store.killed_writes", str(run), pair]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    trials = list(map(json.loads, done.stdout.splitlines()))
    assert len(trials) == len(POINTS) == 5 + 2 * len(COMMIT_DELAYS)
    with closing(sqlite3.connect(run / "run.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        voters = {who for (who,) in database.execute("SELECT voter FROM votes")}
        editors = {who for (who,) in database.execute("SELECT editor FROM revisions")}
        sql = "SELECT chosen FROM pairs JOIN pair_texts ON pair = number WHERE recipe = 'human-revision'"
        edits = {who for (who,) in database.execute(sql)}
    assert edits == {f"of {who}" for who in editors}  # a pair and the edit that it is from are there together
    for trial in trials:
        written = trial["who"] in voters | editors
        if trial["at"] == "never":
            assert trial["acknowledged"]
        elif trial["at"] != "COMMIT":
            assert not written
            assert not trial["acknowledged"]
        assert written >= trial["acknowledged"]


async def test_an_error_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    run = RunDirectory(await made(tmp_path / "runs", rows(1)))

    async def work(store: Store) -> None:
        await store.metadata.put("a", "b")
        raise RunError("no")

    with pytest.raises(RunError, match="no"):
        await short_write(run, work)
    async with reading(run) as store:
        assert await store.metadata.get("a") is None


async def test_it_never_migrates_a_run(tmp_path: Path) -> None:
    run = tmp_path / "old"
    run.mkdir()
    with closing(sqlite3.connect(run / "run.db")) as database:
        database.executescript((OLD / "run.sql").read_text(encoding="utf-8"))
    before = (run / "run.db").read_bytes()
    with pytest.raises(RunError, match="bring it up to date with: clairgen migrate"):
        await api.cast_vote(run, "a", Vote.KEEP, "ada")
    assert (run / "run.db").read_bytes() == before


async def test_it_waits_for_another_writer_and_says_if_that_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await made(tmp_path / "runs", rows(2))
    pair = (await api.made_pairs(run, "imported"))[1].id
    with closing(sqlite3.connect(run / "run.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.2, lambda: other.execute("COMMIT")).start()
        assert (await api.cast_vote(run, pair, Vote.KEEP, "ada")).is_new
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(connection, "_SHORT_BUSY_SECONDS", 0.1)
        with pytest.raises(StoreError, match="another command has been writing"):
            await api.cast_vote(run, pair, Vote.SWAP, "ada")
        other.execute("ROLLBACK")


async def test_votes_of_one_voter_at_once_are_all_kept_and_the_latest_counts(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(2))
    stored = (await api.made_pairs(run, "imported"))[1]
    await asyncio.gather(*(api.cast_vote(run, stored.id, Vote.KEEP, "ada", str(n)) for n in range(8)))
    with closing(sqlite3.connect(run / "run.db")) as database:
        notes = [note for (note,) in database.execute("SELECT note FROM votes ORDER BY id")]
    assert sorted(notes) == [str(n) for n in range(8)]
    assert [one.note for one in await api.votes(run, stored)] == [notes[-1]]
