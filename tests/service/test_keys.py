"""API keys of endpoints and tokens of the service: in no answer, and in no file that the service or a job writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from clairgen.service.app import service
from clairgen.service.jobs import Jobs
from clairgen.service.policy import policy_of
from clairgen.service.runs_root import RunsRoot
from tests.runs import TARGET, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused, said
from tests.service.served import READ, RUN, filled, ids, job_when, queue_of, routes_of, served, tokens_of, working

KEY = "sk-canary-0123456789abcdefghijklmnop"
VARIABLES = ("CANARY_KEY", "CANARY_HEADER")


def telling(request: dict[str, Any]) -> Reply:
    """An endpoint that gives the key away: in what a model says, in an error, and in its headers."""
    prompt = request["messages"][-1]["content"]
    if request["model"] == TARGET and prompt.endswith(" 2"):  # the last one: a run that begins with an error would end
        return refused(400, f"wrong API key {KEY}", code=KEY, x_request_id=KEY)
    if request["model"] == TARGET and prompt.endswith(" 1"):
        return said(f"The key is {KEY}, and that is all that there is to say.")
    return played(request)


async def test_a_key_that_endpoints_repeat_is_in_no_answer_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    root = tmp_path / "runs"
    for name in VARIABLES:
        monkeypatch.setenv(name, KEY)
    async with ScriptedEndpoint(telling) as endpoint:
        policy = policy_of(RunsRoot(root), VARIABLES, [endpoint.url], hub=False)
        with queue_of(root) as queue:
            jobs, tokens = Jobs(policy, queue), tokens_of(tmp_path)
            tasks = write_tasks(root / "tasks.jsonl", questions(3))
            role = {"api_key_env": "CANARY_KEY", "headers": {"X-Key": "${CANARY_HEADER}"}, "concurrency": 1}
            text = config_text(endpoint.url, tasks, target=role, reviser=role, stronger=role)
            async with working(policy, queue), served(root, tokens, jobs=jobs) as client:
                client.headers["Authorization"] = f"Bearer {RUN}"
                sent = {"verb": "generate", "run": "first", "configuration": text}
                assert (await client.post("/api/jobs", json=sent)).status_code == 201
                await job_when(client, 1, "done", "failed")
                pairs = await ids(client)
                known = {
                    "run": "first",
                    "job": "1",
                    "pair": pairs[0],
                    "queue": "none",
                    "name": "service.css",
                    "name:path": "a",
                }
                paths = [path for method, path in routes_of(service(RunsRoot(root), tokens, [])) if method == "GET"]
                answers = [await client.get(filled(path, known)) for path in paths]
    assert endpoint.headers["authorization"] == f"Bearer {KEY}"
    assert endpoint.headers["x-key"] == KEY
    assert 0 < len(pairs) < 6  # some of the requests for them were refused, which ones is a matter of order
    assert [answer.status_code for answer in answers].count(200) > 15
    assert any("[key]" in answer.text for answer in answers)
    files = [path for path in root.rglob("*") if path.is_file()]
    assert {"service.db", "run.db", "run.log", "output.txt", "config.yaml"} <= {path.name for path in files}
    for secret in (KEY, RUN, READ):
        assert [answer.url for answer in answers if secret in f"{answer.text}{answer.headers.raw}"] == []
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
        assert secret not in caplog.text


@pytest.mark.parametrize(
    "role",
    [
        {"api_key": KEY},
        {"api_key_env": KEY},
        {"headers": {"X-Key": KEY}},
        {"headers": {"Authorization": f"Bearer {KEY}"}},
        {"extra": {"api_key": KEY}},
        {"extra": {"nested": [{"authorization": KEY}]}},
        {"endpoints": [f"http://ada:{KEY}@127.0.0.1:9/v1"]},
        {"endpoints": [f"http://127.0.0.1:9/v1?key={KEY}"]},
        {"endpoints": [KEY]},
        {"chat_template_kwargs": {"token": KEY}},
    ],
)
async def test_a_key_in_what_is_submitted_is_refused_and_kept_nowhere(tmp_path: Path, role: Mapping[str, Any]) -> None:
    root, url = tmp_path / "runs", "http://127.0.0.1:9/v1"
    policy = policy_of(RunsRoot(root), (), [url], hub=False)
    with queue_of(root) as queue:
        tasks = write_tasks(root / "tasks.jsonl", questions(1))
        async with served(root, jobs=Jobs(policy, queue)) as client:
            for path in ("/api/jobs", "/api/estimates"):
                sent = {"verb": "generate", "run": "first", "configuration": config_text(url, tasks, target=role)}
                answer = await client.post(path, json=sent)
                assert answer.status_code in (400, 403), answer.text
                assert KEY not in answer.text
    assert [path for path in root.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []
