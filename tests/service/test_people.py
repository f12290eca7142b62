"""People vote while a run goes on, are handed pairs by queues, and edit answers; nothing is lost or handed out twice."""

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from datasets import load_dataset

from clairgen import api
from clairgen.errors import InputError, RunError
from clairgen.pipeline.generate import Options, generate
from clairgen.records import Pair
from clairgen.store import PairChoice, Vote
from tests.cli.commands import clairgen
from tests.cli.forked import forked
from tests.reporting.html.test_browser import ATTACKS
from tests.runs import REVISER, config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint
from tests.service.served import ADAS, READ, ballot, ids, made, rows, served, tokens_of
from tests.service.test_pages import PLAIN, check_inert

VOTERS = ("ada", "ben", "cy")


def read(run: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(run / "run.db")) as database:
        return database.execute(sql).fetchall()


async def test_a_queue_hands_each_pair_to_as_many_people_as_wanted(tmp_path: Path) -> None:
    """Three people ask again and again at the same moments; what each gets, and how often a pair is given, is counted."""
    run = await made(tmp_path / "runs", rows(9))
    await api.make_queue(run, "first", PairChoice(kept=True), overlap=2)
    given = Counter[str]()
    seen: dict[str, list[str]] = {voter: [] for voter in VOTERS}

    async def work(voter: str) -> None:
        while (pair := await api.next_pair(run, "first", voter)) is not None:
            assert await api.next_pair(run, "first", voter) == pair  # a reload is no second pair
            given[pair] += 1
            seen[voter].append(pair)
            await api.cast_vote(run, pair, Vote.KEEP, voter, check=api.voting_in("first", voter))

    await asyncio.gather(*map(work, VOTERS))
    assert set(given.values()) == {2}
    assert len(given) == 6
    assert all(len(set(pairs)) == len(pairs) for pairs in seen.values())
    progress = await api.queue_progress(run, "first")
    assert (progress.pairs, progress.done, progress.begun, progress.waiting, progress.held) == (6, 6, 0, 0, 0)
    assert progress.by_voter == {voter: len(pairs) for voter, pairs in seen.items() if pairs}
    assert read(run, "SELECT count(*) FROM leases") == [(0,)]


