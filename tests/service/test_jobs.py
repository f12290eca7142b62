"""Jobs over HTTP: submitted, done by the same verbs, cancelled, resumed, and gone on with by the next worker."""

import asyncio
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairgen import api
from clairgen.cli.commands import load_command
from clairgen.errors import RunError
from clairgen.service import jobs as jobs_of_service
from clairgen.service.jobs import Jobs, taken_jobs
from clairgen.service.policy import policy_of
from clairgen.service.runs_root import RunsRoot
from clairgen.service.worker_process import WorkerSettings
from clairgen.store import RunDirectory
from tests.runs import config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said
from tests.service.served import (
    READ,
    RUN,
    job_when,
    policy_for,
    queue_of,
    served,
    served_with_jobs,
    tokens_of,
    working,
)

NOWHERE = "http://127.0.0.1:9/v1"


def folders(tmp_path: Path, count: int) -> tuple[Path, Path]:
    """The folder of runs, and a file of tasks in it."""
    root = tmp_path / "runs"
    root.mkdir()
    return root, write_tasks(root / "tasks.jsonl", questions(count))


def body(url: str, tasks: Path, run: str = "first", **more: object) -> dict[str, Any]:
    return {"verb": "generate", "run": run, "configuration": config_text(url, tasks), **more}


async def submitted(
    client: httpx.AsyncClient, job: Mapping[str, Any], status: int = 201, key: str | None = None
) -> Any:  # noqa: ANN401
    answer = await client.post("/api/jobs", json=job, headers={} if key is None else {"Idempotency-Key": key})
    assert answer.status_code == status, answer.text
    return answer.json()


def held(release: asyncio.Event) -> Any:  # noqa: ANN401
    """A script whose answers take long until it is released."""

    def script(request: dict[str, Any]) -> Reply:
        return Reply(played(request).body, delay_seconds=0 if release.is_set() else 60)

    return script


async def asked(endpoint: ScriptedEndpoint, count: int) -> None:
    for _ in range(1200):
        if len(endpoint.asked) >= count:
            return
        await asyncio.sleep(0.02)
    raise TimeoutError(len(endpoint.asked))


async def test_a_submitted_run_is_made_as_generate_makes_it(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 3)
    async with ScriptedEndpoint(played) as endpoint, served_with_jobs(root, endpoint.url) as client:
        job = await submitted(client, body(endpoint.url, tasks, limit=2, retry_failed=True))
        done = await job_when(client, job["id"], "done", "failed")
        output = (await client.get(f"/api/jobs/{job['id']}/output")).text
        listed = (await client.get("/api/jobs", params={"run": "first"})).json()
    assert (done["state"], done["exit_code"], done["starts"]) == ("done", 0, 1), done
    assert "clair 2 kept of 2 + 1 to be made" in done["sentence"]
    assert (await api.status(root / "first")).statuses["clair"] == {"made": 2, "pending": 1}
    assert (len(endpoint.asked), endpoint.prompts()["Question number 2"]) == (6, 0)
    folder = root / ".clairgen" / "jobs" / str(job["id"])
    assert done["command"] == f"clairgen generate {folder}/config.yaml --run {root}/first --limit=2 --retry-failed"
    load_command("generate").make_context("generate", shlex.split(done["command"])[2:])
    assert output.startswith(f"$ {done['command']}\n")
    assert [one["id"] for one in listed["jobs"]] == [job["id"]]


