"""The pages show what the API has, as text and nothing else, and work without a script."""

import hashlib
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cli.commands import clairgen
from tests.judges import judge_role, likes_the_first_position, playing
from tests.reporting.html.test_browser import ATTACKS
from tests.runs import config_text, questions, write_tasks
from tests.scripted import ScriptedEndpoint
from tests.service.served import ADDRESS, ballot, ids, made, rows, served

PLAIN = [attack for attack in ATTACKS if attack.isprintable()]
HOSTILE = "\n".join(ATTACKS[:-1])
NAME = "<img src=x onerror=alert(1)>&amp;'\" %2e%2e"


class Elements(HTMLParser):
    """All elements of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.append((tag, dict(attributes)))

    def named(self, tag: str) -> Iterator[dict[str, str | None]]:
        """The attributes of each element of a kind."""
        return (attributes for name, attributes in self.found if name == tag)


def check_inert(html: str) -> None:
    """Nothing but the service's own files is loaded or run."""
    page = Elements(html)
    scripts = [
        re.sub(r"\?.*", "", str(one["src"])) for one in page.named("script") if one.get("type") != "application/json"
    ]
    assert set(scripts) <= {f"/static/{name}.js" for name in ("service", "htmx", "live")}
    assert scripts[0] == "/static/service.js"
    assert {tag for tag, _ in page.found} & {"style", "iframe", "object", "embed", "img", "base", "b"} == set()
    assert [one for _, one in page.found if any(name.startswith("on") or name == "style" for name in one)] == []
    addresses = [str(one[name]) for _, one in page.found for name in ("href", "action", "src") if one.get(name)]
    assert [one for one in addresses if not one.startswith(("/", "#", "data:,"))] == []


async def test_hostile_text_stays_text_on_every_page(tmp_path: Path) -> None:
    content = [{"prompt": HOSTILE, "chosen": f"chosen {HOSTILE}", "rejected": f"rejected {HOSTILE}", "source": HOSTILE}]
    await made(tmp_path / "runs", content, NAME)
    run = f"/runs/{quote(NAME, safe='')}"
    async with served(tmp_path / "runs") as client:
        [pair] = await ids(client, quote(NAME, safe=""))
        form = await ballot(client, f"{run}/pairs/{pair}", "keep", "<b>ada</b>", HOSTILE)
        voted = await client.post(f"{run}/pairs/{pair}", data=form)
        assert voted.status_code == 303
        for path in (
            "/",
            run,
            f"{run}/pairs",
            f"{run}/pairs/{pair}",
            f"{run}/live",
            "/compare",
            f"/compare?left={quote(NAME)}:imported&right={quote(NAME)}:imported",
            f"/compare?left={quote(HOSTILE)}&right={quote(NAME)}:imported",
            f"{run}/pairs?mark={quote(HOSTILE)}",
            f"/runs/{quote('<b>x')}",
        ):
            answer = await client.get(path)
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            check_inert(answer.text)
        shown = unescape(re.sub(r"<[^>]+>", "", (await client.get(f"{run}/pairs/{pair}")).text))
        for attack in PLAIN:
            assert attack in shown
        assert "<b>ada</b>" in shown
        assert NAME in unescape((await client.get("/")).text)


async def test_a_reader_gets_from_the_runs_to_a_pair_by_links(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(60))
    async with served(tmp_path / "runs") as client:
        runs = Elements((await client.get("/")).text)
        assert "/runs/first" in {one.get("href") for one in runs.named("a")}
        report = await client.get("/runs/first")
        words = " ".join(re.sub(r"<[^>]+>", " ", report.text).split())
        assert "40 of 60 (67%)" in words
        assert "95% interval" in words
        assert "Next for imported:" in words or "Next:" in words
        check_inert(report.text)
        bars = [one for one in Elements(report.text).named("a") if "aria-label" in one]
        for bar in bars:
            kept_and_dropped = map(int, re.findall(r"(\d+) (?:kept|dropped)", str(bar["aria-label"])))
            behind = await client.get(f"/api{bar['href']}&limit=200")
            assert len(behind.json()["pairs"]) == sum(kept_and_dropped) > 0, bar
        assert {str(one["aria-label"]).split(":")[0] for one in bars} >= {"jaccard from 0.95", "levenshtein below 1"}
        kept = next(str(one["href"]) for one in Elements(report.text).named("a") if "kept=true" in str(one.get("href")))
        listed = await client.get(kept)
        check_inert(listed.text)
        rows_of_list = [str(one["href"]) for one in Elements(listed.text).named("a") if one.get("class") == "row"]
        assert len(rows_of_list) == 25
        pair = Elements((await client.get(rows_of_list[0])).text)
        [following] = [str(one["href"]) for one in pair.named("a") if one.get("rel") == "next"]
        assert following == rows_of_list[1]
        [next_page] = [str(one["href"]) for one in Elements(listed.text).named("a") if one.get("rel") == "next"]
        second = Elements((await client.get(next_page)).text)
        assert len([one for one in second.named("a") if one.get("class") == "row"]) == 15
        [previous] = [str(one["href"]) for one in second.named("a") if one.get("rel") == "prev"]
        assert [one for one in Elements((await client.get(previous)).text).named("a") if one.get("class") == "row"] == [
            one for one in Elements(listed.text).named("a") if one.get("class") == "row"
        ]