@pytest.mark.process
async def test_processes_that_ask_at_once_hand_out_no_pair_too_often(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(30))
    await api.make_queue(run, "first", PairChoice(kept=True), overlap=2)
    command = [sys.executable, "-m", "tests.service.voting_processes", str(run), "first", "3"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    new = Counter((one["voter"], one["pair"]) for one in map(json.loads, done.stdout.splitlines()) if one["is_new"])
    assert set(new.values()) == {1}
    assert set(Counter(pair for _, pair in new).values()) == {2}
    assert len(new) == 40
    assert len({voter for voter, _ in new}) > 2
    assert read(run, "SELECT count(*) FROM votes") == [(40,)]


async def test_the_order_is_random_and_the_same_for_a_seed(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(20))
    for name, seed, pairs in (("a", 1, 20), ("b", 1, 20), ("c", 2, 20), ("d", 1, 5)):
        await api.make_queue(run, name, seed=seed, pairs=pairs)
    orders: dict[str, list[str]] = {}
    for queue, pair in read(run, "SELECT queue, pair_id FROM queued_pairs ORDER BY queue, position"):
        orders.setdefault(queue, []).append(pair)
    assert orders["a"] == orders["b"] != orders["c"]
    assert sorted(orders["a"]) == sorted(orders["c"]) != orders["a"]
    assert orders["d"] == orders["a"][:5]


async def test_who_goes_away_gives_the_pair_back(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(1) + rows(2)[1:])
    await api.make_queue(run, "q", PairChoice(kept=True), lease_seconds=60)
    now = 1000.0
    pair = await api.next_pair(run, "q", "ada", clock=lambda: now)
    assert pair is not None
    assert await api.next_pair(run, "q", "ben", clock=lambda: now) is None
    now += 61
    assert await api.next_pair(run, "q", "ben", clock=lambda: now) == pair
    with pytest.raises(RunError, match="is over and others have it now"):
        await api.cast_vote(run, pair, Vote.KEEP, "ada", check=api.voting_in("q", "ada", lambda: now))
    assert read(run, "SELECT count(*) FROM votes") == [(0,)]
    await api.give_back(run, "q", pair, "ben")
    assert await api.next_pair(run, "q", "ben", clock=lambda: now) is None  # it was skipped
    assert await api.next_pair(run, "q", "ada", clock=lambda: now) == pair
    await api.cast_vote(run, pair, Vote.TIE, "cy")  # outside of the queue
    await api.cast_vote(run, pair, Vote.KEEP, "ada", check=api.voting_in("q", "ada", lambda: now))  # she held it
    assert (await api.queue_progress(run, "q")).by_voter == {"ada": 1, "cy": 1}
    assert await api.next_pair(run, "q", "dan") is None


async def test_votes_outside_of_a_queue_count(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(3))
    await api.make_queue(run, "q", PairChoice(kept=True))
    pairs = [pair for (pair,) in read(run, "SELECT pair_id FROM queued_pairs ORDER BY position")]
    await api.cast_vote(run, pairs[0], Vote.KEEP, "ben")
    assert await api.next_pair(run, "q", "ada") == pairs[1]
    progress = await api.queue_progress(run, "q")
    assert (progress.done, progress.waiting, progress.held) == (1, 1, 1)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"name": "../x"}, "a queue's name has 1 to 100 letters"),
        ({"name": "q", "overlap": 0}, "overlap of a queue is between 1 and 100"),
        ({"name": "q", "pairs": 10_001}, "pairs of a queue is between 1 and 10,000"),
        ({"name": "q", "lease_seconds": 0}, "lease_seconds of a queue is between"),
        ({"name": "q", "seed": -1}, "the seed of a queue"),
        ({"name": "q", "choice": PairChoice(recipe="clair")}, "has no recipe 'clair'"),
        ({"name": "q", "choice": PairChoice(mark="nothing")}, "so the queue would be empty"),
    ],
)
async def test_a_queue_that_cannot_be_is_refused(tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    run = await made(tmp_path / "runs", rows(1))
    with pytest.raises(InputError, match=said):
        await api.make_queue(run, **asked)


@pytest.mark.parametrize("further", [{"q": "number"}, {"min_jaccard": 0.9}, {"sort": "jaccard"}])
async def test_a_queue_is_not_drawn_by_what_it_does_not_go_by(tmp_path: Path, further: dict[str, Any]) -> None:
    await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        refused = await client.post("/api/runs/first/queues", json={"name": "q", **further})
        assert (refused.status_code, next(iter(further)) in refused.json()["detail"]) == (422, True)
        assert (await client.get("/api/runs/first/queues")).json() == []


async def test_a_queue_is_gone_through_by_pages_alone(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(6))
    async with served(tmp_path / "runs") as client:
        form = {
            "name": "team",
            "recipe": "imported",
            "kept": "true",
            "pairs": "3",
            "overlap": "1",
            "minutes": "5",
            "seed": "",
        }
        assert (await client.post("/runs/first/people", data=form)).status_code == 303
        again = await client.post("/runs/first/people", data=form)
        assert (again.status_code, "has a queue team already" in again.text) == (400, True)
        taken = await client.post("/runs/first/queues/team/next", data={"voter": "ada"})
        addresses = []
        while "/pairs/" in (address := taken.headers["location"]):
            addresses.append(address)
            page = await client.get(address)
            check_inert(page.text)
            assert f"{len(addresses) - 1} of 3 pairs done" in page.text
            fields = await ballot(client, address, "keep", "ada")
            taken = await client.post(address, data=fields)
        assert len(set(addresses)) == 3
        assert address == "/runs/first/people?finished=team#queues"
        shown = (await client.get(address)).text
        assert "There is no pair left for you in the queue team." in shown
        assert "3 votes on 3 pairs" in " ".join(shown.split())
        assert "Next pair of team" not in shown  # a queue that is done hands nothing out
        check_inert(shown)
        stale = await client.post(addresses[0], data=await ballot(client, addresses[0], "keep", "ben"))
        assert (stale.status_code, "take the next pair" in stale.text) == (409, True)
        unknown = await client.post("/runs/first/queues/none/next", data={"voter": "ada"})
        assert unknown.status_code == 404
    assert read(run, "SELECT count(*) FROM votes") == [(3,)]


async def test_a_queue_hides_what_others_say_until_the_own_vote(tmp_path: Path) -> None:
    """The filter by votes marks pairs, and others' edits are listed; neither is shown before."""
    run = await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        pair = (await ids(client))[1]
        await api.make_queue(run, "team", PairChoice(kept=True), overlap=2, blind=False)
        await api.cast_vote(run, pair, Vote.SWAP, "ada")
        theirs = (await edited(client, pair, "Better")).json()["pair_id"]
        assert (await clairgen("filter", run, "--votes", "swap", "--mark", "votes")).code == 0
        address = (await client.post("/runs/first/queues/team/next", data={"voter": "ben"})).headers["location"]
        page = (await client.get(address)).text
        assert ("voted-swap" in page, "Edited already" in page) == (False, False)
        side = re.findall(r'href="([^"]*)" id="other-diff"', page)[0]
        assert side == f"{address}?diff=side-by-side"  # still in the queue
        assert f'action="{side}"' in (await client.get(side)).text
        fields = {"voter": "ben", "version": (await ballot(client, address, "keep", "ben"))["version"], "note": ""}
        edit = f"/runs/first/pairs/{pair}/edit"
        assert f'href="{edit}?queue=team"' in page
        assert 'name="queue" value="team"' in (await client.get(f"{edit}?queue=team")).text
        own = await client.post(edit, data=fields | {"answer": "chosen", "text": "Best", "queue": "team"})
        assert own.headers["location"] == address  # back to the queue
        page = (await client.get(address)).text
        assert ("the chosen answer by ben" in page, "the chosen answer by ada" in page) == (True, False)
        assert "You have edited this answer already" in (await client.get(edit)).text
        assert (await client.post(address, data=fields | {"vote": "keep"})).status_code == 303
        page = (await client.get(address)).text
        check_inert(page)
        assert ("voted-swap" in page, "the chosen answer by ada" in page) == (True, True)
        assert (
            f'An edit of <a href="/runs/first/pairs/{pair}">' in (await client.get(f"/runs/first/pairs/{theirs}")).text
        )


async def test_the_api_hands_pairs_out_and_says_how_far_a_queue_is(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(4))
    tokens = tokens_of(tmp_path)
    async with served(tmp_path / "runs", tokens) as client:
        client.headers["Authorization"] = f"Bearer {ADAS}"
        queue = {"name": "q", "kept": True, "pairs": 2, "column": "source", "value": "b"}
        done = await client.post("/api/runs/first/queues", json=queue)
        assert (done.status_code, done.json()["pairs"]) == (201, 1)
        assert done.json()["queue"]["choice"] == {"kept": True, "column": ["source", "b"]}
        handed = (await client.post("/api/runs/first/queues/q/next", json={})).json()["pair"]
        assert handed == (await client.post("/api/runs/first/queues/q/next", json={"voter": "ada"})).json()["pair"]
        other = await client.post("/api/runs/first/queues/q/next", json={"voter": "ben"})
        assert (other.status_code, "this token is that of ada" in other.json()["detail"]) == (403, True)
        skipped = await client.post("/api/runs/first/queues/q/skip", json={"pair": handed})
        assert skipped.json() == {"pair": None, "blind": None}
        client.headers["Authorization"] = f"Bearer {READ}"
        assert (await client.get("/api/runs/first/queues/q")).json()["waiting"] == 1
        assert (await client.post("/api/runs/first/queues/q/next", json={"voter": "x"})).status_code == 403
        assert (await client.get("/api/runs/first/queues/none")).status_code == 404


async def edited(client: httpx.AsyncClient, pair: str, text: str, **more: str) -> httpx.Response:
    version = (await client.get(f"/api/runs/first/pairs/{pair}")).json()["version"]
    asked = {"text": text, "version": version, "editor": "ada"} | more
    return await client.post(f"/api/runs/first/pairs/{pair}/revisions", json=asked)


async def test_an_edit_is_a_pair_of_its_own_and_the_same_edit_is_one(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        origin = (await ids(client))[1]
        first = await edited(client, origin, "Answer 1, in full and right.\n", note="it was wrong")
        assert (first.status_code, first.json()["is_new"]) == (201, True)
        assert (await edited(client, origin, "Answer 1, in full and right.", note="it was wrong")).json() == {
            "pair_id": first.json()["pair_id"],
            "is_new": False,
        }
        of_ben = await edited(client, origin, "Answer 1, in full and right.", editor="ben")
        assert of_ben.json() == {"pair_id": first.json()["pair_id"], "is_new": True}
        whole = (await client.get(f"/api/runs/first/pairs/{first.json()['pair_id']}")).json()
        assert (whole["recipe"], whole["chosen"]["text"]) == ("human-revision", "Answer 1, in full and right.")
        assert whole["rejected"]["text"] == "Answer 1, in full."
        assert whole["contrast"]["levenshtein"] == 10
        assert whole["source_columns"]["revised_by"] == "ada"
        assert whole["source_columns"]["revised_pair"] == origin
        other = (await edited(client, origin, "Answer 1, in full, and also right.")).json()["pair_id"]
        assert len(await ids(client, recipe="human-revision")) == 2  # ben's edit is still that of ben
        third = (await edited(client, origin, "Answer one, in full.", editor="ben")).json()["pair_id"]
        assert sorted(await ids(client, recipe="human-revision")) == sorted([other, third])
        of_rejected = await edited(client, origin, "No, 1 it is not", answer="rejected")
        whole = (await client.get(f"/api/runs/first/pairs/{of_rejected.json()['pair_id']}")).json()
        assert (whole["chosen"]["text"], whole["rejected"]["text"]) == ("No, 1 it is not", "No 1")
        kept = (await client.get(f"/api/runs/first/pairs/{origin}/revisions")).json()
        assert [(one["editor"], one["text"]) for one in kept] == [
            ("ada", "Answer 1, in full, and also right."),
            ("ben", "Answer one, in full."),
            ("ada", "No, 1 it is not"),
        ]
    assert read(run, "SELECT count(*) FROM revisions") == [(5,)]
    assert read(run, "SELECT count(*) FROM filter_results WHERE pair_id NOT IN (SELECT id FROM pairs)") == [(0,)]


async def test_an_edit_that_two_people_made_is_that_of_who_still_makes_it(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        origin = (await ids(client))[1]
        shared = (await edited(client, origin, "Better", note="it was wrong")).json()["pair_id"]

        async def credited() -> tuple[str, str | None]:
            whole = (await client.get(f"/api/runs/first/pairs/{shared}")).json()
            return whole["source_columns"]["revised_by"], whole["reasoning"]

        await edited(client, origin, "Better", editor="ben")
        assert await credited() == ("ada", "it was wrong")  # who gives no reason takes none away
        await edited(client, origin, "Better", editor="cy", note="too short")
        assert await credited() == ("ada", "too short")
        await edited(client, origin, "Best")
        assert await credited() == ("ben", "too short")
        await edited(client, origin, "Best", editor="cy")
        assert await credited() == ("ben", None)


async def test_an_edit_that_comes_back_is_filtered_by_its_votes(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(2))
    assert (await clairgen("filter", run, "--votes", "drop")).code == 0
    async with served(tmp_path / "runs") as client:
        origin = (await ids(client))[1]
        edit = (await edited(client, origin, "Answer 1, and better.")).json()["pair_id"]
        await api.cast_vote(run, edit, Vote.DROP, "ben")
        await edited(client, origin, "Answer 1, at its best.")
        assert (await clairgen("filter", run, "--votes", "drop")).code == 0
        assert (await edited(client, origin, "Answer 1, and better.")).json() == {"pair_id": edit, "is_new": True}
        assert await ids(client, dropped="voted-drop") == [edit]


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"text": "Answer 1, in full."}, 400, "is the answer as it was"),
        ({"text": "\nAnswer 1, in full.\r\n"}, 400, "is the answer as it was"),
        ({"text": "No 1"}, 400, "is the other answer of the pair"),
        ({"text": " \n"}, 400, "is empty"),
        ({"text": "a\0b"}, 400, "without a NUL"),
        ({"text": "x", "version": "0"}, 409, "has other answers by now"),
        ({"text": "x", "editor": " "}, 400, "the voter is a name"),
        ({"text": "x", "answer": "both"}, 422, "answer: Input should be 'chosen' or 'rejected'"),
        ({"text": "x", "note": "a\0"}, 400, "the note is a text"),
    ],
)
async def test_an_edit_that_cannot_be_kept_is_refused(
    tmp_path: Path, changes: dict[str, str], status: int, said: str
) -> None:
    run = await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        answer = await edited(client, (await ids(client))[1], **changes)
        assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
    with pytest.raises(InputError, match="as UTF-8"):
        await api.revise(run, (await api.made_pairs(run, "imported"))[1].id, "\ud800", "ada")
    assert read(run, "SELECT count(*) FROM revisions") == [(0,)]
    assert read(run, "SELECT count(*) FROM pairs") == [(2,)]


