"""The HTTP API says what the commands say, reads beside a writer, and keeps votes."""

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.service.answers import Answered
from clairgen.service.kept_figures import KeptFigures
from clairgen.store import RunDirectory, Vote
from tests.cli.commands import clairgen
from tests.service.served import ids, made, rows, served
from tests.store.test_migration import OLD


async def test_it_says_what_the_commands_say(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(6))
    async with served(tmp_path / "runs") as client:
        status, report = await client.get("/api/runs/first"), await client.get("/api/runs/first/report")
        assert status.json() == json.loads((await clairgen("status", run, "--json")).out)
        assert report.json() == json.loads((await clairgen("report", run, "--json")).out)
        assert (await client.get("/api/runs")).json() == [
            {
                "name": "first",
                "state": "no log",
                "pairs": {"imported": {"made": 6}},
                "spent_usd": 0.0,
                "running": False,
                "problem": None,
            }
        ]


async def test_paging_gives_every_pair_once_in_both_directions(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(7))
    async with served(tmp_path / "runs") as client:
        everything = await ids(client)
        forward: list[str] = []
        page: dict[str, Any] = {"after": "", "before": ""}
        while page["after"] is not None:
            query = {"limit": "3", "after": page["after"]}
            page = (await client.get("/api/runs/first/pairs", params=query)).json()
            forward += [pair["id"] for pair in page["pairs"]]
        backward: list[str] = []
        while page["before"] is not None:
            query = {"limit": "2", "before": page["before"]}
            page = (await client.get("/api/runs/first/pairs", params=query)).json()
            backward = [pair["id"] for pair in page["pairs"]] + backward
    assert len(everything) == 7
    assert forward == everything
    assert backward == everything[:6]  # before the first pair of the last page


async def test_pairs_are_chosen_on_the_server(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(6))
    await clairgen("filter", run, "--length-ratio", "2:", "--mark")
    async with served(tmp_path / "runs") as client:
        everything = await ids(client)
        assert await ids(client, kept="true") == [one for n, one in enumerate(everything) if n % 3]
        assert await ids(client, dropped="identical") == everything[::3]
        assert await ids(client, column="source", value="b") == everything[1::2]
        assert await ids(client, column="source", value="b", kept="true") == [everything[1], everything[5]]
        assert await ids(client, recipe="imported", dropped="", mark="") == everything
        assert await ids(client, dropped="nothing") == []
        beside = (await client.get(f"/api/runs/first/pairs/{everything[2]}", params={"kept": "true"})).json()
        assert (beside["previous"], beside["next"]) == (everything[1], everything[4])


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("recipe=clair", 400, "has no recipe 'clair'; it has imported"),
        ("colour=red", 422, "colour: Extra inputs are not permitted"),
        ("column=source", 422, "column and value are given together"),
        ("limit=0", 422, "limit: Input should be greater than or equal to 1"),
        ("limit=x", 422, "limit: "),
        ("after=x", 422, "after: "),
        (f"after={'0' * 32}", 400, "has no pair 0000"),
        (f"recipe={'x' * 2000}", 422, "recipe: "),
    ],
)
async def test_a_query_that_is_not_understood_is_refused_by_name(
    tmp_path: Path, query: str, status: int, said: str
) -> None:
    await made(tmp_path / "runs", rows(1))
    async with served(tmp_path / "runs") as client:
        answer = await client.get(f"/api/runs/first/pairs?{query}")
        assert answer.status_code == status
        assert said in answer.json()["detail"]


async def test_votes_are_kept_and_the_latest_of_each_voter_counts(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(3))
    async with served(tmp_path / "runs") as client:
        pair = (await ids(client))[1]
        votes = f"/api/runs/first/pairs/{pair}/votes"
        first = await client.post(votes, json={"vote": "drop", "voter": "ada", "note": "too long"})
        assert (first.status_code, first.json()) == (201, {"pair_id": pair, "others": 0, "is_new": True})
        assert not (await client.post(votes, json={"vote": "drop", "voter": "ada", "note": "too long"})).json()[
            "is_new"
        ]
        await client.post(votes, json={"vote": "keep", "voter": "ada"})
        assert (await client.post(votes, json={"vote": "swap", "voter": "ben"})).json()["others"] == 1
        found = (await client.get(votes)).json()
        assert [(one["voter"], one["vote"], one["note"]) for one in found] == [
            ("ada", "keep", None),
            ("ben", "swap", None),
        ]
        assert (await client.get(f"/api/runs/first/pairs/{pair}")).json()["votes"] == found
    seen = await clairgen("show", run, "--pair", pair)
    assert "keep by ada" in seen.out


