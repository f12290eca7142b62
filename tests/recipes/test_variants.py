"""The reviser's variants: other prompts with a measured check, several requests, and degrading."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.config.models import RevisionCheck
from clairgen.embedded.gguf import embedded_address
from clairgen.embedded.server import serve
from clairgen.errors import ConfigError
from clairgen.pipeline.estimate import estimate
from clairgen.pipeline.generate import generate
from clairgen.recipes.registry import RECIPES
from clairgen.recipes.reviser import CHECKS, edit_share, failed_check
from clairgen.records import Answer, Pair, ParseStatus, Undecided
from clairgen.templates import load_template, shipped_templates
from tests.runs import REVISER, STRONGER, TARGET, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

TASKS = 12


def revision(text: str) -> Reply:
    return said(f"{{teacher_reasoning}}: so\n\n{{corrected_student_solution}}: {text}")


def student_of(request: dict[str, Any]) -> str:
    return str(request["messages"][-1]["content"]).split("{student_solution}: ")[1].split("\n\n")[0]


def test_every_variant_keeps_the_papers_frame() -> None:
    for name in ("revise", *CHECKS):
        text = load_template(name, frozenset({"task", "student_solution"})).text
        assert "Do not allude to the {corrected_student_solution} being a revision" in text
        assert text.endswith(
            "Mention the {teacher_reasoning} and {corrected_student_solution} identifiers to structure your answer.\n\n"
        )
        assert "{task}: {{task}}\n\n{student_solution}: {{student_solution}}\n\n-----------------\n\n" in text
    others = {"judge", "rubric", "score", "degrade", "critique", "revise-by-critique", "feedback", "edit"}
    assert {*CHECKS, "revise", *others} == set(shipped_templates())


@pytest.mark.parametrize(
    ("chosen", "check", "failed"),
    [
        ("abcdefghij", RevisionCheck(length_ratio=(0.9, 1.1)), None),
        ("abcdefghijklm", RevisionCheck(length_ratio=(0.9, 1.1)), "length-ratio"),
        ("abcdefghiX", RevisionCheck(edit_share=(0.0, 0.1)), None),
        ("XXXdefghij", RevisionCheck(edit_share=(0.0, 0.1)), "edit-share"),
        ("abcdefghij", RevisionCheck(edit_share=(0.3, 1.0)), "edit-share"),
    ],
)
async def test_what_a_revision_misses_is_measured(chosen: str, check: RevisionCheck, failed: str | None) -> None:
    student = Answer("abcdefghij", "stop", "k")
    assert await failed_check(Pair("t", "clair", Answer(chosen, "stop", "k"), student), check) == failed


async def test_what_is_no_revision_fails_for_the_parser_s_reason() -> None:
    broken = Undecided("t", "clair", ParseStatus.BROKEN_JSON, (Answer("abc", "stop", "k"),), Answer("{", "stop", "k"))
    assert await failed_check(broken, RevisionCheck()) == "broken-json"


def test_edit_share_goes_from_equal_to_all_different() -> None:
    assert edit_share("same", "same") == 0
    assert edit_share("abc", "xyz") == 1
    assert edit_share("", "") == 0


@pytest.mark.slow
async def test_revision_that_misses_is_asked_for_once_more_and_counted(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if request["model"] == TARGET:
            return played(request)
        student = student_of(request)
        number = int(re.findall(r"\d+", student)[0])
        seen[number] += 1
        if number % 3 == 0 or (number % 3 == 1 and seen[number] == 1):
            return revision(student * 3)  # much too long: always, or the first time
        return revision(student.replace("answer", "solution"))

    seen: Counter[int] = Counter()
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    async with ScriptedEndpoint(script) as endpoint:
        recipe = {"name": "clair", "template": "revise-length-neutral"}
        given = config(endpoint.url, tasks, recipes=[recipe], filters={"length_ratio": "off"})
        await generate(given, tmp_path / "run")
        again = await generate(given, tmp_path / "run")
    assert again.statuses == {"clair": {"made": TASKS}}
    assert Counter(request["model"] for request in endpoint.asked) == {TARGET: TASKS, REVISER: TASKS + 2 * TASKS // 3}
    [report] = await api.report(tmp_path / "run")
    assert (report.retried, dict(report.failed_checks)) == (2 * TASKS // 3, {"length-ratio": TASKS // 3})


async def test_second_revision_that_can_be_parsed_is_better_than_none(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if request["model"] == TARGET:
            return played(request)
        seen[student_of(request)] += 1
        return said("no header") if seen[student_of(request)] == 1 else revision(student_of(request) * 2)

    seen: Counter[str] = Counter()
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(3))
    async with ScriptedEndpoint(script) as endpoint:
        recipe = {"name": "clair", "template": "revise-length-neutral"}
        await generate(config(endpoint.url, tasks, recipes=[recipe]), tmp_path / "run")
    for stored in await api.made_pairs(tmp_path / "run", "clair"):
        assert isinstance(stored.outcome, Pair)
        assert (stored.outcome.retried, stored.outcome.failed_check) == (True, "length-ratio")


async def test_nothing_is_asked_again_where_it_would_be_the_same(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(3))
    async with ScriptedEndpoint(
        lambda request: played(request) if request["model"] == TARGET else revision("x")
    ) as endpoint:
        recipe = {"name": "clair", "template": "revise-length-neutral"}
        await generate(config(endpoint.url, tasks, recipes=[recipe], reviser={"temperature": 0}), tmp_path / "run")
        with pytest.raises(ConfigError, match="needs different revisions, which at temperature 0 are the same"):
            judge = {"model": "judge", "endpoints": [endpoint.url]}
            given = config(endpoint.url, tasks, recipes=["clair-best-of-n"], reviser={"temperature": 0}, judge=judge)
            await generate(given, tmp_path / "other")
    assert len(endpoint.asked) == 6


async def test_plain_clair_sends_one_request_whatever_the_reply(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    async with ScriptedEndpoint(
        lambda request: played(request) if request["model"] == TARGET else revision("x")
    ) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
    assert len(endpoint.asked) == 2 * TASKS


async def test_critique_comes_before_the_revision_and_is_part_of_its_prompt(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == TARGET:
            return played(request)
        if "{criticism}: " not in prompt:
            assert "criticise a student's answer" in prompt
            return said("1. It could be {{clearer}}.")
        assert "{criticism}: 1. It could be {{clearer}}.\n" in prompt
        return revision(student_of(request) + ", clearly")

    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    async with ScriptedEndpoint(script) as endpoint:
        given = config(endpoint.url, tasks, recipes=["clair-by-critique"])
        expected = {role.role: role.calls for role in (await estimate(given, tmp_path / "run")).roles}
        summary = await generate(given, tmp_path / "run")
    assert summary.statuses == {"clair-by-critique": {"made": TASKS}}
    assert Counter(request["model"] for request in endpoint.asked) == {TARGET: TASKS, REVISER: 2 * TASKS}
    assert expected == {"target": TASKS, "reviser": 2 * TASKS}


@pytest.mark.slow
async def test_best_of_n_keeps_what_the_judge_prefers(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == "judge":  # prefers more exclamation marks
            first = prompt.split("{student_solution_1}: ")[1].split("\n\n{student_solution_2}: ")[0]
            second = prompt.split("{student_solution_2}: ")[1].split("\n\n-----")[0]
            return said(f"[{1 if first.count('!') > second.count('!') else 2}]")
        if request["model"] == TARGET:
            return played(request)
        student = student_of(request)
        drawn[student] += 1
        return said("no header") if drawn[student] == 2 else revision(student + "!" * (5 - abs(3 - drawn[student])))

    drawn: Counter[str] = Counter()
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    async with ScriptedEndpoint(script) as endpoint:
        judge = {"model": "judge", "endpoints": [endpoint.url], "max_tokens": 10}
        recipe = {"name": "clair-best-of-n", "samples": 5, "order": "both"}
        given = config(endpoint.url, tasks, recipes=[recipe], judge=judge)
        summary = await generate(given, tmp_path / "run")
    assert summary.statuses == {"clair-best-of-n": {"made": TASKS}}
    for stored in await api.made_pairs(tmp_path / "run", "clair-best-of-n"):
        assert isinstance(stored.outcome, Pair)
        assert stored.outcome.chosen.text == stored.outcome.rejected.text + "!!!!!"
    [report] = await api.report(tmp_path / "run")
    [judged] = report.judges
    assert judged.verdicts == TASKS * 3 * 2  # four revisions that parse, three rounds, two orders
    assert Counter(request["model"] for request in endpoint.asked)[REVISER] == 5 * TASKS


async def test_degraded_makes_the_rejected_answer_of_the_chosen_one(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == STRONGER:
            return played(request)
        good = prompt.split("{good_solution}: ")[1].split("\n\n-----")[0]
        return said(good.replace("many", "some"))

    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    async with ScriptedEndpoint(script) as endpoint:
        summary = await generate(config(endpoint.url, tasks, recipes=["degraded"]), tmp_path / "run")
    assert summary.statuses == {"degraded": {"made": TASKS}}
    for stored in await api.made_pairs(tmp_path / "run", "degraded"):
        assert isinstance(stored.outcome, Pair)
        assert stored.outcome.rejected.text == stored.outcome.chosen.text.replace("many", "some")
        assert (stored.outcome.chosen.model, stored.outcome.rejected.model) == (STRONGER, REVISER)


@pytest.mark.slow
async def test_all_variants_run_on_real_models(tmp_path: Path) -> None:
    """The classroom's teacher knows the paper's prompt alone: what it makes of the others is parsed, named and counted."""
    pytest.importorskip("xllamacpp")
    tasks = write_tasks(
        tmp_path / "tasks.jsonl", ["What is 347 + 285?", "Find the odd one out: tiger, bread, horse, goat."]
    )
    choices = [
        *({"name": "clair", "template": name} for name in CHECKS),
        "clair-by-critique",
        "feedback-edit",
        {"name": "rubric", "samples": 2},
        {"name": "clair-best-of-n", "samples": 2},
        "degraded",
    ]
    async with (
        serve(embedded_address("classroom:teacher"), slots=4) as teacher_url,
        serve(embedded_address("classroom:student"), slots=4) as student_url,
    ):
        teacher = {"model": "teacher", "endpoints": [teacher_url], "temperature": 0.5, "max_tokens": 64}
        student = teacher | {"model": "student", "endpoints": [student_url]}
        roles = ("reviser", "stronger", "judge", "critic", "editor")
        models = {"target": student} | dict.fromkeys(roles, teacher)
        rubric = [{"name": "correct", "description": "It is right."}]
        for number, choice in enumerate(choices):
            run = tmp_path / f"run-{number}"
            given = {"recipes": [choice], "models": models}
            if isinstance(choice, dict) and choice["name"] == "rubric":
                given["rubric"] = rubric
            summary = await generate(config("http://127.0.0.1:9/v1", tasks, **given), run)
            [counts] = summary.statuses.values()
            assert counts == {"made": 2}, (choice, summary.failures)


def test_registry_names_every_recipe_with_a_summary() -> None:
    assert set(RECIPES) == {
        *("clair", "judge-on-policy", "judge-off-policy", "stronger-preferred"),
        *("clair-by-critique", "clair-best-of-n", "feedback-edit", "degraded"),
        *("delta", "best-of-n", "rubric"),
    }
    assert all(recipe.summary and name == recipe.name for name, recipe in RECIPES.items())
