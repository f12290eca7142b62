"""Health, readiness and metrics, for programs that watch the service: neither prompts, keys nor endless labels are in them."""

import datetime
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from clairgen.inference.runtime import Runtime
from clairgen.pipeline.generate import Options, generate
from clairgen.service.active_runs import MOST_RUNS, RunsReader
from clairgen.service.app import service
from clairgen.service.jobs import Jobs
from clairgen.service.operations import CountedRequests
from clairgen.service.request_checks import allowed_hosts
from clairgen.service.run_metrics import run_families
from clairgen.service.runs_root import RunsRoot
from clairgen.store.job_records import NewJob
from tests.runs import TARGET, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused
from tests.service.served import ADDRESS, OLD, READ, ids, made, policy_for, queue_of, rows, served, tokens_of

DASHBOARD = Path(__file__).parents[2] / "data" / "observe" / "dashboard.json"
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "metrics.md"
SHARED = {"clairgen_shared_budget_usd", "clairgen_shared_budget_used_usd"}
"""Metrics of a budget that jobs share."""
OF_GROUPS = {f"clairgen_group_{name}" for name in ("budget_usd", "allotted_usd", "spent_usd", "members")}
"""Metrics of a coordinator's groups."""
KEY = "sk-made-up-0123456789"
PRICED = {"price_per_million": {"input": 0, "output": 0}}


class Scraped:
    """The samples of an exposition, in which each stands once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self._samples
                self._samples[key] = sample.value

    def __call__(self, name: str, **labels: str) -> float:
        """The value of a sample."""
        return self._samples[name, frozenset(labels.items())]

    @property
    def names(self) -> set[str]:
        """The names of all samples."""
        return {name for name, _ in self._samples}

    def labels_of(self, name: str) -> set[str]:
        """The names of a metric's labels."""
        return {label for found, labels in self._samples for label, _ in labels if found == name}

    def labels(self, name: str) -> set[str]:
        """All values of a label."""
        return {value for _, labels in self._samples for label, value in labels if label == name}


async def scraped(client: httpx.AsyncClient, **headers: str) -> Scraped:
    answer = await client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return Scraped(answer.text)


async def generated(root: Path, options: Options | None = None, **changes: object) -> str:
    """A run in which each prompt is first refused once and one is never answered; returns the address of the endpoint."""
    seen: set[str] = set()

    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == TARGET and prompt.endswith("3"):
            return refused(400, f"cannot say {prompt} to {KEY}", code="content_filter")
        if request["model"] == TARGET and prompt not in seen:
            seen.add(prompt)
            return refused(503, f"busy with {prompt} and {KEY}")
        return played(request)

    async def sleep(_seconds: float) -> None:
        pass

    tasks = write_tasks(root.parent / "tasks.jsonl", questions(6))
    async with ScriptedEndpoint(script) as endpoint:
        given = config(endpoint.url, tasks, target={"api_key_env": "A_KEY"} | PRICED, stronger=PRICED, **changes)
        await generate(given, root / "run", options, runtime=Runtime(sleep=sleep, environment={"A_KEY": KEY}))
        return endpoint.url


