"""`clairgen vote`: the latest vote of each voter counts, in show, report, export and the measure of a judge."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from datasets import load_dataset

from clairgen import api
from clairgen.store import RunDirectory, Vote, reading
from clairgen.store.schema import MIGRATIONS
from tests.cli.commands import Done, clairgen
from tests.judges import JUDGE, shown
from tests.runs import config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said


async def made(folder: Path, count: int = 6) -> tuple[Path, list[str]]:
    """A run with pairs of the recipe clair, and their ids."""
    tasks = write_tasks(folder / "tasks.jsonl", questions(count))
    async with ScriptedEndpoint(played) as endpoint:
        (folder / "config.yaml").write_text(config_text(endpoint.url, tasks, recipes=["clair"]))
        done = await clairgen("generate", folder / "config.yaml", "--run", folder / "run")
    assert done.code == 0, done
    return folder / "run", [stored.id for stored in await api.made_pairs(folder / "run", "clair")]


async def vote(run: Path, pair: str, word: str, voter: str = "ada", *more: str) -> Done:
    return await clairgen("vote", run, pair, word, "--voter", voter, *more)


def rows(run: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(run / "run.db")) as database:
        return database.execute("SELECT pair_id, voter, vote, note FROM votes ORDER BY id").fetchall()


async def test_the_latest_vote_of_a_voter_counts_and_earlier_ones_are_kept(tmp_path: Path) -> None:
    run, [first, *_] = await made(tmp_path, 1)
    done = await vote(run, first[:10], "drop", "ada", "--note", "too long")
    assert done.code == 0, done
    assert done.out.startswith(f"{first}: drop\n")
    again = await vote(run, first, "drop", "ada", "--note", "too long")
    assert f"{first}: drop, as before" in again.out
    await vote(run, first, "keep")
    other = await vote(run, first, "swap", "ben")
    assert f"{first}: swap; 1 other voter" in other.out
    assert [row[1:] for row in rows(run)] == [
        ("ada", "drop", "too long"),
        ("ada", "keep", None),
        ("ben", "swap", None),
    ]
    seen = await clairgen("show", run, "--pair", first)
    votes = [line.split()[:4] for line in seen.out.splitlines() if line.startswith("vote")]
    assert [line[1:4] for line in votes] == [["keep", "by", "ada,"], ["swap", "by", "ben,"]]
    assert "drop" not in seen.out


async def test_votes_are_counted_in_the_report_and_exported(tmp_path: Path) -> None:
    run, ids = await made(tmp_path)
    for pair, words in zip(ids, ("keep keep", "keep swap", "drop", "tie", "swap swap keep"), strict=False):
        for number, word in enumerate(words.split()):
            await vote(run, pair, word, f"voter {number}")
    report = await clairgen("report", run)
    said_of_votes = "3 people voted on 5 pairs: keep 1, swap 1, tie 1, drop 1, disputed 1"
    assert said_of_votes in " ".join(report.out.split())
    [content] = json.loads((await clairgen("report", run, "--json")).out)
    assert content["votes"] == {"voters": 3, "keep": 1, "swap": 1, "tie": 1, "drop": 1, "disputed": 1}
    exported = await clairgen("export", run, tmp_path / "out")
    assert exported.code == 0, exported
    data = load_dataset(str(tmp_path / "out"), "clair", split="train")
    assert dict(zip(data["pair_id"], data["vote"], strict=True)) == dict(
        zip(ids, ("keep", "disputed", "drop", "tie", "swap", None), strict=True)
    )
    assert "`swap` (the rejected answer is better)" in (tmp_path / "out" / "README.md").read_text()


async def test_a_run_without_votes_has_no_such_column(tmp_path: Path) -> None:
    run, _ = await made(tmp_path, 1)
    await clairgen("export", run, tmp_path / "out")
    assert "vote" not in load_dataset(str(tmp_path / "out"), "clair", split="train").column_names
    assert json.loads((await clairgen("report", run, "--json")).out)[0]["votes"] is None


async def test_a_judge_is_measured_on_votes(tmp_path: Path) -> None:
    """The judge prefers the revised answer; people agree on two pairs, and want the other one on a third."""
    run, ids = await made(tmp_path)
    for pair, word in zip(ids, ("keep", "keep", "swap", "tie", "drop"), strict=False):
        await vote(run, pair, word)
    await vote(run, ids[5], "keep", "ada")
    await vote(run, ids[5], "swap", "ben")

    def judge(request: dict[str, Any]) -> Reply:
        first, _ = shown(request["messages"][-1]["content"])
        return said(f"[{1 if 'now better' in first else 2}]")

    async with ScriptedEndpoint(judge) as endpoint:
        named = ("--judge-endpoint", endpoint.url, "--judge-model", JUDGE)
        command = ("evaluate", "judge", "--votes", run, "--run", tmp_path / "evals", *named)
        done = await clairgen(*command, "--json")
        assert len(endpoint.asked) == 6
        both = await clairgen(*command, tmp_path / "file.jsonl")
    assert done.code == 0, done
    content = json.loads(done.out)
    assert (content["overall"]["n"], round(content["overall"]["mean"], 3)) == (3, 0.667)
    assert content["data"] == "votes of run"
    assert content["settings"]["subject"]["left out"] == {
        "disputed-by-voters": 1,
        "dropped-by-voters": 1,
        "tied": 1,
    }
    assert (both.code, "name what the judge is measured on: a FILE" in both.err) == (2, True)


async def test_a_judge_is_not_measured_where_nobody_voted(tmp_path: Path) -> None:
    run, _ = await made(tmp_path, 1)
    named = ("--judge-endpoint", "http://127.0.0.1:9/v1", "--judge-model", "m")
    done = await clairgen("evaluate", "judge", "--votes", run, "--run", tmp_path / "evals", *named)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "has no pair of which votes say which answer is better (nobody has voted yet)" in done.err


async def test_a_vote_no_longer_counts_once_the_pair_has_other_answers(tmp_path: Path) -> None:
    run, [first] = await made(tmp_path, 1)
    await vote(run, first, "keep")
    [stored] = await api.made_pairs(run, "clair")

    def better(request: dict[str, Any]) -> Reply:
        reply = played(request)
        return Reply(reply.body.replace(b"now better", b"much better"), headers=reply.headers)

    async with ScriptedEndpoint(better) as endpoint:
        text = config_text(endpoint.url, tmp_path / "tasks.jsonl", recipes=["clair"], reviser={"model": "reviser-2"})
        (tmp_path / "other.yaml").write_text(text)
        done = await clairgen("generate", tmp_path / "other.yaml", "--run", run, "--accept-changes")
    assert done.code == 0, done
    [now] = await api.made_pairs(run, "clair")
    assert now.id == stored.id and now.outcome != stored.outcome
    assert await api.votes(run, now) == []
    assert len(rows(run)) == 1
    await vote(run, first, "keep")
    assert [one.vote for one in await api.votes(run, now)] == [Vote.KEEP]


async def test_what_cannot_be_voted_on_is_refused_in_one_sentence(tmp_path: Path) -> None:
    run, _ = await made(tmp_path, 6)
    for arguments, sentence in (
        ((run, "nothing", "keep"), f"{run} has 0 made pairs of 'nothing'; see: clairgen show {run}"),
        ((run, "", "keep"), "has 0 made pairs of ''"),
        ((run, "%", "keep"), "has 0 made pairs of '%'"),
        ((run, "x" * 60_000, "keep"), "has 0 made pairs of"),
        ((tmp_path / "none", "a", "keep"), "is not a run directory"),
        ((run, "a", "keep", "--voter", " "), "--voter is a name of 1 to 200 printable characters"),
        ((run, "a", "keep", "--voter", "a\x1b"), "--voter is a name of 1 to 200 printable characters"),
    ):
        done = await clairgen("vote", *arguments)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done
        assert sentence in done.err
    unknown = await clairgen("vote", run, "a", "perhaps")
    assert unknown.code == 2
    assert "'perhaps' is not one of 'keep', 'swap', 'tie', 'drop'" in " ".join(unknown.err.split())


async def test_hostile_notes_are_shown_as_text(tmp_path: Path) -> None:
    run, [first] = await made(tmp_path, 1)
    await vote(run, first, "keep", "ada", "--note", "\x1b[31m\u202e[bold]x")
    seen = await clairgen("show", run, "--pair", first)
    assert "\x1b" not in seen.out and "\u202e" not in seen.out
    assert "[bold]x" in seen.out


async def test_votes_of_an_earlier_version_are_kept(tmp_path: Path) -> None:
    run, [first] = await made(tmp_path, 1)
    with closing(sqlite3.connect(run / "run.db")) as database:
        database.executescript(
            "DROP TABLE votes; CREATE TABLE votes (pair_id TEXT NOT NULL, voter TEXT NOT NULL, vote TEXT NOT NULL, note TEXT, "
            "created_at TEXT NOT NULL, PRIMARY KEY (pair_id, voter)) WITHOUT ROWID;"
        )
        database.execute("INSERT INTO votes VALUES (?, 'ada', 'swap', 'x', '2026-01-01T00:00:00')", (first,))
        [migration] = [sql for sql in MIGRATIONS if "TABLE cast_votes" in sql]
        database.executescript(migration)
    async with reading(RunDirectory(run)) as store:
        assert await store.votes.majorities() == {first: Vote.SWAP}