async def test_the_form_gives_an_answer_back_as_it_is(tmp_path: Path) -> None:
    text = "\n<b>first</b> &amp; line\n\n  indented\ttab </textarea><script>alert(1)</script>"
    content = [{"prompt": "p", "chosen": text, "rejected": "b"}, {"prompt": "q", "chosen": "a\u200bb", "rejected": "c"}]
    await made(tmp_path / "runs", content)
    async with served(tmp_path / "runs") as client:
        pair, hidden = await ids(client)
        page = (await client.get(f"/runs/first/pairs/{pair}/edit")).text
        check_inert(page)
        shown = unescape(page.split('spellcheck="true">\n')[1].split("</textarea>")[0])
        assert shown == (await client.get(f"/api/runs/first/pairs/{pair}")).json()["chosen"]["text"]
        fields = {"voter": "ada", "answer": "chosen", "note": "", "text": shown.replace("\n", "\r\n")}
        fields["version"] = (await client.get(f"/api/runs/first/pairs/{pair}")).json()["version"]
        same = await client.post(f"/runs/first/pairs/{pair}/edit", data=fields)
        assert (same.status_code, "is the answer as it was" in same.text) == (400, True)
        done = await client.post(f"/runs/first/pairs/{pair}/edit", data=fields | {"text": shown + " more"})
        assert done.status_code == 303
        assert "human-revision" in (await client.get(done.headers["location"])).text
        refused = (await client.get(f"/runs/first/pairs/{hidden}/edit")).text
        assert "has control characters that a form would lose" in refused
        assert "<textarea" not in refused


