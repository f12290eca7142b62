"""The pages of jobs: forms for every verb, what a job shows, and all of it as text without a script."""

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairgen.service.job_forms import example_configuration, filled_in, form_of
from clairgen.service.job_requests import REQUEST_MODELS
from clairgen.service.jobs import Jobs
from clairgen.service.request_checks import MOST_BODY_BYTES
from clairgen.service.submitted_config import checked
from tests.runs import config_text, played
from tests.scripted import ScriptedEndpoint
from tests.service.served import READ, job_when, made, policy_for, queue_of, rows, served, served_with_jobs, tokens_of
from tests.service.test_jobs import asked, body, folders
from tests.service.test_pages import NAME, check_inert


def key_in(page: str) -> str:
    [key] = re.findall(r'name="idempotency_key" value="([^"]+)"', page)
    return str(key)


async def sent(client: httpx.AsyncClient, address: str, **fields: str) -> str:
    """Where a form that was sent leads to."""
    answer = await client.post(address, data=fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def test_a_run_is_submitted_watched_cancelled_and_resumed_by_forms(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 2)
    async with ScriptedEndpoint(played) as endpoint, served_with_jobs(root, endpoint.url) as client:
        page = (await client.get("/jobs/new")).text
        check_inert(page)
        assert "classroom:student" in html.unescape(page)
        fields = {"verb": "generate", "run": "first", "limit": "1", "idempotency_key": key_in(page)}
        fields["configuration"] = str(body(endpoint.url, tasks)["configuration"])
        where = await sent(client, "/jobs", **fields)
        assert await sent(client, "/jobs", **fields) == where == "/jobs/1"  # as by a second click
        done = await job_when(client, 1, "done", "failed")
        assert done["exit_code"] == 0, done
        page = (await client.get(where)).text
        check_inert(page)
        for shown in ("clair 1 kept of 1", "--limit=1", 'href="/runs/first"', "Resume"):
            assert shown in page
        assert len(endpoint.asked) == 3
        assert await sent(client, f"{where}/resume") == where
        assert (await job_when(client, 1, "done", "failed"))["starts"] == 2
        assert len(endpoint.asked) == 3
        listed = (await client.get("/jobs?state=done")).text
        check_inert(listed)
        assert 'href="/jobs/1"' in listed
        assert "No jobs here yet" in (await client.get("/jobs?state=failed")).text


async def test_a_queued_job_is_cancelled_by_its_page_and_a_mistake_is_one_sentence(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    await made(root, rows(1), NAME)
    with queue_of(root) as queue:
        async with served(root, jobs=Jobs(policy_for(root), queue)) as client:
            where = await sent(client, "/jobs", verb="filter", run=NAME, jaccard="10:", drop="jaccard, truncated")
            page = (await client.get(where)).text
            check_inert(page)
            assert "--drop=jaccard --drop=truncated" in page
            check_inert((await client.get("/jobs")).text)
            await sent(client, f"{where}/cancel")
            assert "cancelled before it began" in (await client.get(where)).text
            for fields in ({"verb": "filter", "run": "none"}, {"verb": "x"}, {"verb": "filter", "run": "a", "b": "c"}):
                refused = await client.post("/jobs", data=fields)
                assert (refused.status_code, "That did not work" in refused.text) == (400, True)
            assert (await client.get("/jobs/99")).status_code == 404


@pytest.mark.parametrize("verb", REQUEST_MODELS)
async def test_every_verb_has_a_form_with_all_its_fields(tmp_path: Path, verb: str) -> None:
    root = tmp_path / "runs"
    await made(root, rows(1))
    with queue_of(root) as queue:
        async with served(root, jobs=Jobs(policy_for(root), queue)) as client:
            page = await client.get("/jobs/new", params={"verb": verb, "run": "first"})
            check_inert(page.text)
    assert "Undefined" not in page.text  # pydantic's word for a default that a factory makes
    names = set(re.findall(r'name="(\w+)"', page.text)) - {"viewport", "idempotency_key"}
    assert names - {"color"} == set(REQUEST_MODELS[verb].model_fields) - {"stored_configuration"}


def test_what_a_form_says_is_what_the_api_takes() -> None:
    form = {
        "name": "m",
        "data": "exports/a",
        "preset": "lora",
        "settings": 'beta: 0.5\r\nobjective: dpo\nlora: {"rank": 8}',
    }
    filled: dict[str, Any] = filled_in("train", form)
    assert filled["settings"] == {"beta": 0.5, "objective": "dpo", "lora": {"rank": 8}}
    filled = filled_in("export", {"run": "a", "name": "b", "recipe": "x, y", "matched": "on", "seed": ""})
    assert filled == {"verb": "export", "run": "a", "name": "b", "recipe": ["x", "y"], "matched": True}
    kinds = {field.name: field.kind for field in form_of("export", {})}
    assert (kinds["format"], kinds["recipe"], kinds["matched"], kinds["seed"]) == ("choice", "list", "switch", "number")


@pytest.mark.parametrize("which", ["classroom", "starter"])
def test_the_examples_may_be_submitted_as_they_are(tmp_path: Path, which: str) -> None:
    config = checked(example_configuration(which), policy_for(tmp_path))
    assert config.models["target"].endpoints == ["classroom:student"]
    assert config.tasks is not None
    assert config.tasks.path is not None
    assert config.tasks.path.is_file()


async def test_what_a_job_would_cost_is_said_before_it_is_submitted(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 3)
    async with ScriptedEndpoint(played) as endpoint, served_with_jobs(root, endpoint.url) as client:
        priced = {"price_per_million": {"input": 100, "output": 200}, "max_tokens": 1000}
        configuration = config_text(endpoint.url, tasks, **dict.fromkeys(("target", "reviser", "stronger"), priced))
        job = {"verb": "generate", "run": "first", "configuration": configuration, "limit": 2}
        found = (await client.post("/api/estimates", json=job)).json()
        assert {one["role"]: one["calls"] for one in found["roles"]} == {"target": 2, "reviser": 2, "stronger": 2}
        assert (found["tasks"], found["pairs_made"], found["spent_usd"]) == (2, 0, 0)
        assert 0 < found["expected_usd"] < found["most_usd"] <= 6 * 1000 * 200 / 1e6 + 0.2
        fields = {**job, "limit": "2", "idempotency_key": "once"}
        answer = await client.post("/jobs/estimate", data=fields)
        check_inert(answer.text)
        page = html.unescape(answer.text)
        assert (answer.status_code, "Expected: $0.7" in page, key_in(page)) == (200, True, "once"), page
        assert configuration.strip() in page
        assert endpoint.asked == []
        assert not (root / "first").exists()
        assert (await client.get("/api/jobs")).json()["jobs"] == []
        for change, status in (({"run": "../x"}, 400), ({"verb": "filter"}, 422), ({"configuration": "a: 1"}, 400)):
            assert (await client.post("/api/estimates", json=job | change)).status_code == status
        await sent(client, "/jobs", **{name: str(value) for name, value in fields.items()})
        await job_when(client, 1, "done", "failed")
        found = (await client.post("/api/estimates", json=job)).json()
        assert ([one["calls"] for one in found["roles"]], found["pairs_made"]) == ([0, 0, 0], 4)
        assert found["spent_usd"] > 0


async def test_a_file_is_uploaded_by_a_form_and_deleted(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    content = b"x" * (MOST_BODY_BYTES + 1) + b"\r\n--not the boundary\r\n"
    async with served_with_jobs(root) as client:
        file = {"file": ("pr\u00f6mpts.jsonl", content)}
        assert (await client.post("/uploads", files=file)).headers["location"] == "/uploads"
        assert (root / "uploads" / "pr\u00f6mpts.jsonl").read_bytes() == content
        page = (await client.get("/uploads")).text
        check_inert(page)
        assert "uploads/pr\u00f6mpts.jsonl" in page
        for files, status, about in (
            (file, 409, "choose another name"),
            ({"file": ("../a.jsonl", b"x")}, 400, "name of a file"),
            ({"file": ("a.exe", b"x")}, 400, "ends in .jsonl"),
            ({"file": ("", b"x")}, 400, "choose a file first"),
            ([("a", ("a.jsonl", b"x")), ("b", ("b.jsonl", b"x"))], 400, "one at a time"),
        ):
            refused = await client.post("/uploads", files=files)
            assert (refused.status_code, about in html.unescape(refused.text)) == (status, True), refused.text
        cut = b'--a\r\nContent-Disposition: form-data; name="file"; filename="c.jsonl"\r\n\r\nthe beginning'
        kind = "multipart/form-data; boundary=a"
        for body_sent, header, about in (
            (cut, kind, "did not come whole"),
            (b"nonsense", kind, "cannot be read"),
            (b"", kind, "has no file"),
            (b"x", "multipart/form-data", "not a form with a file"),
            (b"x", "text/plain", "not a form with a file"),
            (cut, f"{kind}{'a' * 500}", "cannot be read"),
        ):
            refused = await client.post("/uploads", content=body_sent, headers={"Content-Type": header})
            assert (refused.status_code, about in refused.text) == (400, True), refused.text
        other = await client.post("/uploads", files=file, headers={"Origin": "http://elsewhere.example"})
        assert other.status_code == 403
        await sent(client, "/uploads/delete", name="pr\u00f6mpts.jsonl")
        assert (await client.post("/uploads/delete", data={"name": "../tasks.jsonl"})).status_code == 400
    assert list((root / "uploads").iterdir()) == []


async def test_a_job_that_is_over_is_deleted_and_old_ones_make_room(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    await made(root, rows(1))
    with queue_of(root) as queue:
        async with served(root, jobs=Jobs(policy_for(root), queue, keep=1)) as client:
            folder = root / ".clairgen" / "jobs"
            for number in (1, 2, 3):
                await sent(client, "/jobs", verb="migrate", run="first")
                (folder / str(number) / "files").mkdir(parents=True)
            assert (await client.delete("/api/jobs/1")).status_code == 409
            for number in (1, 2, 3):
                await client.post(f"/api/jobs/{number}/cancel")
            assert "/jobs/2/delete" in (await client.get("/jobs/2")).text
            assert await sent(client, "/jobs/2/delete") == "/jobs"
            assert sorted(one.name for one in folder.iterdir()) == ["1", "3"]
            await sent(client, "/jobs", verb="migrate", run="first")  # as one more is submitted, the first goes
            assert [one["id"] for one in (await client.get("/api/jobs")).json()["jobs"]] == [4, 3]
            assert [one.name for one in folder.iterdir()] == ["3"]
            assert (await client.delete("/api/jobs/3")).status_code == 204
            assert (await client.delete("/api/jobs/3")).status_code == 404
    assert (root / "first" / "run.db").exists()


async def test_who_may_only_read_sees_jobs_without_buttons(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    await made(root, rows(1))
    with queue_of(root) as queue:
        jobs = Jobs(policy_for(root), queue)
        async with served(root, jobs=jobs) as client:
            await sent(client, "/jobs", verb="migrate", run="first")
        async with served(root, tokens_of(tmp_path), jobs=jobs) as client:
            client.headers["Authorization"] = f"Bearer {READ}"
            for address, said in (("/jobs", "scope run"), ("/jobs/new", "scope run"), ("/jobs/1", "queued")):
                page = (await client.get(address)).text
                assert said in page
                assert 'action="/jobs' not in page
            assert (await client.post("/jobs/1/cancel")).status_code == 403


async def test_a_running_job_shows_how_far_it_is(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 8)
    async with ScriptedEndpoint(played) as endpoint, served_with_jobs(root, endpoint.url) as client:
        endpoint.script = lambda request: played(request) if len(endpoint.asked) < 4 else _late(request)
        assert (await client.post("/api/jobs", json=body(endpoint.url, tasks))).status_code == 201
        await asked(endpoint, 5)
        page = (await client.get("/jobs/1")).text
        assert "<progress" in page
        assert 'hx-trigger="every' in page
        assert 'href="/runs/first/live"' in page
        assert "Cancel" in page
        await sent(client, "/jobs/1/cancel")
        assert "End at once" in (await client.get("/jobs/1")).text
        await sent(client, "/jobs/1/cancel")
        assert (await job_when(client, 1, "cancelled"))["exit_code"] == 130
        assert "hx-trigger" not in (await client.get("/jobs/1")).text
        assert 'hx-trigger="every' in (await client.get("/jobs?state=")).text


def _late(request: dict[str, Any]) -> Any:  # noqa: ANN401
    return replace(played(request), delay_seconds=60)