async def test_votes_that_come_at_once_are_all_kept(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        votes = f"/api/runs/first/pairs/{(await ids(client))[1]}/votes"
        cast = [client.post(votes, json={"vote": "keep", "voter": f"voter {n}"}) for n in range(12)]
        assert {answer.status_code for answer in await asyncio.gather(*cast)} == {201}
        assert len((await client.get(votes)).json()) == 12


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"vote": "keep", "voter": " "}, 400, "the voter is a name of 1 to 200 printable characters"),
        ({"vote": "keep", "voter": "a\x1b"}, 400, "the voter is a name"),
        ({"vote": "keep"}, 400, "the voter is a name"),
        ({"vote": "perhaps", "voter": "a"}, 422, "vote: Input should be 'keep'"),
        ({"vote": "keep", "voter": "a", "note": "x" * 10_001}, 400, "the note is a text of at most 10,000 characters"),
        ({"vote": "keep", "voter": "a", "version": "0"}, 409, "has other answers by now than those that you saw"),
        ({"vote": "keep", "voter": "a", "weight": 3}, 422, "weight: Extra inputs"),
    ],
)
async def test_a_vote_that_cannot_be_kept_is_refused(
    tmp_path: Path, body: dict[str, object], status: int, said: str
) -> None:
    run = await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        answer = await client.post(f"/api/runs/first/pairs/{(await ids(client))[0]}/votes", json=body)
        assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
    with closing(sqlite3.connect(run / "run.db")) as database:
        assert database.execute("SELECT count(*) FROM votes").fetchone() == (0,)