async def test_what_people_say_is_text_on_every_page(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        pair = (await ids(client))[1]
        await api.make_queue(tmp_path / "runs" / "first", "q")
        for number, attack in enumerate(ATTACKS[:-1]):
            name = attack if attack.isprintable() else "x"
            vote = {"vote": "keep", "voter": name[:200], "note": attack}
            assert (await client.post(f"/api/runs/first/pairs/{pair}/votes", json=vote)).status_code == 201
            assert (await edited(client, pair, f"{number} {attack}", editor=name[:200])).status_code == 201
        for path in ("/runs/first/people", "/runs/first", f"/runs/first/pairs/{pair}", "/runs/first/pairs"):
            check_inert((await client.get(path)).text)
        for edit in await ids(client, recipe="human-revision"):
            check_inert((await client.get(f"/runs/first/pairs/{edit}")).text)
        assert PLAIN[0] in unescape((await client.get("/runs/first/people")).text)


async def test_edits_are_reported_exported_and_left_alone_by_generate(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(3))
    run = tmp_path / "runs" / "first"
    (tmp_path / "runs").mkdir()
    async with ScriptedEndpoint(played) as endpoint:
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks, recipes=["clair"]))
        assert (await clairgen("generate", tmp_path / "config.yaml", "--run", run)).code == 0
        [first, *_] = await api.made_pairs(run, "clair")
        assert isinstance(first.outcome, Pair)
        (tmp_path / "better.txt").write_text(f"{first.outcome.chosen.text} and right")
        command = ("revise", run, first.id[:12], "--answer", tmp_path / "better.txt", "--by", "ada", "--note", "a sum")
        done = await clairgen(*command)
        assert (done.code, ": a pair of human-revision\n" in done.out) == (0, True), done
        assert ", as before\n" in (await clairgen(*command)).out
        asked = len(endpoint.asked)
        again = await clairgen("generate", tmp_path / "config.yaml", "--run", run)
        assert (again.code, len(endpoint.asked)) == (0, asked), again
        named = await clairgen("import", tmp_path / "tasks.jsonl", "--run", run, "--as", "human-revision")
        assert (named.code, "is what pairs are called that people make" in named.err) == (2, True)
        (tmp_path / "config.yaml").write_text(
            config_text(endpoint.url, tasks, recipes=[{"name": "clair", "as": "human-revision"}])
        )
        named = await clairgen("generate", tmp_path / "config.yaml", "--run", run)
        assert (named.code, "is the name of another recipe" in named.err) == (2, True)
    [edit] = await api.made_pairs(run, "human-revision")
    assert isinstance(edit.outcome, Pair)
    assert (edit.outcome.rejected, edit.outcome.reasoning) == (first.outcome.chosen, "a sum")
    status = json.loads((await clairgen("status", run, "--json")).out)
    assert status["pairs"] == {"clair": {"made": 3}, "human-revision": {"made": 1}}
    reports = json.loads((await clairgen("report", run, "--json")).out)
    assert [(one["recipe"], one["kept"]) for one in reports] == [("clair", 3), ("human-revision", 1)]
    assert (await clairgen("filter", run, "--length-ratio", "2:")).code == 0
    assert (await clairgen("filter", run, "--length-ratio", "0.5:2", "--drop", "near_duplicate")).code == 0
    await api.cast_vote(run, first.id, Vote.KEEP, "ben", "fine")
    exported = await clairgen("export", run, tmp_path / "out", "--votes")
    assert (exported.code, "also written: votes.jsonl, revisions.jsonl" in exported.out) == (0, True), exported
    [row] = load_dataset(str(tmp_path / "out"), "human-revision", split="train")
    assert (row["revised_by"], row["revised_pair"], row["chosen_model"]) == ("ada", first.id, "human")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "a person edited an answer of another pair" in card
    assert "| `revised_by` | who edited it |" in card
    [vote] = map(json.loads, (tmp_path / "out" / "votes.jsonl").read_text().splitlines())
    assert (vote["voter"], vote["note"], vote["counts"]) == ("ben", "fine", True)
    assert "a sum" in (tmp_path / "out" / "revisions.jsonl").read_text()


