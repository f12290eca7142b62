"""The invariants of the trial by `kill -9` (`make kill-trial`) report what they are there for."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from clairgen.keys import seed_for
from tests.durability.invariants import (
    Money,
    Snapshot,
    after_rework,
    after_session,
    differences,
    files,
    is_whole,
    snapshot,
)
from tests.durability.provider import SLOTS, Session

EMPTY = Snapshot()
STORED = Snapshot({"a": "text"}, {("task-1", "clair"): ("better", "worse")}, counted=10**7)
SEED = seed_for(0, "a")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "run.db"
    with closing(sqlite3.connect(path)) as made:
        made.executescript((Path(__file__).parents[1] / "store" / "schema_2" / "run.sql").read_text(encoding="utf-8"))
    return path


def test_a_snapshot_holds_answers_pairs_and_money_of_a_run(database: Path) -> None:
    found = snapshot(database)
    assert (len(found.texts), len(found.made), found.integrity) == (55, 23, "ok")
    assert found.counted > 0
    assert {recipe for _, recipe in found.made} > {"degraded"}
    assert list(after_rework(found, snapshot(database), Session())) == []
    assert snapshot(database.with_name("absent.db")) == EMPTY


@pytest.mark.parametrize(
    ("deletion", "said"),
    [
        ("DELETE FROM completions WHERE rowid = 3", "1 stored answers are gone or changed"),
        ("UPDATE completions SET text = 'another' WHERE rowid < 3", "2 stored answers are gone or changed"),
        (
            "UPDATE pairs SET status = 'pending' WHERE position = 1 AND recipe = 'clair'",
            "1 pairs that were made are gone",
        ),
        ("DELETE FROM spending WHERE cost > 0", "the money spent has changed"),
    ],
)
def test_a_row_that_is_lost_is_reported(database: Path, deletion: str, said: str) -> None:
    before = snapshot(database)
    with closing(sqlite3.connect(database)) as changed:
        changed.execute(deletion)
        changed.commit()
    assert said in list(after_rework(before, snapshot(database), Session()))


def test_what_a_session_must_not_do_is_reported() -> None:
    once, twice = Session(Counter([SEED]), Counter([SEED])), Session(Counter([SEED]), Counter([SEED, SEED]))
    lost = Session(answered=Counter(range(2 * SLOTS + 1)))
    one, free = Session(answered=Counter([1])), Money(10**7, 2 * 10**7)
    for before, after, session, money, killed, said in (
        (
            STORED,
            EMPTY,
            Session(),
            None,
            True,
            ["1 stored answers are gone or changed", "1 pairs that were made are gone"],
        ),
        (STORED, STORED, once, None, True, ["1 stored answers were requested again"]),
        (EMPTY, STORED, twice, None, True, ["1 requests were answered twice in one session"]),
        (EMPTY, STORED, lost, None, True, [f"{2 * SLOTS + 1} answers were billed and not committed"]),
        (EMPTY, STORED, one, None, False, ["1 answers were billed and not committed, without a kill"]),
        (EMPTY, STORED, one, None, True, []),
        (EMPTY, STORED, once, free, True, []),
        (
            EMPTY,
            STORED,
            once,
            Money(11 * 10**6, 2 * 10**7),
            True,
            ["$0.000011 were billed, and the run accounts for $0.000010"],
        ),
        (
            EMPTY,
            STORED,
            once,
            Money(10**7, 9 * 10**6),
            True,
            ["the run accounts for $0.000010 with a budget of $0.000009"],
        ),
    ):
        assert list(after_session(before, after, session, money, killed=killed)) == said


def test_a_data_set_that_is_not_whole_and_rows_that_differ_are_reported(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "clair"
    assert list(is_whole(tmp_path / "out", {"clair/a.parquet": "some hash"})) == []
    folder.mkdir(parents=True)
    for name in "ab":
        (folder / f"{name}.parquet").write_text(name)
    whole = files(tmp_path / "out")
    assert list(is_whole(tmp_path / "out", whole)) == []
    (folder / "b.parquet").unlink()
    assert [*is_whole(tmp_path / "out", whole)] == ["out is not a whole data set: ['a.parquet', 'clair']"]
    assert [*differences({"pairs": {(1,)}}, {"pairs": {(1,)}})] == []
    [said] = differences({"pairs": {(1,), (3,)}}, {"pairs": {(1,), (2,)}})
    assert said == "pairs: 1 rows are missing and 1 should not be there, such as (2,)"