async def test_a_second_job_on_a_run_waits_for_the_first_and_goes_on_from_it(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 3)
    release = asyncio.Event()
    async with ScriptedEndpoint(held(release)) as endpoint, served_with_jobs(root, endpoint.url) as client:
        await submitted(client, body(endpoint.url, tasks))
        await asked(endpoint, 3)
        waiting = await submitted(client, {"verb": "generate", "run": "first"})
        other = await submitted(client, body(endpoint.url, tasks, "other"))
        await job_when(client, other["id"], "running")
        assert (await client.get(f"/api/jobs/{waiting['id']}")).json()["waits_for"] == 1
        release.set()
        await submitted(client, {"verb": "generate", "run": "none"}, 400)
        assert (await client.post("/api/jobs/1/cancel")).json()["state"] == "stopping"
        assert (await client.post("/api/jobs/1/cancel")).json()["cancels"] == 2
        first = await job_when(client, 1, "cancelled")
        assert (first["exit_code"], first["sentence"]) == (130, "ended at once; everything committed is kept")
        assert (await job_when(client, waiting["id"], "done", "failed"))["state"] == "done"
    assert (await api.status(root / "first")).statuses["clair"] == {"made": 3}


async def test_cancel_finishes_what_is_in_flight_and_resume_asks_only_the_rest(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 40)
    slowly = lambda request: Reply(played(request).body, delay_seconds=0.3)  # noqa: E731
    async with ScriptedEndpoint(slowly) as endpoint, served_with_jobs(root, endpoint.url) as client:
        job = await submitted(client, body(endpoint.url, tasks))
        await asked(endpoint, 16)
        assert (await client.post(f"/api/jobs/{job['id']}/cancel")).json()["state"] == "stopping"
        cancelled = await job_when(client, job["id"], "cancelled", "done")
        assert (cancelled["state"], cancelled["exit_code"]) == ("cancelled", 130)
        assert (await client.post(f"/api/jobs/{job['id']}/cancel")).status_code == 409
        first = len(endpoint.asked)
        assert len(endpoint.answered) == first < 120
        endpoint.script = played
        assert (await client.post(f"/api/jobs/{job['id']}/resume")).json()["state"] == "queued"
        done = await job_when(client, job["id"], "done", "failed")
    assert (done["state"], done["starts"]) == ("done", 2)
    assert len(endpoint.asked) == 120
    assert set(endpoint.prompts().values()) <= {1, 2}  # target and stronger are asked the same


async def test_the_next_worker_goes_on_with_what_one_had_to_leave(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 40)
    slowly = lambda request: Reply(played(request).body, delay_seconds=0.2)  # noqa: E731
    with queue_of(root) as queue:
        async with ScriptedEndpoint(slowly) as endpoint:
            policy = policy_for(root, endpoint.url)
            async with served(root, jobs=Jobs(policy, queue)) as client:
                job = await submitted(client, body(endpoint.url, tasks), key="once")
                async with working(policy, queue):
                    await asked(endpoint, 16)
                interrupted = (await client.get(f"/api/jobs/{job['id']}")).json()
                assert (interrupted["state"], interrupted["exit_code"]) == ("queued", None)
                assert "interrupted" in interrupted["sentence"]
                again = await submitted(client, body(endpoint.url, tasks), 200, key="once")
                assert again["id"] == job["id"]
                await submitted(client, body(endpoint.url, tasks, limit=1), 422, key="once")
                async with working(policy, queue):
                    done = await job_when(client, job["id"], "done", "failed")
    assert (done["state"], done["starts"]) == ("done", 2)
    assert len(endpoint.asked) == 120


async def test_a_request_sent_again_is_the_same_job_whatever_has_become_of_its_files(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 1)
    policy = policy_for(root, NOWHERE)
    with queue_of(root) as queue:
        async with served(root, jobs=Jobs(policy, queue)) as client:
            job = await submitted(client, body(NOWHERE, tasks), key="once")
            tasks.rename(tmp_path / "elsewhere.jsonl")
            assert await submitted(client, body(NOWHERE, tasks), 200, key="once") == job
            await submitted(client, body(NOWHERE, tasks, "other"), 422, key="once")
            await submitted(client, body(NOWHERE, tasks), 400, key="another")


@dataclass(frozen=True, slots=True)
class _Shows(WorkerSettings):
    """A worker that says which variables it has."""

    def command(self) -> list[str]:
        code = "import json, os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(json.dumps(dict(os.environ)))"
        return [sys.executable, "-S", "-c", code, f"{self.root}/variables.json"]