async def test_pairs_are_dropped_by_votes_once_they_are_filtered_again(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(3))
    pairs = [stored.id for stored in await api.made_pairs(run, "imported")]
    await api.cast_vote(run, pairs[1], Vote.SWAP, "ada")
    done = await clairgen("filter", run, "--votes", "drop,swap,tie")
    assert "1 voted-swap" in done.out
    assert (await clairgen("export", run, tmp_path / "out")).code == 0
    await api.cast_vote(run, pairs[2], Vote.TIE, "ada")
    refused = await clairgen("export", run, tmp_path / "out", "--overwrite")
    assert (refused.code, "people have voted since the filters" in refused.err) == (2, True)
    assert "1 voted-tie" in (await clairgen("filter", run)).out
    await api.cast_vote(run, pairs[2], Vote.KEEP, "ada")
    assert "voted-tie" not in (await clairgen("filter", run, "--fewest-votes", "0")).out
    assert "2 too-few-votes" in (await clairgen("filter", run, "--fewest-votes", "2", "--votes", "swap")).out


async def test_a_pair_that_is_made_again_as_it_was_is_still_dropped_by_its_votes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(2)), tmp_path / "run"
    filters = {"votes": "drop"}
    async with ScriptedEndpoint(played) as endpoint:
        given = config(endpoint.url, tasks, recipes=["clair"], filters=filters)
        assert (await generate(given, run)).dropped == {}
        await api.cast_vote(run, (await api.made_pairs(run, "clair"))[0].id, Vote.DROP, "ada")
        with pytest.raises(RunError, match="people have voted since the filters"):
            await api.export(run, tmp_path / "out")
        other = config(endpoint.url, tasks, recipes=["clair"], filters=filters, reviser={"temperature": 0.1})
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("clairgen.pipeline.generate.filter_again", killed)
            await generate(other, run, Options(accept_changes=True))
        with pytest.raises(RunError, match="or pairs were made again"):
            await api.export(run, tmp_path / "out")
        assert (await generate(other, run)).dropped == {"clair": {"voted-drop": 1}}
    assert (await api.export(run, tmp_path / "out")).skipped == {"voted-drop": 1}


