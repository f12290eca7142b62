"""Thinking and control tokens of every role: what reviser, judge and data set get to see."""

from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.pipeline.generate import generate
from clairgen.records import FilterAction, Pair
from tests.runs import config, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

ANSWER = "Paris is the capital of France, and it is a fine city."
THOUGHT = "THE-THOUGHT"
FORMS = {
    "think": f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}",
    "closing alone": f"{THOUGHT}\n</think>\n\n{ANSWER}",
    "harmony": f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
    "magistral": f"[THINK]{THOUGHT}[/THINK]{ANSWER}",
    "control token": f"{ANSWER}<|im_end|>",
}


def prompts(request: dict[str, Any]) -> str:
    return "\n".join(message["content"] for message in request["messages"])


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
async def test_only_the_answer_reaches_reviser_and_data_set(tmp_path: Path, form: str) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if request["model"] == "reviser-model":
            return said("{teacher_reasoning}: fine.\n{corrected_student_solution}: Paris is the capital of France.")
        return said(FORMS[form])

    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    async with ScriptedEndpoint(script) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair", "stronger-preferred"]), tmp_path / "run")
        [revision] = [request for request in endpoint.asked if request["model"] == "reviser-model"]
    assert ANSWER in prompts(revision)
    assert THOUGHT not in prompts(revision)
    assert "<|" not in prompts(revision)
    [stored] = await api.made_pairs(tmp_path / "run", "clair")
    assert isinstance(stored.outcome, Pair)
    assert stored.outcome.rejected.text == ANSWER
    assert ("removed_markup", FilterAction.MARK) in {(one.filter, one.action) for one in stored.findings}


async def test_thinking_that_never_ends_is_a_truncated_answer_paid_once(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    async with ScriptedEndpoint(lambda _: said(f"<think>{THOUGHT}", finish_reason="length")) as endpoint:
        given = config(endpoint.url, tasks, recipes=["clair"])
        for _ in range(2):
            summary = await generate(given, tmp_path / "run")
            assert [(recipe, reason, count) for recipe, reason, count, _ in summary.failures] == [
                ("clair", "truncated", 1)
            ]
        assert len(endpoint.asked) == 1


@pytest.mark.slow
@pytest.mark.parametrize("word", ["length", "MAX_TOKENS", "model_context_window_exceeded", "maxPredictedTokensReached"])
async def test_half_an_answer_is_dropped_whatever_its_server_calls_it(tmp_path: Path, word: str) -> None:
    def script(request: dict[str, Any]) -> Reply:
        whole = request["model"] == "stronger-model"
        return said(f"{ANSWER} It is old." if whole else "Paris is the", finish_reason="stop" if whole else word)

    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    async with ScriptedEndpoint(script) as endpoint:
        summary = await generate(config(endpoint.url, tasks, recipes=["stronger-preferred"]), tmp_path / "run")
    assert summary.dropped == {"stronger-preferred": {"rejected-truncated": 1}}


async def test_an_unknown_finish_reason_is_kept_and_named(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        return said(f"{ANSWER} By {request['model']}.", finish_reason="banana")

    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    async with ScriptedEndpoint(script) as endpoint:
        summary = await generate(config(endpoint.url, tasks, recipes=["stronger-preferred"]), tmp_path / "run")
    assert summary.dropped == {}
    [stored] = await api.made_pairs(tmp_path / "run", "stronger-preferred")
    assert ("chosen-finish-reason-unknown", "banana") in {(one.reason, one.value) for one in stored.findings}