@pytest.mark.parametrize("hub", [False, True])
async def test_jobs_load_nothing_from_the_hub_unless_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, hub: bool
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    policy, ended = policy_of(RunsRoot(tmp_path), [], [], hub=hub), asyncio.Event()
    settings = _Shows(str(tmp_path), 1, 1, 0.0)
    with taken_jobs(policy, settings, 9, 9, lambda _sentence: ended.set()) as (_, worker):
        assert worker is not None
        running = asyncio.create_task(worker.run(ended, 0.0))
        await asyncio.wait_for(ended.wait(), 30)
        await running
    found = json.loads((tmp_path / "variables.json").read_text())
    assert (found.get("HF_HUB_OFFLINE"), found.get("HF_DATASETS_OFFLINE")) == ((None, None) if hub else ("1", "1"))


def test_a_second_service_over_the_same_runs_neither_takes_jobs_nor_coordinates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_of_service, "_SECONDS_FOR_FORMER", 0.0)
    policy, settings = policy_of(RunsRoot(tmp_path), [], [], hub=False), _Shows(str(tmp_path), 1, 1, 0.0)
    with (
        taken_jobs(policy, settings, 9, 9, lambda _sentence: None),
        pytest.raises(RunError, match="takes no jobs and coordinates nothing: --jobs 0"),
        taken_jobs(policy, settings, 9, 9, lambda _sentence: None),
    ):
        pytest.fail("two services have one database")


async def test_a_job_that_the_worker_died_of_five_times_has_failed_unless_it_got_further(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 3)
    with queue_of(root) as queue:
        async with ScriptedEndpoint(played) as endpoint:
            policy = policy_for(root, endpoint.url)
            async with served(root, jobs=Jobs(policy, queue)) as client:
                await submitted(client, body(endpoint.url, tasks, limit=1))
                for _ in range(4):
                    queue.claim(["generate"])
                    queue.recover(lambda _: 0, 5)
                queue.claim(["generate"])
                async with working(policy, queue):
                    failed = await job_when(client, 1, "done", "failed")
                assert "ended 5 times in a row while it did this one" in failed["sentence"], failed
                assert (await client.post("/api/jobs/1/resume")).status_code == 200
                async with working(policy, queue):
                    await job_when(client, 1, "done")
                await client.post("/api/jobs/1/resume")
                for _ in range(4):
                    queue.claim(["generate"])
                    queue.recover(lambda _: 0, 5)
                queue.claim(["generate"])
                async with working(policy, queue):  # which sees the pair of the first time
                    assert (await job_when(client, 1, "done", "failed"))["state"] == "done"


