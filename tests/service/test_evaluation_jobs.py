"""Evaluations as jobs: recorded answers, judges and MixEval-Hard by the models of a submitted configuration."""

import json
from pathlib import Path
from typing import Any

from tests.evaluation.test_judged_pairs import outputs, prefers_good, prompt_rows, rewardbench, written
from tests.judges import JUDGE, playing
from tests.scripted import Reply, ScriptedEndpoint, said
from tests.service.served import job_when, served_with_jobs

MIXEVAL = {"context": None, "benchmark_name": "AGIEval"}


def script(request: dict[str, Any]) -> Reply:
    """The judge of pairs, one of MixEval-Hard, and a model that answers always the same."""
    prompt = request["messages"][-1]["content"]
    if request["model"] == "grader":
        return said("So it is [[A]]." if "Options:" in prompt else "So it is [[0.5]].")
    return playing(prefers_good)(request) if request["model"] == JUDGE else said("number 1")


async def test_evaluations_with_a_judge_do_what_their_commands_do(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    written(root / "prompts.jsonl", prompt_rows(4))
    outputs(root, "ours", lambda n: "good answer" if n else "bad answer", 4)
    outputs(root, "theirs", lambda _: "plain answer", 4)
    written(root / "labelled.jsonl", rewardbench(2))
    free_form = {"problem_type": "free-form", "target": ["it"], "prompt": "Which?", **MIXEVAL}
    choices = {"problem_type": "multiple-choice", "options": ["a", "b"], "target": [0], "prompt": "Which?", **MIXEVAL}
    (root / "free-form.json").write_text(json.dumps({"0": free_form}))
    (root / "multiple-choice.json").write_text(json.dumps({"0": choices}))
    async with ScriptedEndpoint(script) as endpoint, served_with_jobs(root, endpoint.url) as client:
        role = {"endpoints": [endpoint.url], "temperature": 0, "max_tokens": 100}
        names = {"judge": JUDGE, "judge-2": "grader", "target": "small"}
        models = {"models": {name: role | {"model": model} for name, model in names.items()}}
        pairwise = {"verb": "evaluate pairwise", "prompts": "prompts.jsonl", "opponent": "theirs.jsonl"}
        pairwise |= {"answers": "ours.jsonl"}
        mixeval = {"verb": "evaluate mixeval-hard", "questions": ["free-form.json", "multiple-choice.json"]}
        jobs: list[tuple[dict[str, Any], str, int]] = [
            (pairwise, "ours: 75", 8),
            ({"verb": "evaluate alpaca", "instructions": "theirs.jsonl", "answers": "ours.jsonl"}, "ours: 75", 0),
            ({"verb": "evaluate judge", "labelled": "labelled.jsonl"}, f"{JUDGE}: 100", 12),
            (mixeval | {"judge": "judge-2"}, "small: 75", 4),
        ]
        for job, begins, requests in jobs:
            before = len(endpoint.asked)
            answer = await client.post("/api/jobs", json={**job, "run": "evals", "configuration": models})
            assert answer.status_code == 201, answer.text
            ended = await job_when(client, answer.json()["id"], "done", "failed")
            assert (ended["exit_code"], ended["sentence"].startswith(begins)) == (0, True), ended
            assert len(endpoint.asked) - before == requests
        [made] = (await client.get("/api/jobs/2/files")).json()
        assert made["name"] == "model_outputs.json"
        for job, status, about in (
            ({"verb": "evaluate judge", "run": "evals", "configuration": models}, 400, "labelled"),
            ({"verb": "evaluate pairwise", "run": "evals", "prompts": "prompts.jsonl"}, 400, "configuration"),
            (pairwise | {"run": "evals", "configuration": models, "opponent": "../x"}, 403, "opponent"),
            (pairwise | {"run": "evals", "configuration": models, "template": "/etc/x.txt"}, 403, "template"),
        ):
            refused = await client.post("/api/jobs", json=job)
            assert (refused.status_code, about in refused.json()["detail"]) == (status, True), refused.text
        late = pairwise | {"run": "evals", "configuration": models, "judge": "judge-3"}
        number = (await client.post("/api/jobs", json=late)).json()["id"]
        assert "no model 'judge-3'" in (await job_when(client, number, "failed"))["sentence"]