async def killed(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.process
async def test_people_vote_and_edit_while_another_process_generates(tmp_path: Path) -> None:
    """All answers are made, none is asked for twice, and what people said meanwhile is there."""
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(150))
    run = tmp_path / "runs" / "first"
    (tmp_path / "runs").mkdir()
    voted, edits = set[str](), set[str]()

    def slow_until_people_are_done(request: dict[str, Any]) -> Reply:
        revised = sum(asked["model"] == REVISER for asked in endpoint.asked)
        return replace(played(request), delay_seconds=0.3 if revised > 20 and len(voted) < 10 else 0)

    async with ScriptedEndpoint(slow_until_people_are_done) as endpoint, served(tmp_path / "runs") as client:
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks, recipes=["clair"]))
        async with forked("generate", tmp_path / "config.yaml", "--run", run) as generating:
            pairs: list[str] = []
            for _ in range(600):
                answer = await client.get("/api/runs/first/pairs", params={"limit": "10"})
                if answer.status_code == 200 and len(answer.json()["pairs"]) == 10:
                    pairs = await ids(client, limit="10")
                    break
                await asyncio.sleep(0.02)
            for pair in pairs:
                vote = {"vote": "keep", "voter": "ada", "note": pair}
                answer = await client.post(f"/api/runs/first/pairs/{pair}/votes", json=vote)
                assert answer.status_code == 201, answer.text
                edits.add((await edited(client, pair, f"better {len(voted)}")).json()["pair_id"])
                voted.add(pair)
            asked_meanwhile = len(endpoint.asked)
            assert await generating.wait() == 0
        assert asked_meanwhile < 300 == len(endpoint.asked)
    assert read(run, "SELECT recipe, status, count(*) FROM pairs GROUP BY 1, 2") == [
        ("clair", "made", 150),
        ("human-revision", "made", 10),
    ]
    assert {pair for (pair,) in read(run, "SELECT pair_id FROM votes WHERE outdated_at IS NULL")} == voted
    assert {pair for (pair,) in read(run, "SELECT id FROM pairs WHERE recipe = 'human-revision'")} == edits
    assert read(run, "PRAGMA integrity_check") == [("ok",)]