async def test_questions_are_asked_and_their_answers_checked(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 1)
    rows = [{"prompt": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(4)]
    (root / "questions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    async with (
        ScriptedEndpoint(lambda _request: said("It is 3.")) as endpoint,
        served_with_jobs(root, endpoint.url) as client,
    ):
        job = {"verb": "evaluate questions", "run": "evals", "questions": "questions.jsonl", "rule": "numeric"}
        config = body(endpoint.url, tasks)["configuration"]
        ended = await submitted(client, job | {"configuration": config})
        done = await job_when(client, ended["id"], "done", "failed")
        assert (done["exit_code"], "target-model: 25" in done["sentence"]) == (0, True), done
        assert len(endpoint.asked) == 4


async def test_a_run_that_another_process_works_on_is_waited_for(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 1)
    run = RunDirectory(root / "first")
    async with ScriptedEndpoint(played) as endpoint, served_with_jobs(root, endpoint.url) as client:
        run.path.mkdir(parents=True)
        with run.locked():
            job = await submitted(client, body(endpoint.url, tasks))
            for _ in range(200):
                found = (await client.get(f"/api/jobs/{job['id']}")).json()
                if found["sentence"]:
                    break
                await asyncio.sleep(0.02)
            assert (found["state"], "is in use by process" in found["sentence"]) == ("queued", True)
        assert (await job_when(client, job["id"], "done", "failed"))["state"] == "done"


async def test_a_job_that_cannot_be_done_fails_with_its_sentence(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 1)
    tasks.write_text('{"no": "prompt"}\n')
    async with ScriptedEndpoint(played) as endpoint, served_with_jobs(root, endpoint.url) as client:
        job = await submitted(client, body(endpoint.url, tasks))
        failed = await job_when(client, job["id"], "done", "failed")
        assert (failed["state"], failed["exit_code"]) == ("failed", 2)
        assert "tasks.jsonl" in failed["sentence"]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"verb": "serve"}, 422, "verb"),
        ({"limmit": 1}, 422, "limmit"),
        ({"run": "../outside"}, 400, "the name of a run"),
        ({"run": ".hidden"}, 400, "the name of a run"),
        ({"run": "trained"}, 400, "something else called trained"),
        ({"configuration": "recipes: [clair]\nnonsense: 1"}, 400, "nonsense"),
        ({"configuration": None}, 400, "needs a configuration"),
        ({"stored_configuration": "a.yaml"}, 400, "not both"),
        ({"configuration": None, "stored_configuration": "a.yaml"}, 400, "no file 'a.yaml'"),
        ({"configuration": None, "stored_configuration": "../a.yaml"}, 403, "is not a path in the folder"),
        ({"configuration": config_text("http://169.254.169.254/v1", Path("tasks.jsonl"))}, 403, "--allow-endpoint"),
        ({"configuration": config_text(NOWHERE, Path("/etc/passwd"))}, 403, "is not a path in the folder"),
        ({"reuse": ["none"]}, 400, "no run 'none'"),
    ],
)
async def test_what_can_be_seen_to_be_wrong_is_refused_at_once(
    tmp_path: Path, change: dict[str, Any], status: int, said: str
) -> None:
    root, tasks = folders(tmp_path, 1)
    with queue_of(root) as queue:
        async with served(root, jobs=Jobs(policy_for(root, NOWHERE), queue)) as client:
            answer = await submitted(client, body(NOWHERE, tasks) | change, status)
            assert said in answer["detail"]
            assert (await client.get("/api/jobs")).json() == {"jobs": [], "before": None}


async def test_a_full_queue_and_a_service_without_jobs_refuse(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 1)
    job = body(NOWHERE, tasks)
    with queue_of(root) as queue:
        async with served(root, jobs=Jobs(policy_for(root, NOWHERE), queue, 2)) as client:
            for run in ("a", "b"):
                await submitted(client, job | {"run": run})
            assert "the queue has 2 jobs" in (await submitted(client, job, 429))["detail"]
            page = (await client.get("/api/jobs", params={"limit": 1})).json()
            rest = (await client.get("/api/jobs", params={"limit": 1, "before": page["before"]})).json()
            assert [one["jobs"][0]["run"] for one in (page, rest)] == ["b", "a"]
            assert rest["before"] is None
            assert (await client.get("/api/jobs/99")).status_code == 404
    async with served(root) as client:
        assert "--jobs 0" in (await submitted(client, job, 403))["detail"]


async def test_a_token_to_read_sees_jobs_and_submits_none(tmp_path: Path) -> None:
    root, tasks = folders(tmp_path, 1)
    job = body(NOWHERE, tasks)
    with queue_of(root) as queue:
        async with served(root, tokens_of(tmp_path), jobs=Jobs(policy_for(root, NOWHERE), queue)) as client:
            assert (await client.post("/api/jobs", json=job)).status_code == 401
            may_read = {"Authorization": f"Bearer {READ}"}
            assert (await client.post("/api/jobs", json=job, headers=may_read)).status_code == 403
            assert (await client.get("/api/jobs", headers=may_read)).status_code == 200
            assert (
                await client.post("/api/jobs", json=job, headers={"Authorization": f"Bearer {RUN}"})
            ).status_code == 201
