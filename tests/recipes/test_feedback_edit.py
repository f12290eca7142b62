"""Feedback and edit: critics and an editor of their own, nothing parsed, and the check of a revision for the edited answer."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.errors import ConfigError
from clairgen.pipeline.estimate import estimate
from clairgen.pipeline.generate import generate
from clairgen.pipeline.plans import plan_recipes
from clairgen.records import Pair
from tests.runs import TARGET, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

TASKS = 4
CRITIC, EDITOR = "critic-model", "editor-model"


def models(url: str, **critic: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a role
    role = {"endpoints": [url], "temperature": 0.7, "max_tokens": 100}
    return {
        "target": role | {"model": TARGET},
        "critic": role | {"model": CRITIC} | critic,
        "editor": role | {"model": EDITOR},
    }


async def test_the_editor_is_given_all_feedback_and_its_whole_reply_is_the_chosen_answer(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == TARGET:
            return played(request)
        student = prompt.split("{student_solution}: ")[1].split("\n\n")[0]
        if request["model"] == CRITIC:
            assert "{feedback}" not in prompt
            heard[student] += 1
            return said(f"It lacks {{{{part}}}} {heard[student]}.")
        assert "{feedback}: Reader 1: It lacks {{part}} 1.\n\nReader 2: It lacks {{part}} 2.\n\n-----" in prompt
        return said(f"{student}, {{corrected_student_solution}}: with both parts")

    heard: Counter[str] = Counter()
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    async with ScriptedEndpoint(script) as endpoint:
        recipe = {"name": "feedback-edit", "critiques": 2}
        given = config(endpoint.url, tasks, recipes=[recipe], models=models(endpoint.url))
        expected = {role.role: role.calls for role in (await estimate(given, tmp_path / "run")).roles}
        summary = await generate(given, tmp_path / "run")
        await generate(given, tmp_path / "run")
    assert summary.statuses == {"feedback-edit": {"made": TASKS}}
    assert Counter(request["model"] for request in endpoint.asked) == {TARGET: TASKS, CRITIC: 2 * TASKS, EDITOR: TASKS}
    assert expected == {"target": TASKS, "critic": 2 * TASKS, "editor": TASKS}
    for stored in await api.made_pairs(tmp_path / "run", "feedback-edit"):
        pair = stored.outcome
        assert isinstance(pair, Pair)
        assert pair.chosen.text == f"{pair.rejected.text}, {{corrected_student_solution}}: with both parts"
        assert (pair.chosen.model, pair.rejected.model) == (EDITOR, TARGET)
        assert pair.reasoning == "Reader 1: It lacks {{part}} 1.\n\nReader 2: It lacks {{part}} 2."


async def test_an_edit_that_fails_its_check_is_requested_once_more(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if request["model"] == TARGET:
            return played(request)
        if request["model"] == CRITIC:
            return said("It is fine.")
        prompt = request["messages"][-1]["content"]
        assert "{feedback}: It is fine.\n" in prompt
        student = prompt.split("{student_solution}: ")[1].split("\n\n")[0]
        edits[student] += 1
        return said(student * (3 if edits[student] == 1 else 1) + "!")

    edits: Counter[str] = Counter()
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    async with ScriptedEndpoint(script) as endpoint:
        recipe = {"name": "feedback-edit", "check": {"length_ratio": [0.5, 2.0]}}
        await generate(config(endpoint.url, tasks, recipes=[recipe], models=models(endpoint.url)), tmp_path / "run")
    assert Counter(request["model"] for request in endpoint.asked)[EDITOR] == 2 * TASKS
    [report] = await api.report(tmp_path / "run")
    assert (report.kept, report.retried, dict(report.failed_checks)) == (TASKS, TASKS, {})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"temperature": 0}, "needs different feedback"),
        ({}, "needs a 'critic', which `models` does not have; add models.critic"),
    ],
)
def test_what_the_recipe_cannot_do_is_refused(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    roles = models("http://127.0.0.1:9/v1", **changes)
    if not changes:
        del roles["critic"]
    given = config("http://127.0.0.1:9/v1", tasks, recipes=[{"name": "feedback-edit", "critiques": 3}], models=roles)
    with pytest.raises(ConfigError, match=sentence):
        plan_recipes(given, given.models)
