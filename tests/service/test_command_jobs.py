"""Jobs that ask no model: the commands themselves, whose files can be downloaded."""

import asyncio
import io
import json
import shlex
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairgen import api
from clairgen.cli.commands import load_command
from clairgen.service.asking_verbs import ASKING_VERBS
from clairgen.service.job_requests import COMMAND_VERBS, REQUEST_MODELS, command_line, request_of
from clairgen.service.jobs import Jobs
from clairgen.service.request_checks import MOST_BODY_BYTES
from clairgen.service.request_models import JobFolder
from clairgen.service.runs_root import RunsRoot
from clairgen.store import RunDirectory
from tests.runs import config_text, questions, write_tasks
from tests.service.served import (
    REVIEW,
    RUN,
    job_when,
    made,
    policy_for,
    queue_of,
    rows,
    served,
    served_with_jobs,
    tokens_of,
)


async def done(client: httpx.AsyncClient, code: int = 0, **job: Any) -> dict[str, Any]:  # noqa: ANN401
    """A job that is submitted and ends with this exit code."""
    answer = await client.post("/api/jobs", json=job)
    assert answer.status_code == 201, answer.text
    ended = await job_when(client, answer.json()["id"], "done", "failed")
    assert ended["exit_code"] == code, ((await client.get(f"/api/jobs/{ended['id']}/output")).text, ended)
    return ended


@pytest.mark.process
async def test_pairs_are_imported_filtered_reported_on_and_exported(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    (root / "uploads").mkdir(parents=True)
    (root / "uploads" / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows(6)))
    async with served_with_jobs(root) as client:
        imported = {"verb": "import", "run": "first", "source": "uploads/pairs.jsonl", "name": "mine"}
        assert (await client.post("/api/jobs", json=imported)).status_code == 201
        filtered = await done(client, verb="filter", run="first", length_ratio="2:", drop=["length_ratio"])
        assert (await api.status(root / "first")).statuses == {"mine": {"made": 6}}
        assert filtered["command"].endswith("/runs/first --length-ratio=2: --drop=length_ratio")
        assert (await api.filtered(root / "first")).dropped["mine"]
        report, export = await asyncio.gather(
            done(client, verb="report", runs=["first"]),
            done(client, verb="export", run="first", name="data", files="jsonl"),
        )
        assert (await client.get(f"/api/jobs/{report['id']}/files")).json()[0]["name"] == "report.html"
        page = await client.get(f"/api/jobs/{report['id']}/files/report.html")
        assert (page.status_code, "attachment" in page.headers["content-disposition"]) == (200, True)
        assert "<!doctype html>" in page.text
        names = [one["name"] for one in (await client.get(f"/api/jobs/{export['id']}/files")).json()]
        assert {"README.md"} < set(names)
        whole = (await client.get(f"/api/jobs/{export['id']}/archive")).content
        with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
            assert sorted(archive.getnames()) == sorted(f"data/{name}" for name in names)
            card = archive.extractfile("data/README.md")
            assert card is not None
            assert card.read() == (root / "exports" / "data" / "README.md").read_bytes()
        outside = await client.get(f"/api/jobs/{export['id']}/files/..%2f..%2ffirst%2frun.db")
        assert outside.status_code == 404


