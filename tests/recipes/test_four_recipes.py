"""All four recipes over the same tasks, over a scripted endpoint on a real socket."""

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.config.file import load_config, parse_config
from clairgen.config.models import RunConfig
from clairgen.errors import ConfigError, InputError, RunError
from clairgen.pipeline.generate import Options, Summary, generate
from clairgen.pipeline.reparse import reparse
from clairgen.records import Pair, StoredPair, Undecided
from tests.runs import REVISER, STRONGER, TARGET, config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

pytestmark = pytest.mark.slow

JUDGE, OTHER_1, OTHER_2 = "judge-model", "other-model-1", "other-model-2"
ALL = ["clair", "judge-on-policy", "judge-off-policy", "stronger-preferred"]
TASKS = 24


def number_of(text: str) -> int:
    found = re.search(r"number (\d+)", text)
    assert found is not None
    return int(found[1])


def models_of(stored: StoredPair) -> tuple[str, str]:
    """Of the chosen and of the rejected answer."""
    assert isinstance(stored.outcome, Pair)
    return stored.outcome.chosen.model, stored.outcome.rejected.model


def judge_prompt(request: dict[str, Any]) -> tuple[str, str]:
    prompt = request["messages"][-1]["content"]
    first = prompt.split("{student_solution_1}: ")[1].split("\n\n{student_solution_2}: ")[0]
    return first, prompt.split("{student_solution_2}: ")[1].split("\n\n-----")[0]


def prefers_longer(request: dict[str, Any]) -> Reply:
    first, second = judge_prompt(request)
    return said(f"{{teacher_reasoning}}: longer is better here.\n\n[{1 if len(first) > len(second) else 2}]")


def all_played(request: dict[str, Any]) -> Reply:
    model, prompt = request["model"], request["messages"][-1]["content"]
    if model == TARGET:  # two samples differ by their seeds
        return said(f"{prompt} is a question and this is an answer" + " indeed" * (request["seed"] % 5))
    if model == JUDGE:
        return prefers_longer(request)
    if model in (OTHER_1, OTHER_2):
        return said(f"{model} says something of {prompt}" + "!" * (model == OTHER_2))
    return played(request)


def judge_role(url: str, model: str = JUDGE) -> dict[str, Any]:
    return {"model": model, "endpoints": [url], "temperature": 0, "max_tokens": 100}


async def given_for(
    folder: Path,
    endpoint: ScriptedEndpoint,
    recipes: list[Any],
    **changes: Any,  # noqa: ANN401 - of a configuration
) -> RunConfig:
    """A configuration with a judge; `changes` go over its top-level keys, those of `models` over the roles."""
    tasks = folder / "tasks.jsonl"
    if not tasks.exists():
        write_tasks(tasks, questions(TASKS))
    base = json.loads(config_text(endpoint.url, tasks))
    models = base["models"] | {"judge": judge_role(endpoint.url), **changes.pop("models", {})}
    return parse_config(json.dumps(base | {"recipes": recipes, **changes, "models": models}))


async def made(folder: Path, endpoint: ScriptedEndpoint, recipes: list[Any], **changes: Any) -> Summary:  # noqa: ANN401
    return await generate(await given_for(folder, endpoint, recipes, **changes), folder / "run")


def recorded(folder: Path, count: int) -> dict[str, Any]:
    """A source of tasks with two answers each, of which the second one is longer."""
    rows = [
        {"prompt": prompt, OTHER_1: f"{OTHER_1} speaks of {prompt}", OTHER_2: f"{OTHER_2} speaks of {prompt}!"}
        for prompt in questions(count)
    ]
    return {"path": str(write_tasks(folder / "tasks.jsonl", rows)), "answers": [OTHER_1, OTHER_2]}