async def test_the_form_votes_without_a_script_and_knows_the_voter_again(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(3))
    async with served(tmp_path / "runs") as client:
        pair = (await ids(client))[1]
        page_of_pair = f"/runs/first/pairs/{pair}?kept=true"
        form = await ballot(client, page_of_pair, "swap", "Ada Ü", "one\r\ntwo")
        answer = await client.post(page_of_pair, data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/first/pairs/{pair}?kept=true#votes")
        assert "SameSite=strict" in answer.headers["set-cookie"]
        [vote] = (await client.get(f"/api/runs/first/pairs/{pair}/votes")).json()
        assert (vote["voter"], vote["vote"], vote["note"]) == ("Ada Ü", "swap", "one\ntwo")
        page = Elements((await client.get(f"/runs/first/pairs/{pair}")).text)
        assert next(one["value"] for one in page.named("input") if one.get("name") == "voter") == "Ada Ü"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("version=x&vote=keep&voter=a&voter=b", "application/x-www-form-urlencoded", 400),
        ("version=x&vote=keep&voter=a&colour=red", "application/x-www-form-urlencoded", 422),
        ("voter=a", "application/x-www-form-urlencoded", 422),
        ("version=x&vote=keep&voter=a", "application/x-www-form-urlencoded", 409),
        ("vote=keep&voter=a", "application/x-www-form-urlencoded", 422),
        ("version=x&vote=keep&voter=%ff", "application/x-www-form-urlencoded", 400),
        ("vote=keep&voter=a", "text/plain", 400),
        ("&".join(f"a{n}=1" for n in range(100)), "application/x-www-form-urlencoded", 400),
    ],
)
async def test_a_form_that_is_not_ours_is_refused(tmp_path: Path, body: str, kind: str, status: int) -> None:
    await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        pair = (await ids(client))[1]
        answer = await client.post(f"/runs/first/pairs/{pair}", content=body, headers={"Content-Type": kind})
        assert answer.status_code == status, answer.text
        assert (await client.get(f"/api/runs/first/pairs/{pair}/votes")).json() == []


async def test_what_judges_wrote_stands_beside_a_pair_that_they_did_not_decide(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(2))
    async with ScriptedEndpoint(playing(likes_the_first_position)) as endpoint:
        recipes = [{"name": "judge-on-policy", "order": "both"}]
        text = config_text(endpoint.url, tasks, recipes=recipes, judge=judge_role(endpoint.url))
        (tmp_path / "config.yaml").write_text(text)
        done = await clairgen("generate", tmp_path / "config.yaml", "--run", tmp_path / "runs" / "judged")
    assert done.code == 0, done
    async with served(tmp_path / "runs") as client:
        [first, _] = await ids(client, "judged", dropped="tie-between-orders")
        shown = (await client.get(f"/runs/judged/pairs/{first}")).text
        assert shown.count("reply of the judge, shown answer") == 2
        assert "there is nothing to vote on" in shown
        whole = (await client.get(f"/api/runs/judged/pairs/{first}")).json()
        assert (whole["chosen"], len(whole["answers"]), whole["dropped"]) == (None, 2, "tie-between-orders")
        assert {tuple(reply["shown"]) for reply in whole["judge_replies"]} == {(1, 2), (2, 1)}
        assert shown.count("another one in the other order") == 2
        assert [one["role"] for one in whole["requests"]] == ["target", "target", "judge", "judge"]
        assert whole["requests"][0]["messages"][-1]["content"] == whole["prompt"][-1]["content"]
        assert {one["text"] for one in whole["requests"][:2]} == {one["text"] for one in whole["answers"]}
        assert "4 requests, whose cost is not known" in shown
        assert shown.count("Sent: user") == 4
        refused = await client.post(f"/api/runs/judged/pairs/{first}/votes", json={"vote": "keep", "voter": "a"})
        assert (refused.status_code, "nothing to vote on" in refused.text) == (400, True)
        report = (await client.get("/runs/judged")).text
        assert "first position (100.0% first)" in report