async def test_metrics_say_what_a_run_did_whoever_started_it(tmp_path: Path) -> None:
    url = await generated(tmp_path / "runs")
    async with served(tmp_path / "runs") as client:
        found = await scraped(client)
    at = {"run": "run", "role": "target", "endpoint": url}
    assert found("clairgen_requests_total", **at, outcome="answered") == 5
    assert found("clairgen_requests_total", **at, outcome="server-error") == 5
    assert found("clairgen_requests_total", **at, outcome="content-policy") == 1
    assert found("clairgen_answer_seconds_count", **at) == 5
    assert found("clairgen_answer_seconds_bucket", **at, le="+Inf") == 5
    reviser = {"run": "run", "role": "reviser"}
    assert found("clairgen_tokens_total", **reviser, direction="input") == 5 * 200
    assert found("clairgen_tokens_total", **reviser, direction="output") == 5 * 30
    assert found("clairgen_cost_usd_total", **reviser) == pytest.approx(5 * (200 * 10 + 30 * 30) / 1e6)
    assert found("clairgen_requests_given_up_total", run="run", role="target") == 1
    assert found("clairgen_spent_usd", run="run") == pytest.approx(found("clairgen_cost_usd_total", **reviser))
    assert found("clairgen_reserved_usd", run="run") == 0
    assert found("clairgen_pairs", run="run", recipe="clair", status="made") == 5
    assert found("clairgen_pairs", run="run", recipe="clair", status="failed") == 1
    assert (found("clairgen_run_running", run="run"), found("clairgen_runs", state="done")) == (0, 1)
    assert 0 < found("clairgen_commit_seconds_sum", run="run") < found("clairgen_commit_seconds_count", run="run")
    assert KEY not in found.text
    assert "Question number" not in found.text