async def test_it_reads_and_votes_while_another_process_has_the_run(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        with RunDirectory(run).locked():
            pair = (await ids(client))[0]
            answer = await client.post(f"/api/runs/first/pairs/{pair}/votes", json={"vote": "keep", "voter": "a"})
            assert answer.status_code == 201
            assert (await client.get("/api/runs/first/report")).json()[0]["votes"] == {"voters": 1, "keep": 1}


async def test_reading_and_voting_never_migrate_a_run(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "old"
    run.mkdir(parents=True)
    with closing(sqlite3.connect(run / "run.db")) as database:
        database.executescript((OLD / "run.sql").read_text(encoding="utf-8"))
        [[pair]] = database.execute("SELECT id FROM pairs WHERE status = 'made' LIMIT 1").fetchall()
    before = (run / "run.db").read_bytes()
    async with served(tmp_path / "runs") as client:
        [line] = (await client.get("/api/runs")).json()
        assert (line["state"], "clairgen migrate" in line["problem"]) == ("cannot be read", True)
        answer = await client.post(f"/api/runs/old/pairs/{pair}/votes", json={"vote": "keep", "voter": "a"})
        for refused in (answer, await client.get("/api/runs/old"), await client.get("/api/runs/old/report")):
            assert (refused.status_code, "clairgen migrate" in refused.json()["detail"]) == (409, True)
    assert (run / "run.db").read_bytes() == before


async def test_what_is_not_there_is_404(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(1))
    async with served(tmp_path / "runs") as client:
        for path in ("/api/runs/none", "/api/nothing", f"/api/runs/first/pairs/{'0' * 32}", "/api/runs/none/pairs"):
            answer = await client.get(path)
            assert (answer.status_code, list(answer.json())) == (404, ["detail"]), path
        absent = f"/api/runs/first/pairs/{'0' * 32}/votes"
        assert (await client.post(absent, json={"vote": "keep", "voter": "a"})).status_code == 404


async def test_a_run_that_vanishes_or_is_damaged_is_one_sentence(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(1))
    async with served(tmp_path / "runs") as client:
        assert (await client.get("/api/runs/first")).status_code == 200
        (run / "run.db").write_bytes(b"no database" * 100)
        answer = await client.get("/api/runs/first")
        assert (answer.status_code, "is not a database of a run" in answer.json()["detail"]) == (503, True)
        assert (await client.get("/api/runs")).json()[0]["state"] == "cannot be read"
        shutil.rmtree(run)
        assert (await client.get("/api/runs/first")).status_code == 404


async def test_the_report_is_computed_again_once_the_run_has_changed(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(3))
    now = [0.0]
    computed: list[int] = []

    async def count(directory: RunDirectory) -> int:
        computed.append(1)
        return (await api.status(directory.path)).tasks

    figures = KeptFigures(count, 30.0, lambda: now[0])
    assert [await figures.of(RunDirectory(run)) for _ in range(3)] == [3, 3, 3]
    await api.cast_vote(run, (await api.made_pairs(run, "imported"))[1].id, Vote.KEEP, "ada")
    await figures.of(RunDirectory(run))
    assert len(computed) == 1
    now[0] = 31.0
    await figures.of(RunDirectory(run))
    assert len(computed) == 2


async def test_a_report_that_takes_long_is_kept_for_longer(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(3))
    now = [0.0]

    async def slowly(_: RunDirectory) -> float:
        now[0] += 20.0
        return now[0]

    figures = KeptFigures(slowly, 30.0, lambda: now[0])
    assert await figures.of(RunDirectory(run)) == 20.0
    await api.cast_vote(run, (await api.made_pairs(run, "imported"))[1].id, Vote.KEEP, "ada")
    now[0] = 190.0
    assert await figures.of(RunDirectory(run)) == 20.0
    now[0] = 230.0
    assert await figures.of(RunDirectory(run)) == 250.0


async def test_any_text_can_be_answered(tmp_path: Path) -> None:
    """Hidden characters, half of a surrogate pair and a number that is none come out as JSON."""
    await made(tmp_path / "runs", [{"prompt": "a\u202e\x1b\u2028b", "chosen": "yes", "rejected": "no"}])
    async with served(tmp_path / "runs") as client:
        [pair] = await ids(client)
        whole = await client.get(f"/api/runs/first/pairs/{pair}")
        assert whole.content.isascii()
        assert whole.json()["prompt"] == [{"role": "user", "content": "a\u202e\x1b\u2028b"}]
        assert r"a\u202e\x1b\u2028b" in (await client.get(f"/runs/first/pairs/{pair}")).text
    assert json.loads(bytes(Answered(["\ud800", float("nan")]).body)) == ["\ud800", "nan"]


async def test_its_description_is_published(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(1))
    async with served(tmp_path / "runs") as client:
        described = (await client.get("/openapi.json")).json()
        assert set(described["paths"]) == {
            "/api/runs",
            "/api/runs/{run}",
            "/api/runs/{run}/progress",
            "/api/runs/{run}/events",
            "/api/compare",
            "/api/runs/{run}/report",
            "/api/runs/{run}/pairs",
            "/api/runs/{run}/pairs/{pair}",
            "/api/runs/{run}/pairs/{pair}/votes",
            "/api/runs/{run}/pairs/{pair}/revisions",
            "/api/runs/{run}/votes",
            "/api/runs/{run}/queues",
            "/api/runs/{run}/queues/{queue}",
            "/api/runs/{run}/queues/{queue}/next",
            "/api/runs/{run}/queues/{queue}/skip",
            "/api/runs/{run}/queues/{queue}/pairs/{pair}/votes",
            "/api/jobs",
            "/api/estimates",
            "/api/jobs/{job}",
            "/api/jobs/{job}/output",
            "/api/jobs/{job}/cancel",
            "/api/jobs/{job}/resume",
            "/api/jobs/{job}/files",
            "/api/jobs/{job}/files/{name}",
            "/api/jobs/{job}/archive",
            "/api/uploads",
            "/api/uploads/{name}",
            "/api/coordinator",
            "/api/coordinator/groups/{group}/join",
            "/api/coordinator/groups/{group}/leave",
            "/api/coordinator/groups/{group}/runs/{run_id}/free",
            "/api/coordinator/servers",
            "/api/coordinator/groups/{group}/beat",
            "/api/coordinator/groups/{group}/claim",
            "/api/coordinator/groups/{group}/forget",
            "/api/coordinator/servers/withdraw",
        }
        assert list(described["paths"]["/api/runs/{run}/events"]["get"]["responses"]["200"]["content"]) == [
            "text/event-stream"
        ]
        [pair] = await ids(client)
        whole = (await client.get(f"/api/runs/first/pairs/{pair}")).json()
        assert whole.keys() == described["components"]["schemas"]["PairObject"]["properties"].keys()