async def test_the_answers_are_compared_in_one_text_or_beside_each_other_as_the_link_says(tmp_path: Path) -> None:
    await made(tmp_path / "runs", [{"prompt": "p", "chosen": "it is so", "rejected": "it was so"}] * 2 + rows(2)[1:])
    async with served(tmp_path / "runs") as client:
        [first, _] = await ids(client)
        inline = (await client.get(f"/runs/first/pairs/{first}")).text
        assert "it <del>was</del><ins>is</ins> so" in inline
        assert "Requests" not in inline
        [other] = re.findall(r'href="([^"]+)" id="other-diff"', inline)
        beside = (await client.get(other)).text
        assert "it <del>was</del> so" in beside
        assert "it <ins>is</ins> so" in beside
        [following] = re.findall(r'rel="next" href="([^"]+)"', beside)
        assert "diff=side-by-side" in following
        assert "diff" not in re.findall(r'href="([^"]+)" id="other-diff"', beside)[0]
        wrong = await client.get(f"/runs/first/pairs/{first}?diff=both")
        assert (wrong.status_code, "diff: Input should be" in wrong.text) == (422, True)


async def test_files_of_pages_may_be_kept_and_have_one_address_for_each_version(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    async with served(tmp_path / "runs") as client:
        page = await client.get("/")
        assert "There is no run in this folder yet" in page.text
        for address in re.findall(r'"(/static/[^"]+)"', page.text):
            file = await client.get(address, headers={"Host": ADDRESS.removeprefix("http://")})
            assert (file.status_code, "immutable" in file.headers["cache-control"]) == (200, True)
        assert (await client.get("/static/..%2fapp.py")).status_code == 404
        assert page.headers["cache-control"] == "no-store"


async def test_two_recipes_stand_side_by_side_with_what_differs(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(30), "a:b")
    await made(tmp_path / "runs", rows(31), "second")
    async with served(tmp_path / "runs") as client:
        assert 'href="/compare?left=second%3Aimported"' in (await client.get("/runs/second")).text
        both = {"left": "a:b:imported", "right": "second:imported"}
        shown = (await client.get("/compare", params=both)).text
        assert "% of pairs" in shown
        assert re.search(r"kept</th><td class=\"number\">66.7%</td><td class=\"number\">64.5%</td>", shown)
        assert 'href="/runs/a%3Ab/pairs?recipe=imported&amp;kept=true"' in shown
        assert '<option value="second:imported" selected>' in shown
        answer = (await client.get("/api/compare", params=both)).json()
        assert [answer[side]["n"] for side in ("left", "right")] == [30, 31]
        assert answer["differences"][0]["interval_95"][0] < answer["differences"][0]["difference"] < 0
        wrong = await client.get("/api/compare", params={**both, "left": "a:imported"})
        assert (wrong.status_code, "write RUN:RECIPE" in wrong.json()["detail"]) == (404, True)


async def test_a_folder_without_runs_says_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "my runs").mkdir()
    async with served(tmp_path / "my runs") as client:
        shown = unescape((await client.get("/")).text)
        assert f"clairgen generate first.yaml --run '{tmp_path}/my runs/first'" in shown
        assert "There is none in this folder yet." in (await client.get("/compare")).text


def test_files_of_others_are_the_ones_that_are_named_with_their_licences() -> None:
    folder = Path(str(files("clairgen.service"))) / "vendored"
    named = dict(
        re.findall(r"^\| `([\w.-]+)` .* `([0-9a-f]{64})` \|$", (folder / "README.md").read_text(), re.MULTILINE)
    )
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.suffix != ".txt"
    }
    assert found == {**named, "README.md": found["README.md"]}
    assert sorted(path.name for path in folder.glob("*.txt")) == ["htmx.LICENSE.txt", "uPlot.LICENSE.txt"]