async def test_a_name_is_one_however_it_is_typed(tmp_path: Path) -> None:
    """Composed or not, with one space or two; a name that differs by case alone is refused, unless a token says who it is."""
    run = await made(tmp_path / "runs", rows(3))
    stored = (await api.made_pairs(run, "imported"))[1]
    pair = stored.id
    await api.cast_vote(run, pair, Vote.KEEP, "Rene\u0301 D.")
    await api.cast_vote(run, pair, Vote.SWAP, " Ren\u00e9  D. ")
    await api.cast_vote(run, pair, Vote.KEEP, "Ada")
    assert {one.voter: one.vote for one in await api.votes(run, stored)} == {
        "Ren\u00e9 D.": Vote.SWAP,
        "Ada": Vote.KEEP,
    }
    await api.make_queue(run, "q")
    said = "there is already a voter Ada: use that name, or another"
    for refused in (api.cast_vote(run, pair, Vote.TIE, "ada"), api.next_pair(run, "q", "ADA")):
        with pytest.raises(InputError, match=said):
            await refused
    async with served(tmp_path / "runs", tokens_of(tmp_path)) as client:
        client.headers["Authorization"] = f"Bearer {ADAS}"
        assert (await client.post(f"/api/runs/first/pairs/{pair}/votes", json={"vote": "tie"})).status_code == 201
    await api.cast_vote(run, pair, Vote.SWAP, "Ada")  # who was there before stays who they are


async def test_who_skipped_a_pair_in_another_tab_is_told_so(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(2))
    await api.make_queue(run, "q", PairChoice(kept=True))
    pair = await api.next_pair(run, "q", "ada")
    assert pair is not None
    await api.give_back(run, "q", pair, "ada")
    with pytest.raises(RunError, match=f"you have skipped pair {pair}, perhaps in another tab"):
        await api.cast_vote(run, pair, Vote.KEEP, "ada", check=api.voting_in("q", "ada"))