async def test_the_dashboard_asks_for_metrics_and_labels_that_there_are(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    await generated(root, Options(copy_to=tmp_path / "copy"), budget_usd=5, reviser={"requests_per_minute": 60_000})
    with queue_of(root) as queue:
        async with served(root, jobs=Jobs(policy_for(root), queue)) as client:
            await client.get("/api/runs")
            found = await scraped(client)
    assert 0 <= found("clairgen_copy_lag_seconds", run="run") < 60
    assert found("clairgen_copy_failures_total", run="run") == 0
    documented = set(re.findall(r"`(clairgen_\w+)`", GUIDE.read_text()))
    of_us = {name for name in found.names if name.startswith("clairgen_") and not name.endswith("_created")}
    assert documented == {re.sub(r"_(bucket|count|sum)$", "", name) for name in of_us} | SHARED | OF_GROUPS
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(expressions) > 20
    for expression in [*expressions, dashboard["templating"]["list"][0]["definition"]]:
        names = set(re.findall(r"\b(?:clairgen|process)_\w+", expression))
        assert names, expression
        assert names <= found.names, expression
        of_metrics = set().union(*(found.labels_of(name) for name in names)) | {"job"}  # which Prometheus adds
        listed = re.findall(r"\bby \(([^)]*)\)", expression) + re.findall(r"\{([^}]*)\}", expression)
        asked = {re.split(r"[=!]", label)[0].strip() for labels in listed for label in labels.split(",")}
        assert asked <= of_metrics, expression


async def test_what_a_hostile_log_says_makes_no_endless_labels(tmp_path: Path) -> None:
    folder = await made(tmp_path / "runs", rows(1), os.fsdecode(b'a "run\n \xff'))
    histogram = {"bounds": [1.0], "counts": [1, 2], "seconds": 3.0}
    attempts = {
        f"http://ada:{KEY}@host-{n}/v1?key={KEY}#{KEY}": {"outcomes": {"answered": 1}, "answer_seconds": histogram}
        for n in range(40)
    } | {
        f"gguf:/home/{KEY}/{n}.gguf": {"outcomes": {"answered": 1}, "answer_seconds": histogram | {"bounds": bounds}}
        for n, bounds in enumerate(([2.0, 1.0], [], [5.0, 5.0]))
    }
    attempts["http://many/v1"] = {"outcomes": {f"said {n}\n": 1 for n in range(40)}, "answer_seconds": histogram}
    role: dict[str, object] = dict.fromkeys(
        ("sent", "answered", "stored", "failed", "prompt_tokens", "completion_tokens"), 1
    )
    role |= {"failed_attempts": {}, "cost_usd": None, "in_flight": 0, "waiting": 0}
    roles = {f"role {n}": role | {"attempts": dict(reversed(attempts.items()))} for n in range(40)}
    counters = {"seconds": 1, "pairs_to_make": 1, "made": {}, "failed": {}, "roles": roles, "money": {}}
    line = {"at": datetime.datetime.now(datetime.UTC).isoformat(), "event": "counters"} | counters
    (folder / "run.log").write_text(f"{json.dumps(line)}\n")
    async with served(tmp_path / "runs") as client:
        found = await scraped(client)
        assert {name: len(found.labels(name)) for name in ("role", "endpoint", "outcome")} == {
            "role": 31,
            "endpoint": 31,
            "outcome": 32,
        }
        [run] = found.labels("run")
        of_all = {"run": run, "direction": "input"}
        assert sum(found("clairgen_tokens_total", **of_all, role=name) for name in found.labels("role")) == 40
        assert {"http://host-39/v1", "http://many/v1", "gguf:2.gguf"} < found.labels("endpoint")
        assert (run.startswith('a "run'), KEY in found.text) == (True, False)
        roles["role 1"]["sent"] = 10**400
        (folder / "run.log").write_text(f"{json.dumps(line)}\n")
        assert (await scraped(client)).labels("role") == set()


async def test_runs_whose_long_names_differ_at_their_ends_have_series_of_their_own(tmp_path: Path) -> None:
    names = {"c" * 230 + end for end in "12"}
    for name in names:
        path = await made(tmp_path / "runs", rows(1), name)
        now = datetime.datetime.now(datetime.UTC).isoformat()
        (path / "run.log").write_text(f'{{"at": "{now}", "event": "started"}}\n')
    async with served(tmp_path / "runs") as client:
        assert (await scraped(client)).labels("run") == names


async def test_a_run_that_is_silent_for_long_has_no_series_of_its_own(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    path = await made(root, rows(1), "run-0")
    now = datetime.datetime.now(datetime.UTC)
    for n in range(MOST_RUNS + 3):
        (root / f"run-{n}").mkdir(exist_ok=True)
        (root / f"run-{n}" / "run.db").write_bytes((path / "run.db").read_bytes())
        (root / f"run-{n}" / "run.log").write_text(f'{{"at": "{now.isoformat()}", "event": "ended"}}\n')
    (root / "run-1" / "run.log").write_text(f'{{"at": "{now.isoformat()}", "event": "started"}}\n')
    (root / "run-2" / "run.db").write_bytes(b"no database")
    reader = RunsReader(RunsRoot(root))
    seen = await reader.read(now)
    assert (len(seen.active), seen.left_out) == (MOST_RUNS, 3)
    assert (seen.states["running"], seen.states["killed"], sum(seen.states.values())) == (1, 0, MOST_RUNS + 3)
    assert seen.states["unreadable"] == sum(run.name == "run-2" for run in seen.active)
    later = await reader.read(now + datetime.timedelta(seconds=30))
    assert (later.states["running"], later.states["killed"]) == (0, 1)
    much_later = await reader.read(now + datetime.timedelta(minutes=20))
    assert (much_later.active, much_later.left_out) == ([], 0)
    assert len(list(run_families(much_later))) > 5


async def test_requests_of_the_service_are_counted_by_route(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        for pair in await ids(client) * 2:
            await client.get(f"/api/runs/first/pairs/{pair}")
        await client.get("/api/runs/none/pairs")
        for n in range(40):
            await client.request(f"ODD{n}", f"/{n}")
        await client.get("/", headers={"Host": "evil.example"})
        found = await scraped(client)
    counted = "clairgen_http_requests_total"
    one, page = "/api/runs/{run}/pairs/{pair}", "/api/runs/{run}/pairs"
    assert found(counted, method="GET", route=one, status="200") == 4
    assert found("clairgen_http_request_seconds_count", route=one) == 4
    assert found(counted, method="GET", route=page, status="404") == 1
    assert found(counted, method="GET", route="other", status="421") == 1
    assert found(counted, method="other", route="other", status="404") == 40
    assert found.labels("method") == {"GET", "other"}


async def test_open_streams_of_events_are_counted_until_they_end() -> None:
    registry = CollectorRegistry()
    during: list[float | None] = []

    async def stream() -> AsyncIterator[str]:
        yield "data: 1\n\n"
        during.append(registry.get_sample_value("clairgen_http_event_streams"))
        raise ConnectionError

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(stream(), media_type="text/event-stream")(scope, receive, send)

    transport = httpx.ASGITransport(CountedRequests(app, registry), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
        await client.get("/events")
    assert (during, registry.get_sample_value("clairgen_http_event_streams")) == ([1], 0)
    assert registry.get_sample_value("clairgen_http_request_seconds_count", {"route": "other"}) is None


async def test_metrics_need_a_token_that_reads_unless_they_are_public(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(1))
    anywhere = {"Host": "10.1.2.3:8321"}
    async with served(tmp_path / "runs", tokens_of(tmp_path)) as client:
        refused = await client.get("/metrics")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert (await client.get("/metrics", headers={"Authorization": f"Bearer {OLD}"})).status_code == 401
        assert (await client.get("/metrics", headers={"Authorization": f"Bearer {OLD}", **anywhere})).status_code == 401
        assert (await client.get("/metrics", headers=anywhere)).status_code == 421
        reads = {"Authorization": f"Bearer {READ}"}
        assert "clairgen_runs" in (await scraped(client, **reads, **anywhere)).text
        assert READ not in (await scraped(client, **reads)).text
        assert (await client.get("/api/runs", headers=reads | anywhere)).status_code == 421
    async with served(tmp_path / "runs") as client:
        assert (await client.get("/metrics", headers=anywhere)).status_code == 421  # a page whose name points here
    public = service(
        RunsRoot(tmp_path / "runs"), tokens_of(tmp_path), allowed_hosts("127.0.0.1", []), has_public_metrics=True
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(public), base_url=ADDRESS) as client:
        assert "clairgen_runs" in (await scraped(client, **anywhere)).text
        assert (await client.get("/api/runs")).status_code == 401


async def test_jobs_are_counted_by_state_and_readiness_needs_their_queue_and_their_worker(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    await made(root, rows(1))
    with queue_of(root) as queue:
        jobs = Jobs(policy_for(root), queue)
        queue.submit(NewJob("report", {}, "first", {}), lambda number: f"job {number}", 5)
        async with served(root, jobs=jobs) as client:
            found = await scraped(client)
            assert [found("clairgen_jobs", state=state) for state in ("queued", "running", "failed")] == [1, 0, 0]
            assert found("clairgen_worker_running") == 1
            assert (await client.get("/readyz")).text == "ready\n"
        without_worker = service(RunsRoot(root), tokens_of(tmp_path), [], jobs=jobs, is_working=lambda: False)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(without_worker), base_url=ADDRESS) as client:
            assert (await client.get("/readyz")).text == "not ready: worker\n"
    async with served(root, jobs=jobs) as client:  # the queue's database is closed
        gone = await client.get("/readyz")
        assert (gone.status_code, gone.text) == (503, "not ready: jobs\n")


async def test_health_is_for_everybody_and_readiness_says_what_is_missing_and_no_more(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(1))
    async with served(tmp_path / "runs", tokens_of(tmp_path)) as client:
        for path, said in (("/healthz", "alive\n"), ("/readyz", "ready\n")):
            answer = await client.get(path, headers={"Host": "10.1.2.3"})
            assert (answer.status_code, answer.text) == (200, said)
            assert (await client.head(path)).status_code == 200
            assert (await client.post(path, headers={"Host": "10.1.2.3"})).status_code == 421
        (tmp_path / "runs").rename(tmp_path / "gone")
        gone = await client.get("/readyz")
        assert (gone.status_code, gone.text) == (503, "not ready: runs\n")
        assert (await client.get("/healthz")).status_code == 200


async def test_openmetrics_is_spoken_to_who_asks_for_it(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(1))
    async with served(tmp_path / "runs") as client:
        answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert re.search(r"# EOF\n$", answer.text)