async def test_all_recipes_share_what_they_share(tmp_path: Path) -> None:
    async with ScriptedEndpoint(all_played) as endpoint:
        others = [judge_role(endpoint.url, OTHER_1), judge_role(endpoint.url, OTHER_2)]
        summary = await made(tmp_path, endpoint, ALL, models={"others": others})
    assert summary.statuses == {recipe: {"made": TASKS} for recipe in ALL}
    asked = Counter(request["model"] for request in endpoint.asked)
    identical = summary.dropped["judge-on-policy"]["identical"]
    assert asked == {
        TARGET: 2 * TASKS,
        REVISER: TASKS,
        STRONGER: TASKS,
        OTHER_1: TASKS,
        OTHER_2: TASKS,
        JUDGE: 2 * TASKS - identical,  # equal answers need no judge
    }
    first = {
        stored.task.id: stored.outcome.rejected.text
        for stored in await api.made_pairs(tmp_path / "run", "clair")
        if isinstance(stored.outcome, Pair)
    }
    for stored in await api.made_pairs(tmp_path / "run", "judge-on-policy"):
        assert isinstance(stored.outcome, Pair)
        chosen = stored.outcome.chosen
        assert first[stored.task.id] in (chosen.text, stored.outcome.rejected.text)  # y_l of CLAIR is y_1 of the judge
        assert len(chosen.text) >= len(stored.outcome.rejected.text)
        if chosen.text != stored.outcome.rejected.text:
            assert stored.outcome.reasoning == "longer is better here."
    for stored in await api.made_pairs(tmp_path / "run", "judge-off-policy"):
        assert models_of(stored) == (OTHER_2, OTHER_1)


@pytest.mark.slow
async def test_order_is_drawn_by_seed_balanced_and_stored(tmp_path: Path) -> None:
    async with ScriptedEndpoint(all_played) as endpoint:
        await made(tmp_path, endpoint, ["judge-off-policy"], tasks=recorded(tmp_path, 300))
        shown = [
            judge_prompt(request)[0].startswith(OTHER_1) for request in endpoint.asked if request["model"] == JUDGE
        ]
    [report] = await api.report(tmp_path / "run")
    [judge] = report.judges
    assert 120 < sum(shown) < 180
    assert judge.verdicts == 300
    assert judge.first_position.mean == pytest.approx(1 - sum(shown) / 300)  # it takes the longer, OTHER_2