def _prose(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


async def test_a_blind_queue_says_nothing_before_the_vote_and_all_after_it(tmp_path: Path) -> None:
    """Who votes for the longer answer, wherever it is, votes for the chosen one, and not for the position."""
    run = await made(tmp_path / "runs", rows(12))
    assert (await clairgen("filter", run, "--length-ratio", "0.1:2", "--mark", "length_ratio")).code == 0
    votes = dict[str, str]()
    async with served(tmp_path / "runs") as client:
        form = {"name": "team", "pairs": "6", "overlap": "2", "seed": "", "kept": "true", "blind": "true"}
        assert (await client.post("/runs/first/people", data=form)).status_code == 303
        unknown = await client.get(f"/runs/first/queues/team/pairs/{(await ids(client))[1]}")
        assert unknown.headers["location"] == "/runs/first/people#queues"
        at = await client.post("/runs/first/queues/team/next", data={"voter": "ada"})
        while "/pairs/" in (address := at.headers["location"]):
            page = (await client.get(address)).text
            check_inert(page)
            words = _prose(page)
            for telling in ("chosen", "rejected", "imported", "ratio", "source", "Jaccard", "edit", "keep", "swap"):
                assert telling not in page, telling
            assert not re.search("<(ins|del)", page)
            first, second = words.split("First answer")[1].split("Second answer")
            votes[address] = "first" if ", in full." in first else "second"
            assert (", in full." in second) == (votes[address] == "second")
            [version] = re.findall(r'name="version" value="(\w+)"', page)
            at = await client.post(address, data={"version": version, "voter": "ada", "vote": votes[address]})
        assert set(votes.values()) == {"first", "second"}
        seen = re.findall(r'href="([^"]*)">the whole pair', (await client.get(address)).text)[0]
        assert seen == [*votes][-1].partition("?")[0]
        assert "From rejected to chosen" in (await client.get(seen)).text
        again = {"version": (await ballot(client, seen, "swap", "ada"))["version"], "voter": "ada", "note": ""}
        assert (await client.post(seen, data=again | {"vote": "swap"})).status_code == 303
    async with served(tmp_path / "runs") as client:  # which keeps no earlier figures
        [report] = (await client.get("/api/runs/first/report")).json()
        found = report["agreement"]
        assert (found["preference"]["chosen"], found["preference"]["rejected"]) == (len(votes) - 1, 1)
        blind = found["blind"]
        assert (blind["votes"], blind["preference"]["chosen"]) == (len(votes) - 1, len(votes) - 1)
        firsts = Counter(votes[address] for address in [*votes][:-1])
        assert (blind["first"], blind["second"]) == (firsts["first"], firsts["second"])
        assert "prefer the answer shown first" in _prose((await client.get("/runs/first/people")).text)
        cast = (await client.get("/api/runs/first/votes")).json()
        assert [one["shown_first"] is None for one in cast] == [*[False] * len(votes), True]


async def test_the_api_of_a_blind_queue_shows_two_answers_in_an_order_of_each_voter(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        address = "/api/runs/first/queues/q"
        made_queue = await client.post("/api/runs/first/queues", json={"name": "q", "kept": True, "overlap": 20})
        assert (made_queue.json()["queue"]["blind"], made_queue.json()["queue"]["choice"]) == (True, {"kept": True})
        orders = Counter[str]()
        for number in range(8):
            voter = {"voter": f"voter {number}"}
            handed = (await client.post(f"{address}/next", json=voter)).json()
            shown = handed["blind"]
            assert set(shown) == {"pair", "version", "prompt", "first", "second"}
            assert handed == (await client.post(f"{address}/next", json=voter)).json()
            orders[shown["first"]] += 1
            vote = voter | {"vote": "first", "version": shown["version"]}
            done = await client.post(f"{address}/pairs/{handed['pair']}/votes", json=vote)
            assert (done.status_code, done.json()["is_new"]) == (201, True)
        assert len(orders) == 2
        said = Counter(vote for (vote,) in read(run, "SELECT vote FROM votes"))
        assert said == {"keep": orders["Answer 1, in full."], "swap": orders["No 1"]}
        await api.make_queue(run, "open", blind=False, overlap=20)
        assert (await client.post("/api/runs/first/queues/open/next", json={"voter": "x"})).json()["blind"] is None
        wrong = await client.post(f"/api/runs/first/queues/open/pairs/{handed['pair']}/votes", json=vote)
        assert (wrong.status_code, "is not blind" in wrong.json()["detail"]) == (400, True)
