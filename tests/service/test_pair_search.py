"""Pairs are searched, sorted and counted by an index beside the runs, and paged through without one."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from clairgen.service.pair_indexes import PairIndexes, index_words
from clairgen.service.pair_pages import PageQuery, pair_page
from clairgen.store import IndexState, RunDirectory
from tests.service.served import ids, made, rows, served

PAIRS = [
    {"prompt": "Add 2 and 2", "chosen": "It is four, surely.", "rejected": "five"},
    {"prompt": "Name a fish", "chosen": "A carp", "rejected": "A carp."},
    {"prompt": "Name a bird", "chosen": "A crow, or a carp-eating heron", "rejected": "Four crows, a crowd"},
]


async def test_words_metrics_and_order_choose_pairs(tmp_path: Path) -> None:
    await made(tmp_path / "runs", PAIRS)
    async with served(tmp_path / "runs") as client:
        four, fish, bird = await ids(client)
        assert await ids(client, q="CARP") == [fish, bird]
        assert await ids(client, q='"a carp"', sort="character_difference", order="desc") == [bird, fish]
        assert await ids(client, q="four nam* -") == [bird]
        assert await ids(client, min_levenshtein="2", sort="jaccard") == [four, bird]
        assert await ids(client, below_levenshtein="2", min_jaccard="0", recipe="imported", kept="true") == [fish]
        assert await ids(client, sort="made", order="desc", limit="2") == [bird, fish]
        page = (await client.get("/api/runs/first/pairs", params={"q": "four", "limit": "1"})).json()
        assert (page["after"], page["count"], page["index"]) == (four, {"pairs": 2, "certainty": "exact"}, None)
        beside = (await client.get(f"/api/runs/first/pairs/{bird}", params={"q": "four"})).json()
        assert (beside["previous"], beside["next"]) == (four, None)


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("q=%22%22*", 400, "q: there is no word to search for"),
        ("q=it*", 400, "q: the beginning of a word has at least 3 characters: it*"),
        ("sort=size", 422, "sort: Input should be 'jaccard', 'levenshtein'"),
        ("order=up", 422, "order: Input should be 'asc' or 'desc'"),
        ("min_jaccard=a", 422, "min_jaccard: Input should be a valid number"),
        ("below_length_ratio=nan", 422, "below_length_ratio: Input should be a finite number"),
        ("max_jaccard=1", 422, "max_jaccard: Extra inputs are not permitted"),
    ],
)
async def test_what_cannot_be_looked_for_is_said(tmp_path: Path, query: str, status: int, said: str) -> None:
    await made(tmp_path / "runs", PAIRS)
    async with served(tmp_path / "runs") as client:
        answer = await client.get(f"/api/runs/first/pairs?{query}")
        assert answer.status_code == status
        assert said in answer.json()["detail"]
        page = await client.get(f"/runs/first/pairs?{query}")
        assert page.status_code == (
            200 if query.startswith("q=") else status
        )  # a typed search leaves the form where it is
        assert said.replace("'", "&#39;") in page.text


async def test_the_form_and_its_links_keep_what_is_searched_for(tmp_path: Path) -> None:
    await made(tmp_path / "runs", PAIRS)
    query = {
        "q": '"a carp" <b>',
        "sort": "jaccard",
        "order": "desc",
        "min_jaccard": "0.01",
        "below_jaccard": "",
        "value": "",
    }
    async with served(tmp_path / "runs") as client:
        page = (await client.get("/runs/first/pairs", params={**query, "q": "carp", "limit": "1"})).text
        assert "2 pairs" in page
        assert '<option value="jaccard" selected>' in page
        assert 'name="min_jaccard" value="0.01"' in page
        [after] = re.findall(r'rel="next" href="([^"]+)"', page)
        assert "q=carp&amp;sort=jaccard&amp;order=desc&amp;min_jaccard=0.01" in after
        [pair] = re.findall(r'class="row" href="([^"]+)"', page)
        whole = (await client.get(pair.replace("&amp;", "&"))).text
        assert (
            "q=carp&amp;sort=jaccard&amp;order=desc&amp;min_jaccard=0.01"
            in re.findall(r'rel="next" href="([^"]+)"', whole)[0]
        )
        hostile = await client.get("/runs/first/pairs", params=query)
        assert 'value="&#34;a carp&#34; &lt;b&gt;"' in hostile.text


async def test_without_an_index_pairs_are_paged_through_and_the_reason_is_said(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(3))
    (tmp_path / "runs" / ".clairgen").write_text("no folder")
    async with served(tmp_path / "runs") as client:
        assert len(await ids(client)) == 3
        assert len(await ids(client, dropped="identical")) == 1
        page = (await client.get("/api/runs/first/pairs")).json()
        assert "cannot be searched or sorted: the folder" in page["index"]
        assert page["count"] is None
        refused = await client.get("/api/runs/first/pairs?q=answer")
        assert refused.status_code == 409
        assert "cannot be searched" in refused.json()["detail"]
        assert "cannot be searched" in (await client.get("/runs/first/pairs?q=answer")).text
        assert (await client.get(f"/runs/first/pairs/{(await ids(client))[0]}?q=answer")).status_code == 200


async def test_a_link_in_place_of_the_index_is_not_followed(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(3))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs" / ".clairgen").symlink_to(tmp_path / "elsewhere")
    async with served(tmp_path / "runs") as client:
        assert "is a link" in (await client.get("/api/runs/first/pairs")).json()["index"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_a_damaged_or_deleted_index_is_made_again(tmp_path: Path) -> None:
    await made(tmp_path / "runs", PAIRS)
    file = tmp_path / "runs" / ".clairgen" / "index" / "first.db"
    for damage in (lambda: file.write_bytes(b"garbage" * 1000), file.unlink):
        async with served(tmp_path / "runs") as client:
            assert len(await ids(client, q="carp")) == 2
        damage()
        async with served(tmp_path / "runs") as client:
            answers = [await client.get("/api/runs/first/pairs?q=carp") for _ in range(2)]
            assert {answer.status_code for answer in answers} <= {200, 409, 503}
            assert len(answers[-1].json()["pairs"]) == 2
    async with served(tmp_path / "runs") as client:  # while the service runs
        assert len(await ids(client, q="carp")) == 2
        file.write_bytes(b"garbage" * 1000)
        answers = [await client.get("/api/runs/first/pairs?q=carp") for _ in range(3)]
        assert len(answers[-1].json()["pairs"]) == 2


async def test_the_index_of_a_run_that_is_gone_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / ".clairgen" / "index"
    for name in ("first", "second"):
        run = await made(tmp_path / "runs", rows(2), name)
        async with served(tmp_path / "runs") as client:
            await ids(client, name)
    assert {file.stem for file in folder.glob("*.db")} == {"first", "second"}
    run.rename(tmp_path / "elsewhere")
    async with served(tmp_path / "runs") as client:
        await ids(client)
    assert {file.stem for file in folder.glob("*.db")} == {"first"}


async def test_a_page_does_not_wait_for_a_long_index(tmp_path: Path) -> None:
    run = RunDirectory(await made(tmp_path / "runs", PAIRS))
    indexes = PairIndexes(tmp_path / "runs", wait_seconds=0)
    async with indexes._syncing:  # as while another run is read
        page = await pair_page(run, PageQuery(), indexes)
        assert len(page.pairs) == 3
        assert "is being made: 0% of" in (index_words(page.index) or "")
        searched = await pair_page(run, PageQuery(q="carp"), indexes)
        assert searched.pairs == []
        assert "is being made" in str(searched.fault)
    async with asyncio.timeout(10):
        while not (await indexes.state(run)).is_current:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
    searched = await pair_page(run, PageQuery(q="carp"), indexes)
    assert [len(searched.pairs), searched.fault, index_words(searched.index)] == [2, None, None]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (IndexState(pairs=1, of=4), "25% of 4 pairs"),
        (IndexState(4, 4, is_complete=True, changes=2), "The index is 2 changes of pairs behind the run"),
        (IndexState(problem="the disk is full"), "cannot be searched or sorted: the disk is full"),
    ],
)
def test_how_far_an_index_is_can_be_read(state: IndexState, words: str) -> None:
    assert words in (index_words(state) or "")


def test_a_link_says_numbers_exactly() -> None:
    parameters: dict[str, Any] = PageQuery(min_length_ratio=2**-0.75, below_levenshtein=12).parameters
    assert float(parameters["min_length_ratio"]) == 2**-0.75
    assert parameters["below_levenshtein"] == "12"


def test_a_limit_of_zero_is_a_limit_and_an_empty_one_is_none() -> None:
    query = PageQuery.model_validate({"min_score_difference": 0.0, "below_jaccard": "", "sort": "", "after": ""})
    assert query.parameters == {"min_score_difference": "0"}
