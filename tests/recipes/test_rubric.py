"""Rubric judging: the weighted total by its definition, what decides and what does not, and runs over a scripted judge."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.config.criteria import Criterion
from clairgen.config.models import RunConfig
from clairgen.errors import ConfigError
from clairgen.pipeline.estimate import estimate
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.plans import plan_recipes
from clairgen.pipeline.reparse import reparse
from clairgen.recipes.rubric_scores import weighted_total
from clairgen.recipes.scoring import paired_by_scores
from clairgen.records import OVERALL, Answer, Message, Pair, ParseStatus, Score, Task, Undecided, overall_score
from tests.runs import TARGET, config, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

TASK = Task("task-1", (Message("user", "2 + 2?"),))
RUBRIC = (
    {"name": "correct", "description": "What it says is true.", "weight": 3},
    {"name": "easy to read", "description": "A stranger follows it.", "scale": [0, 10]},
)
CRITERIA = tuple(Criterion.model_validate(one) for one in RUBRIC)
TASKS = 6


def answers(*totals: float | None) -> tuple[list[Answer], tuple[Score, ...]]:
    """Answers with these overall scores."""
    made = [Answer(f"answer {number}", "stop", f"key-{number}") for number in range(len(totals))]
    scores = [
        Score(
            answer.identity,
            OVERALL,
            total,
            "judge",
            status=ParseStatus.OK if total is not None else ParseStatus.NO_SCORES,
        )
        for answer, total in zip(made, totals, strict=True)
    ]
    return made, tuple(scores)


def test_the_total_is_the_weighted_mean_of_shares_of_the_scales() -> None:
    # correct: 4 of 1..5 is 3/4, weight 3; easy to read: 5 of 0..10 is 1/2, weight 1
    assert weighted_total({"correct": 4, "easy to read": 5}, CRITERIA) == (3 * 0.75 + 0.5) / 4
    assert weighted_total({"correct": 1, "easy to read": 0}, CRITERIA) == 0
    assert weighted_total({"correct": 5, "easy to read": 10}, CRITERIA) == 1


def test_the_best_total_is_preferred_to_the_worst_whatever_the_order() -> None:
    made, scores = answers(0.5, 0.9, 0.1, 0.9, None)
    outcome = paired_by_scores(TASK, "rubric", made, scores, 0)
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, outcome.rejected, outcome.scores) == (made[1], made[2], scores)


@pytest.mark.parametrize(
    ("totals", "margin", "reason", "shown"),
    [
        ((0.5, 0.5, 0.5), 0.0, ParseStatus.EQUAL_SCORES, (0, 1)),
        ((0.5, 0.7, 0.4), 0.4, ParseStatus.BELOW_MARGIN, (1, 2)),
        ((None, 0.7, None), 0.0, ParseStatus.NO_SCORES, (0, 1)),
        ((None, None), 0.0, ParseStatus.NO_SCORES, (0, 1)),
    ],
)
def test_equal_close_and_missing_totals_are_undecided_with_their_scores(
    totals: tuple[float | None, ...], margin: float, reason: ParseStatus, shown: tuple[int, int]
) -> None:
    made, scores = answers(*totals)
    outcome = paired_by_scores(TASK, "rubric", made, scores, margin)
    assert isinstance(outcome, Undecided)
    assert (outcome.reason, outcome.scores) == (reason, scores)
    assert outcome.answers == tuple(made[number] for number in shown)


def test_a_difference_that_is_the_margin_is_enough() -> None:
    made, scores = answers(0.6, 0.7, 0.3)
    assert isinstance(paired_by_scores(TASK, "rubric", made, scores, 0.4), Pair)


def target_says(drawn: Counter[str], request: Mapping[str, Any]) -> Reply:
    """Answers of growing length, so that the judge can tell them apart."""
    prompt = str(request["messages"][-1]["content"])
    drawn[prompt] += 1
    return said(f"{prompt}: {'good ' * drawn[prompt]}")


def scored_text(request: Mapping[str, Any]) -> str:
    return str(request["messages"][-1]["content"]).split("{student_solution}: ")[1].split("\n\n{rubric}:\n")[0]


def rubric_run(url: str, tasks: Path, *, judges: int = 1, **recipe: Any) -> RunConfig:  # noqa: ANN401
    role = {"endpoints": [url], "max_tokens": 100, "temperature": 0}
    models = {
        "target": role | {"model": TARGET, "temperature": 0.7},
        "judge": [role | {"model": f"judge-{number}"} for number in range(judges)],
    }
    return config(url, tasks, recipes=[{"name": "rubric", **recipe}], rubric=list(RUBRIC), models=models)


async def test_a_run_scores_every_answer_by_every_criterion_and_keeps_the_scores(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if request["model"] == TARGET:
            return target_says(drawn, request)
        prompt = str(request["messages"][-1]["content"])
        assert (
            "- correct (1 to 5): What it says is true.\n- easy to read (0 to 10): A stranger follows it.\n\n-----"
            in prompt
        )
        good = scored_text(request).count("good")
        return said(f"It has {good} good parts.\n\n{{scores}}:\ncorrect: {good}\neasy to read: {10 - good}")

    drawn: Counter[str] = Counter()
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    async with ScriptedEndpoint(script) as endpoint:
        given = rubric_run(endpoint.url, tasks, samples=3)
        expected = {role.role: role.calls for role in (await estimate(given, tmp_path / "run")).roles}
        summary = await generate(given, tmp_path / "run")
        await generate(given, tmp_path / "run")
    assert summary.statuses == {"rubric": {"made": TASKS}}
    assert Counter(request["model"] for request in endpoint.asked) == {TARGET: 3 * TASKS, "judge-0": 3 * TASKS}
    assert expected == {"target": 3 * TASKS, "judge": 3 * TASKS}
    for stored in await api.made_pairs(tmp_path / "run", "rubric"):
        pair = stored.outcome
        assert isinstance(pair, Pair)
        assert (pair.chosen.text.count("good"), pair.rejected.text.count("good")) == (3, 1)
        assert [(score.criterion, score.value) for score in pair.scores if score.answer == pair.chosen.key] == [
            ("correct", 3.0),
            ("easy to read", 7.0),
            (OVERALL, (3 * 0.5 + 0.7) / 4),
        ]
        assert len(pair.scores) == 3 * 3
        assert pair.reasoning == "It has 3 good parts."
    [report] = await api.report(tmp_path / "run")
    assert report.kept == TASKS


async def test_unreadable_replies_are_named_counted_and_leave_their_answer_out(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if request["model"] == TARGET:
            return target_says(drawn, request)
        good, number = scored_text(request).count("good"), int(re.findall(r"number (\d)", scored_text(request))[0])
        replies = {
            0: said("correct: 3"),
            1: said(f"correct: {good}\neasy to read: 11"),
            2: said(f"correct: {good}\neasy to read: 5", finish_reason="length"),
            3: said("I cannot score that.") if good == 2 else said(f"correct: {good}\neasy to read: 5"),
            4: said("correct: 3\neasy to read: 5"),
            5: said(f'{{"correct": {good}, "easy to read": 5}}'),
        }
        return replies[number]

    drawn: Counter[str] = Counter()
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    async with ScriptedEndpoint(script) as endpoint:
        await generate(rubric_run(endpoint.url, tasks, samples=3), tmp_path / "run")
    outcomes = [stored.outcome for stored in await api.made_pairs(tmp_path / "run", "rubric")]
    reasons = [outcome.reason.value if isinstance(outcome, Undecided) else "" for outcome in outcomes]
    assert reasons == ["missing-criterion", "score-out-of-range", "no-scores", "", "equal-scores", ""]
    assert all(len(outcome.scores) == 9 for outcome in outcomes)
    [report] = await api.report(tmp_path / "run")
    assert report.dropped == {"equal-scores": 1, "missing-criterion": 1, "no-scores": 1, "score-out-of-range": 1}
    again = await reparse(tmp_path / "run", every=True)
    assert (again.read, again.changed, again.recovered) == (TASKS, 0, 0)
    assert [stored.outcome for stored in await api.made_pairs(tmp_path / "run", "rubric")] == outcomes


async def test_two_judges_count_alike_and_both_must_be_readable(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if request["model"] == TARGET:
            return target_says(drawn, request)
        good = scored_text(request).count("good")
        if request["model"] == "judge-0":
            return said(f"correct: {good}\neasy to read: 0")
        return said(f"correct: 1\neasy to read: {10 if good == 1 else 0}" if good < 3 else "no")

    drawn: Counter[str] = Counter()
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    async with ScriptedEndpoint(script) as endpoint:
        await generate(rubric_run(endpoint.url, tasks, judges=2, samples=3), tmp_path / "run")
    [stored] = await api.made_pairs(tmp_path / "run", "rubric")
    pair = stored.outcome
    assert isinstance(pair, Pair)
    # one good: (0 + 1/4) / 2; two: (3/4 * 1/4 + 0) / 2; three: the second judge gave none
    assert (pair.chosen.text.count("good"), overall_score(pair.chosen, pair.scores)) == (1, 0.125)
    assert (pair.rejected.text.count("good"), overall_score(pair.rejected, pair.scores)) == (2, 0.09375)


async def test_other_models_answers_are_scored_and_a_margin_keeps_close_ones_out(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if request["model"].startswith("m-"):
            return said(f"an answer of {request['model']}")
        return said(f"correct: {4 if 'm-b' in scored_text(request) else 3}\neasy to read: 5")

    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(2))
    async with ScriptedEndpoint(script) as endpoint:
        role = {"endpoints": [endpoint.url], "max_tokens": 100}
        models = {"others": [role | {"model": name} for name in ("m-a", "m-b")], "judge": role | {"model": "judge"}}
        recipe = {"name": "rubric", "answers": "others"}
        changes = {"rubric": list(RUBRIC), "models": models}
        await generate(config(endpoint.url, tasks, recipes=[recipe], **changes), tmp_path / "run")
        asked = len(endpoint.asked)
        far = config(endpoint.url, tasks, recipes=[recipe | {"min_margin": 0.2}], **changes)
        await generate(far, tmp_path / "far", Options(reuse=(tmp_path / "run",)))
        assert len(endpoint.asked) == asked
    for stored in await api.made_pairs(tmp_path / "run", "rubric"):
        assert isinstance(stored.outcome, Pair)
        assert (stored.outcome.chosen.model, stored.outcome.rejected.model) == ("m-b", "m-a")
    for stored in await api.made_pairs(tmp_path / "far", "rubric"):
        assert isinstance(stored.outcome, Undecided)
        assert stored.outcome.reason is ParseStatus.BELOW_MARGIN


def test_what_cannot_be_scored_as_configured_is_refused_in_a_sentence(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    given = rubric_run("http://127.0.0.1:9/v1", tasks)
    cold = given.models["target"].model_copy(update={"temperature": 0.0})
    refused = [
        ("does not have; give `rubric`", given.model_copy(update={"rubric": []})),
        ("needs different answers", given.model_copy(update={"models": {**given.models, "target": cold}})),
        ("two other models or more", rubric_run("http://127.0.0.1:9/v1", tasks, answers="others")),
    ]
    for sentence, wrong in refused:
        with pytest.raises(ConfigError, match=sentence):
            plan_recipes(wrong, wrong.models)


@pytest.mark.parametrize(
    ("criteria", "sentence"),
    [
        ([{"name": "clear: yes", "description": "x"}], "use letters, digits, spaces, _ and -"),
        ([{"name": "Overall", "description": "x"}], "has a meaning of its own"),
        ([{"name": "clear", "description": "x", "scale": [5, 1]}], "lowest score first"),
        ([{"name": "clear", "description": "x", "weight": 0}], "rubric.0.weight"),
        ([{"name": "clear"}], "rubric.0.description"),
        ([{"name": "Is clear", "description": "x"}, {"name": "is_clear", "description": "y"}], "listed twice"),
    ],
)
def test_a_rubric_that_no_reply_could_be_read_by_is_refused(
    tmp_path: Path, criteria: list[dict[str, Any]], sentence: str
) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    with pytest.raises(ConfigError, match=re.escape(sentence).replace("rubric\\.0", "rubric.0")):
        config("http://127.0.0.1:9/v1", tasks, rubric=criteria)


def test_a_changed_weight_is_a_change_of_the_plan(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    given = rubric_run("http://127.0.0.1:9/v1", tasks)
    heavier = given.model_copy(update={"rubric": [CRITERIA[0].model_copy(update={"weight": 5.0}), CRITERIA[1]]})
    [before], [after] = (plan_recipes(one, one.models) for one in (given, heavier))
    changed = {key for key, value in before.plan.facts.items() if after.plan.facts[key] != value}
    assert changed == {"rubric.correct.weight"}
    assert before.plan.facts.keys() == after.plan.facts.keys()


def test_another_margin_rule_rejects_another_answer() -> None:
    totals = [0.0, 0.28, *[0.4] * 45, 0.52, 0.44, 0.8]  # mean 0.40, standard deviation 0.08: the point is 0.23
    made = [Answer(f"answer {number}", "stop", f"key-{number}") for number in range(len(totals))]
    scores = tuple(Score(answer.identity, OVERALL, total, "judge") for answer, total in zip(made, totals, strict=True))
    for rule, rejected in (("best-worst", 0), ("mean-minus-two-sigma", 1)):
        outcome = paired_by_scores(TASK, "rubric", made, scores, 0, rule)
        assert isinstance(outcome, Pair)
        assert (outcome.chosen, outcome.rejected) == (made[-1], made[rejected])