async def test_both_orders_keep_only_agreements(tmp_path: Path) -> None:
    def sways(request: dict[str, Any]) -> Reply:
        if request["model"] != JUDGE:
            return all_played(request)
        return said("[1]") if number_of(judge_prompt(request)[0]) % 4 == 0 else prefers_longer(request)

    async with ScriptedEndpoint(sways) as endpoint:
        others = [judge_role(endpoint.url, OTHER_1), judge_role(endpoint.url, OTHER_2)]
        recipe = {"name": "judge-off-policy", "order": "both"}
        summary = await made(tmp_path, endpoint, [recipe], models={"others": others})
    assert Counter(request["model"] for request in endpoint.asked)[JUDGE] == 2 * TASKS
    assert summary.dropped == {"judge-off-policy": {"tie-between-orders": TASKS // 4}}
    for stored in await api.made_pairs(tmp_path / "run", "judge-off-policy"):
        text = (stored.outcome.rejected if isinstance(stored.outcome, Pair) else stored.outcome.answers[0]).text
        assert isinstance(stored.outcome, Undecided) == (number_of(text) % 4 == 0)
    [report] = await api.report(tmp_path / "run")
    [judge] = report.judges
    assert judge.flips.mean == pytest.approx(0.25)
    exported = await api.export(tmp_path / "run", tmp_path / "out")
    assert exported.row_count == TASKS * 3 // 4


async def test_several_judges_choose_by_majority(tmp_path: Path) -> None:
    def stubborn(request: dict[str, Any]) -> Reply:
        if request["model"] == "stubborn":
            return said(f"[{2 if OTHER_2 in judge_prompt(request)[0] else 1}]")  # always OTHER_1
        return prefers_longer(request) if request["model"] in (JUDGE, "third") else all_played(request)

    async with ScriptedEndpoint(stubborn) as endpoint:
        others = [judge_role(endpoint.url, OTHER_1), judge_role(endpoint.url, OTHER_2)]
        judges = [judge_role(endpoint.url, model) for model in (JUDGE, "stubborn", "third")]
        summary = await made(tmp_path, endpoint, ["judge-off-policy"], models={"others": others, "judge": judges})
    assert summary.dropped == {}
    for stored in await api.made_pairs(tmp_path / "run", "judge-off-policy"):
        assert models_of(stored)[0] == OTHER_2


async def test_verdicts_that_cannot_be_read_are_dropped_by_name(tmp_path: Path) -> None:
    answers = ["Both are equally good.", "[1] or [2]", "I cannot say.", "<think>hm"]

    def vague(request: dict[str, Any]) -> Reply:
        if request["model"] != JUDGE:
            return all_played(request)
        return said(answers[number_of(judge_prompt(request)[0]) % 4])

    async with ScriptedEndpoint(vague) as endpoint:
        others = [judge_role(endpoint.url, OTHER_1), judge_role(endpoint.url, OTHER_2)]
        summary = await made(tmp_path, endpoint, ["judge-off-policy"], models={"others": others})
    names = ("declared-tie", "contradictory-verdict", "no-verdict", "unclosed-thinking")
    assert summary.dropped == {"judge-off-policy": dict.fromkeys(names, TASKS // 4)}


ROWS: dict[str, list[tuple[str, object]]] = {
    "best-and-worst": [("a", 3.0), ("b", 5.0), ("c", 1.0), ("d", 4.0)],
    "equal": [("a", 4.0), ("b", 4.0), ("c", 4.0)],
    "tied-at-the-ends": [("a", 2.0), ("b", 5.0), ("c", 5.0), ("d", 2.0)],
    "one-score": [("a", None), ("b", 5.0), ("c", None)],
    "not-available": [("a", "N/A"), ("b", "4.5"), ("c", 2)],
    "single": [("a", 4.0)],
    "empty": [],
}


def ultra_feedback(folder: Path) -> Path:
    rows = [
        {
            "id": name,
            "instruction": f"Question number {number}",
            "completions": [
                {"model": f"m-{text}", "response": f"answer {text}", "overall_score": score} for text, score in entries
            ],
        }
        for number, (name, entries) in enumerate(ROWS.items())
    ]
    return write_tasks(folder / "tasks.jsonl", rows)


async def test_recorded_scores_choose_without_any_ask(tmp_path: Path) -> None:
    source = {"path": str(ultra_feedback(tmp_path)), "column": "instruction", "answers": "completions"}
    async with ScriptedEndpoint(all_played) as endpoint:
        recipe = {"name": "judge-off-policy", "by": "scores"}
        summary = await made(tmp_path, endpoint, [recipe], tasks=source)
        assert endpoint.asked == []
    pairs = {stored.task.id: stored for stored in await api.made_pairs(tmp_path / "run", "judge-off-policy")}
    chosen = {
        name: (stored.outcome.chosen.text, stored.outcome.rejected.text)
        for name, stored in pairs.items()
        if isinstance(stored.outcome, Pair)
    }
    assert chosen == {
        "best-and-worst": ("answer b", "answer c"),
        "tied-at-the-ends": ("answer b", "answer a"),  # of equal ones the first
        "not-available": ("answer b", "answer c"),
    }
    assert models_of(pairs["best-and-worst"])[0] == "m-b"
    assert summary.dropped == {"judge-off-policy": {"equal-scores": 1, "missing-score": 1}}
    assert {failure[1]: failure[2] for failure in summary.failures} == {"too-few-answers": 2}


async def test_false_tens_are_never_chosen_and_are_counted(tmp_path: Path) -> None:
    def entry(text: str, overall: float, fine: float) -> dict[str, object]:
        return {"model": "m", "response": text, "overall_score": overall, "fine-grained_score": fine}

    rows = [
        {
            "id": f"t{number}",
            "instruction": f"Question number {number}",
            "completions": [entry("bad", 10.0, 1.25), entry("good", 8.5, 4.75), entry("fair", 7.0, 4.0)],
        }
        for number in range(3)
    ]
    recipe = {"name": "judge-off-policy", "by": "scores"}
    source = {
        "path": str(write_tasks(tmp_path / "tasks.jsonl", rows)),
        "column": "instruction",
        "answers": "completions",
    }
    expected = {"overall_score": ("good", "fair", 3), None: ("good", "bad", 0)}
    for scores, (best, worst, doubts) in expected.items():
        folder = tmp_path / str(scores)
        folder.mkdir()
        async with ScriptedEndpoint(all_played) as endpoint:
            summary = await made(folder, endpoint, [recipe], tasks=source | ({"scores": scores} if scores else {}))
        for stored in await api.made_pairs(folder / "run", "judge-off-policy"):
            assert isinstance(stored.outcome, Pair)
            assert (stored.outcome.chosen.text, stored.outcome.rejected.text) == (best, worst)
        assert summary.tasks.doubts == doubts
    assert summary.tasks.first_doubt is None


async def test_recorded_answers_are_judged_again(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Question number {number}", "a": f"short {number}", "b": f"rather longer {number}"}
        for number in range(10)
    ]
    source = {"path": str(write_tasks(tmp_path / "tasks.jsonl", rows)), "answers": ["a", "b"]}
    async with ScriptedEndpoint(all_played) as endpoint:
        summary = await made(tmp_path, endpoint, ["judge-off-policy"], tasks=source)
    assert summary.statuses == {"judge-off-policy": {"made": 10}}
    assert len(endpoint.asked) == 10
    for stored in await api.made_pairs(tmp_path / "run", "judge-off-policy"):
        assert models_of(stored) == ("b", "a")


@pytest.mark.parametrize(
    ("recipe", "changes", "sentence"),
    [
        ("judge-on-policy", {"target": {"temperature": 0}}, "needs two different answers of the target"),
        ("judge-off-policy", {}, "needs answers of other models: give models.others"),
        ({"name": "clair", "order": "both"}, {}, "the recipe 'clair' has no option `order`"),
        ({"name": "judge-on-policy", "by": "scores"}, {}, "has no option `by`"),
    ],
)
async def test_what_cannot_be_judged_is_an_error(
    tmp_path: Path, recipe: object, changes: dict[str, Any], sentence: str
) -> None:
    async with ScriptedEndpoint(all_played) as endpoint:
        with pytest.raises(ConfigError, match=sentence):
            tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
            given = config(endpoint.url, tasks, recipes=[recipe], judge=judge_role(endpoint.url), **changes)
            await generate(given, tmp_path / "run")


@pytest.mark.slow
async def test_matched_export_has_equal_task_sets(tmp_path: Path) -> None:
    import datasets

    def picky(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == REVISER and number_of(prompt) % 5 == 0:
            return said("no header")
        if request["model"] == JUDGE and number_of(prompt) % 7 == 0:
            return said("hm")
        return all_played(request)

    async with ScriptedEndpoint(picky) as endpoint:
        others = [judge_role(endpoint.url, OTHER_1), judge_role(endpoint.url, OTHER_2)]
        await made(tmp_path, endpoint, ALL, models={"others": others})
    summary = await api.export(tmp_path / "run", tmp_path / "out", matched=True)
    sets = {
        recipe: set(
            datasets.load_dataset(str(tmp_path / "out"), recipe, split="train", cache_dir=str(tmp_path / "cache"))[
                "task_id"
            ]
        )
        for recipe in ALL
    }
    assert len({frozenset(tasks) for tasks in sets.values()}) == 1
    assert 0 < len(sets["clair"]) < TASKS
    assert summary.skipped["unmatched"] > 0


@pytest.mark.slow
async def test_saved_configuration_continues_every_recipe(tmp_path: Path) -> None:
    async with ScriptedEndpoint(all_played) as endpoint:
        others = [judge_role(endpoint.url, OTHER_1), judge_role(endpoint.url, OTHER_2)]
        recipes = [*ALL[:2], {"name": "judge-off-policy", "order": "both"}, {"name": "clair-best-of-n", "samples": 2}]
        await made(tmp_path, endpoint, recipes, models={"others": others})
        asked = len(endpoint.asked)
        await generate(load_config(tmp_path / "run" / "config.yaml"), tmp_path / "run")
        assert (await reparse(tmp_path / "run", every=True)).changed == 0
    assert len(endpoint.asked) == asked


async def test_marking_near_duplicates_keeps_what_judges_said(tmp_path: Path) -> None:
    story = "Question number 7 about a lighthouse keeper who finds a message in a bottle after a long storm at sea"
    write_tasks(tmp_path / "tasks.jsonl", [story, f"{story}, please", *questions(3)])
    async with ScriptedEndpoint(all_played) as endpoint:
        others = [judge_role(endpoint.url, OTHER_1), judge_role(endpoint.url, OTHER_2)]
        await made(
            tmp_path, endpoint, ["judge-off-policy"], models={"others": others}, filters={"near_duplicate": "mark"}
        )
    [report] = await api.report(tmp_path / "run")
    assert dict(report.marked)["near-duplicate-prompt"] == 1
    assert report.judges[0].verdicts == 5


async def test_judgements_of_an_earlier_plan_are_not_counted(tmp_path: Path) -> None:
    async with ScriptedEndpoint(all_played) as endpoint:
        others = [judge_role(endpoint.url, OTHER_1), judge_role(endpoint.url, OTHER_2)]
        await made(tmp_path, endpoint, ["judge-off-policy"], models={"others": others})
        both = {"name": "judge-off-policy", "order": "both"}
        given = await given_for(tmp_path, endpoint, [both], models={"others": others})
        await generate(given, tmp_path / "run", Options(accept_changes=True, limit=5))
    [report] = await api.report(tmp_path / "run")
    assert (report.n, report.judges[0].verdicts, report.judges[0].flips.n) == (5, 10, 5)


async def test_answers_that_the_data_set_has_later_are_taken(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Question number {number}", "a": f"short {number}", "b": f"longer still {number}"}
        for number in range(4)
    ]
    path = write_tasks(tmp_path / "tasks.jsonl", rows)
    async with ScriptedEndpoint(all_played) as endpoint:
        await made(tmp_path, endpoint, ["stronger-preferred"])
        source = {"path": str(path), "answers": ["a", "b"]}
        recipes = ["stronger-preferred", "judge-off-policy"]
        given = await given_for(tmp_path, endpoint, recipes, tasks=source)
        summary = await generate(given, tmp_path / "run", Options(accept_changes=True))
        assert summary.statuses == {recipe: {"made": 4} for recipe in recipes}
        other = await given_for(tmp_path, endpoint, recipes, tasks=source | {"answers": ["b", "prompt"]})
        await generate(other, tmp_path / "run", Options(accept_changes=True))
    for stored in await api.made_pairs(tmp_path / "run", "judge-off-policy"):
        assert set(models_of(stored)) == {"b", "prompt"}


async def test_pairs_by_recorded_scores_are_made_again_where_the_scores_changed(tmp_path: Path) -> None:
    def rows(scores: tuple[int, int]) -> list[object]:
        return [
            {"prompt": f"Question number {number}", "a": "one", "b": "two", "sa": sa, "sb": sb}
            for number, (sa, sb) in enumerate([(1, 2), scores, (2, 1)])
        ]

    async def chosen() -> list[str]:
        pairs = await api.made_pairs(tmp_path / "run", "judge-off-policy")
        return [models_of(stored)[0] for stored in pairs]

    path = write_tasks(tmp_path / "tasks.jsonl", rows((1, 2)))
    source = {"path": str(path), "answers": ["a", "b"], "scores": ["sa", "sb"]}
    recipe = {"name": "judge-off-policy", "by": "scores"}
    async with ScriptedEndpoint(all_played) as endpoint:
        await made(tmp_path, endpoint, [recipe], tasks=source)
        assert await chosen() == ["b", "b", "a"]
        write_tasks(path, [*rows((5, 2)), {"prompt": "another", "a": "one", "b": "two", "sa": 2, "sb": 1}])
        given = await given_for(tmp_path, endpoint, [recipe], tasks=source)
        with pytest.raises(RunError, match="made again where the answers or their scores changed"):
            await generate(given, tmp_path / "run")
        summary = await generate(given, tmp_path / "run", Options(accept_changes=True))
    assert sum(summary.progress.made.values()) == 2
    assert await chosen() == ["b", "a", "a", "a"]


async def test_of_rows_with_one_prompt_the_first_ones_answers_count(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Question number 1", "a": f"{word} short", "b": f"{word} rather longer"}
        for word in ("first", "second")
    ]
    source = {"path": str(write_tasks(tmp_path / "tasks.jsonl", rows)), "answers": ["a", "b"]}
    async with ScriptedEndpoint(all_played) as endpoint:
        await made(tmp_path, endpoint, ["judge-off-policy"], tasks=source)
    [stored] = await api.made_pairs(tmp_path / "run", "judge-off-policy")
    assert isinstance(stored.outcome, Pair)
    assert stored.outcome.chosen.text == "first rather longer"


async def test_undecided_recorded_answers_are_both_kept(tmp_path: Path) -> None:
    rows = [{"prompt": f"Question number {number}", "a": f"one {number}", "b": f"two {number}"} for number in range(4)]
    source = {"path": str(write_tasks(tmp_path / "tasks.jsonl", rows)), "answers": ["a", "b"]}
    async with ScriptedEndpoint(lambda _: said("Both are equally good.")) as endpoint:
        await made(tmp_path, endpoint, ["judge-off-policy"], tasks=source)
    for stored in await api.made_pairs(tmp_path / "run", "judge-off-policy"):
        assert isinstance(stored.outcome, Undecided)
        assert {answer.text.split()[0] for answer in stored.outcome.answers} == {"one", "two"}
        assert {answer.model for answer in stored.outcome.answers} == {"a", "b"}
        assert stored.outcome.unparsed is None
    [report] = await api.report(tmp_path / "run")
    assert (report.judges[0].verdicts, report.judges[0].ties) == (0, 4)


async def test_everything_that_a_pair_asked_for_is_in_its_cost(tmp_path: Path) -> None:
    price = {"input": 10, "output": 30}
    async with ScriptedEndpoint(all_played) as endpoint:
        judge = judge_role(endpoint.url) | {"price_per_million": price}
        await made(tmp_path, endpoint, ["judge-on-policy"], models={"judge": judge})
        status = await api.status(tmp_path / "run")
    [report] = await api.report(tmp_path / "run")
    paid = sum(role.cost_usd or 0 for role in status.roles)
    assert report.cost_usd == pytest.approx(paid)
    assert paid > 0


async def test_misspelt_answers_are_reported_before_any_request(tmp_path: Path) -> None:
    source = {"path": str(ultra_feedback(tmp_path)), "column": "instruction", "answers": "complletions"}
    async with ScriptedEndpoint(all_played) as endpoint:
        with pytest.raises(InputError, match="has no column 'complletions', which `answers` or `scores`"):
            await made(tmp_path, endpoint, [{"name": "judge-off-policy", "by": "scores"}], tasks=source)


@pytest.mark.slow
@pytest.mark.parametrize(("bias", "leaning"), [(0.2, "first position"), (0.0, "neither position")])
async def test_planted_position_bias_of_twenty_points_is_found_and_a_fair_judge_not_accused(
    tmp_path: Path, bias: float, leaning: str
) -> None:
    """It prefers the better answer, but takes the first position, whatever answer it shows, in a share `bias` of verdicts."""
    drawn = random.Random(1)

    def biased(request: dict[str, Any]) -> Reply:
        if request["model"] != JUDGE:
            return all_played(request)
        return said("[1]") if drawn.random() < bias else prefers_longer(request)

    async with ScriptedEndpoint(biased) as endpoint:
        await made(tmp_path, endpoint, ["judge-off-policy"], tasks=recorded(tmp_path, 400))
    [report] = await api.report(tmp_path / "run")
    assert report.judges[0].verdicts == 400
    assert report.judges[0].leaning == leaning