async def test_what_needs_a_run_that_a_job_will_make_is_taken_and_waits_for_it(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    behind: list[tuple[dict[str, Any], int]] = [
        ({"verb": "generate", "run": "first", "limit": 3}, 1),
        ({"verb": "filter", "run": "first", "drop": ["refusal"]}, 1),
        ({"verb": "advise", "run": "first"}, 1),
        ({"verb": "report", "runs": ["first"]}, 1),
        ({"verb": "lint", "sources": ["first"]}, 1),
        ({"verb": "export", "run": "first", "name": "data"}, 1),
        ({"verb": "export", "run": "first", "name": "data", "overwrite": True}, 1),
        ({"verb": "train", "name": "model", "data": "exports/data", "settings": {"model": "classroom:student"}}, 7),
        ({"verb": "to-gguf", "name": "model"}, 9),
        ({"verb": "report", "trained": ["model"]}, 9),
    ]
    with queue_of(root) as queue:
        async with served(root, jobs=Jobs(policy_for(root, "localhost:1"), queue)) as client:
            for job, _ in behind:
                assert (await client.post("/api/jobs", json=job)).status_code == 400, job
            text = config_text("http://localhost:1/v1", write_tasks(root / "tasks.jsonl", questions(1)))
            first = {"verb": "generate", "run": "first", "configuration": text}
            answers = [await client.post("/api/jobs", json=job) for job in (first, *(job for job, _ in behind))]
            assert [answer.status_code for answer in answers] == [201] * len(answers), [one.text for one in answers]
            assert [answer.json()["waits_for"] for answer in answers[1:]] == [number for _, number in behind]
            other = await client.post("/api/jobs", json={"verb": "filter", "run": "other"})
            assert (other.status_code, "no run 'other'" in other.json()["detail"]) == (400, True)
            await client.post("/api/jobs/1/cancel")
            assert (await client.get("/jobs/6")).status_code == 200


@pytest.mark.process
async def test_a_command_that_fails_says_why_and_one_is_ended_when_it_is_cancelled(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    run = await made(root, rows(2))
    async with served_with_jobs(root) as client:
        failed = await done(client, 2, verb="filter", run="first", drop=["nonsense"])
        assert (failed["state"], "nonsense" in failed["sentence"]) == ("failed", True)
        with RunDirectory(run).locked():  # as another process that works on it
            waiting = (await client.post("/api/jobs", json={"verb": "reparse", "run": "first"})).json()
            for _ in range(100):
                found = (await client.get(f"/api/jobs/{waiting['id']}")).json()
                if found["sentence"]:
                    break
                await asyncio.sleep(0.02)
            assert "is in use by process" in found["sentence"]
            assert (await client.post(f"/api/jobs/{waiting['id']}/cancel")).json()["state"] == "cancelled"


EXAMPLES: list[dict[str, Any]] = [
    {"verb": "generate", "run": "first", "limit": 3, "budget_usd": 2.5, "retry_failed": True},
    {"verb": "advise", "run": "first", "recipe": ["imported"], "samples": 2, "per_pair": True, "no_budget": True},
    {
        "verb": "evaluate questions",
        "run": "new",
        "questions": "data.jsonl",
        "rule": "numeric",
        "samples": 2,
        "label": "-x",
    },
    {"verb": "evaluate pairwise", "run": "new", "prompts": "data.jsonl", "answers": "data.jsonl", "limit": 3},
    {"verb": "evaluate judge", "run": "new", "votes": "first", "judge": "judge-2", "no_budget": True},
    {"verb": "evaluate alpaca", "run": "new", "instructions": "data.jsonl", "answers": "data.jsonl", "budget_usd": 1.5},
    {"verb": "evaluate mixeval-hard", "run": "new", "questions": ["data.jsonl"], "judge_attempts": 5},
    {"verb": "filter", "run": "first", "jaccard": "10:", "mark": ["truncated"], "off": ["refusal"], "recipe": ["a"]},
    {"verb": "reparse", "run": "first", "every": True},
    {"verb": "migrate", "run": "first"},
    {"verb": "report", "runs": ["first"], "matched": True, "by": "source"},
    {"verb": "report", "trained": ["model"]},
    {"verb": "lint", "sources": ["first", "data.jsonl"], "recipe": "-x", "strict": True},
    {
        "verb": "import",
        "run": "new",
        "source": "data.jsonl",
        "name": "--run",
        "columns": {"prompt": "a=b"},
        "split": "x",
    },
    {
        "verb": "export",
        "run": "first",
        "name": "data",
        "format": "kto",
        "test_fraction": 0.1,
        "seed": 3,
        "matched": True,
        "keep_identical": True,
        "balance_lengths": True,
        "thinking": "keep",
        "overwrite": True,
    },
    {"verb": "to-gguf", "name": "model", "dtype": "bf16"},
    {
        "verb": "train",
        "name": "new",
        "data": "exports",
        "preset": "classroom",
        "settings": {"model": "classroom:student", "objective": "apo-down", "learning_rate": 1e-5, "lora": {"rank": 8}},
    },
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: str(one["verb"]))
async def test_every_job_is_a_command_line_that_the_command_understands(
    tmp_path: Path, example: dict[str, Any]
) -> None:
    root = tmp_path / "runs"
    await made(root, rows(1))
    (root / "data.jsonl").write_text("{}\n")
    (root / "trained" / "model").mkdir(parents=True)
    (root / "exports").mkdir()
    given = {name: value for name, value in example.items() if name != "verb"}
    request = request_of(example["verb"], given)
    if example["verb"] in COMMAND_VERBS:  # the others have no configuration here
        request = request.prepared(policy_for(root)).prepared(policy_for(root))  # as submitted, and again by the worker
    line = command_line(request, RunsRoot(root), JobFolder(tmp_path / "job"))
    words = shlex.split(line)
    verb = example["verb"].split()
    assert words[: 1 + len(verb)] == ["clairgen", *verb]
    context = load_command(example["verb"]).make_context(verb[-1], words[1 + len(verb) :])
    known = context.params
    for name, value in given.items():
        if name in known and not isinstance(value, list | dict | str):
            assert known[name] == value
    assert set(REQUEST_MODELS) == set(ASKING_VERBS) | set(COMMAND_VERBS) == {one["verb"] for one in EXAMPLES}


@pytest.mark.parametrize(
    ("job", "status"),
    [
        ({"verb": "export", "run": "first", "name": "../data"}, 400),
        ({"verb": "export", "run": "none", "name": "data"}, 400),
        ({"verb": "import", "run": "new", "source": "/etc/passwd"}, 403),
        ({"verb": "import", "run": "new", "source": ".clairgen/service.db"}, 403),
        ({"verb": "import", "run": "new", "source": "hub:owner/name"}, 403),
        ({"verb": "lint", "sources": ["../x"]}, 403),
        ({"verb": "train", "name": "m", "data": "first", "settings": {"report_to": "wandb"}}, 403),
        ({"verb": "train", "name": "m", "data": "first", "settings": {"gpus": 8}}, 400),
        ({"verb": "report"}, 400),
        ({"verb": "to-gguf", "name": "../first"}, 400),
        ({"verb": "to-gguf", "name": "none"}, 400),
        ({"verb": "report", "trained": ["../first"]}, 400),
        ({"verb": "filter", "run": "first", "jaccard": "--help"}, 422),
    ],
)
async def test_what_leads_elsewhere_is_refused(tmp_path: Path, job: dict[str, Any], status: int) -> None:
    root = tmp_path / "runs"
    await made(root, rows(1))
    with queue_of(root) as queue:
        async with served(root, jobs=Jobs(policy_for(root), queue)) as client:
            answer = await client.post("/api/jobs", json=job)
            assert answer.status_code == status, answer.text
            assert (await client.get("/api/jobs")).json()["jobs"] == []


async def test_a_file_is_uploaded_whole_or_not_at_all_and_replaced_never(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    content = "".join(f"{json.dumps(row)}\n" for row in rows(4000)).encode()
    assert len(content) > MOST_BODY_BYTES
    with queue_of(root) as queue:
        async with served(root, tokens_of(tmp_path), jobs=Jobs(policy_for(root), queue)) as client:
            assert (await client.put("/api/uploads/a.jsonl", content=content)).status_code == 401
            client.headers["Authorization"] = f"Bearer {REVIEW}"
            assert (await client.put("/api/uploads/a.jsonl", content=content)).status_code == 403
            client.headers["Authorization"] = f"Bearer {RUN}"
            uploaded = await client.put("/api/uploads/a.jsonl", content=content)
            assert (uploaded.status_code, uploaded.json()) == (201, {"name": "a.jsonl", "bytes": len(content)})
            assert (root / "uploads" / "a.jsonl").read_bytes() == content
            assert (await client.put("/api/uploads/a.jsonl", content=b"x")).status_code == 409
            for name in ("..%2fa.jsonl", ".a.jsonl", "a.yaml", "README.md", "a%00.jsonl", "-a.jsonl", "state.json"):
                assert (await client.put(f"/api/uploads/{name}", content=b"x")).status_code in (400, 404), name
            job: dict[str, Any] = {"verb": "lint", "sources": ["uploads/a.jsonl"]}
            assert (await client.post("/api/jobs", json=job)).status_code == 201
            assert [one["name"] for one in (await client.get("/api/uploads")).json()] == ["a.jsonl"]
            assert (await client.delete("/api/uploads/a.jsonl")).status_code == 204
            assert (await client.delete("/api/uploads/a.jsonl")).status_code == 404

            async def broken() -> AsyncIterator[bytes]:
                yield content
                raise ConnectionError("gone")

            assert (await client.put("/api/uploads/b.jsonl", content=broken())).status_code == 503
            assert list((root / "uploads").iterdir()) == []
            model = {"model": "m", "endpoints": ["gguf:uploads/m.json"]}
            assert (await client.put("/api/uploads/m.json", content=b"GGUF")).status_code == 201
            configuration: dict[str, Any] = {
                "recipes": ["clair"],
                "tasks": {"path": "example:prompts.jsonl"},
                "models": {"target": model, "reviser": model},
            }
            job = {"verb": "generate", "run": "r", "configuration": configuration}
            refused = await client.post("/api/jobs", json=job)
            assert (refused.status_code, "only rows are taken in" in refused.text) == (403, True), refused.text
            assert (await client.put("/api/uploads/l.txt", content=b"#" * 65_537)).status_code == 201
            refused = await client.post(
                "/api/jobs", json={"verb": "generate", "run": "r", "stored_configuration": "uploads/l.txt"}
            )
            assert (refused.status_code, "more than 65,536 bytes" in refused.text) == (403, True), refused.text
            for name in ("m.json", "l.txt"):
                assert (await client.delete(f"/api/uploads/{name}")).status_code == 204
            (root / "uploads").rmdir()
            (root / "uploads").write_text("")
            assert (await client.put("/api/uploads/c.jsonl", content=b"{}\n")).status_code == 503
            (root / "uploads").unlink()
            (root / "uploads").symlink_to(tmp_path)
            assert (await client.put("/api/uploads/c.jsonl", content=b"{}\n")).status_code == 400
    assert not (tmp_path / "c.jsonl").exists()
