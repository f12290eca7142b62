"""An evaluation of questions over a scripted endpoint: what is asked, kept, counted and asked again."""

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clairgen.cli.evaluation_tables import remarks
from clairgen.config.role import Price, Role
from clairgen.errors import BudgetError, ConfigError, DrainedError, InputError
from clairgen.evaluation.checkable_questions import (
    CheckableQuestion,
    QuestionsEvaluator,
    evaluate_questions,
    question_items,
    questions_evaluation,
)
from clairgen.evaluation.evaluate import EvaluationSummary, evaluate
from clairgen.evaluation.evaluator import Item, ItemStatus, Scored
from clairgen.evaluation.planned_evaluation import EvaluateOptions
from clairgen.evaluation.results import compared, named_result, stored_results
from clairgen.pipeline.progress import Progress
from clairgen.recipes.recipe import Ask
from clairgen.records import Message
from clairgen.store import RunDirectory, reading
from tests.scripted import Reply, ScriptedEndpoint, refused, said

QUESTIONS = [
    CheckableQuestion(f"What is {number} + 1?", number + 1, rule="numeric", part="odd" if number % 2 else "even")
    for number in range(10)
]


def role(url: str, **changes: Any) -> Role:  # noqa: ANN401 - any field of a role
    return Role(
        **{"model": "small", "endpoints": [url], "temperature": 0, "max_tokens": 50, "concurrency": 4, **changes}
    )


def adds(request: dict[str, Any]) -> Reply:
    """Right for numbers below 6, wrong above."""
    number = int(request["messages"][-1]["content"].split()[2])
    return said(f"It is {number + 1 if number < 6 else 0}.", tokens=(20, 5))


async def evaluated(url: str, run: Path, **options: Any) -> EvaluationSummary:  # noqa: ANN401 - any option
    evaluation = questions_evaluation(QUESTIONS, role(url), label="small", data="sums")
    return await evaluate(evaluation, run, EvaluateOptions(**options))


async def test_answers_are_scored_by_part_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    async with ScriptedEndpoint(adds) as endpoint:
        result = (await evaluated(endpoint.url, tmp_path / "run")).result
        assert len(endpoint.asked) == 10
        again = (await evaluated(endpoint.url, tmp_path / "run")).result
        assert len(endpoint.asked) == 10
    assert result.overall.mean == 0.6
    assert {name: share.mean for name, share in result.parts.items()} == {"even": 0.6, "odd": 0.6}
    assert list(result.scores.values()) == [1.0] * 6 + [0.0] * 4
    assert again.scores == result.scores
    assert result.complete
    assert result.items[9].detail == {"rule": "numeric", "reference": 10, "found": "0"}
    assert repr(result) == "<EvaluationResult of small: questions on sums, 60.0% (30.0 to 84.0, n 10)>"


async def test_the_answer_of_an_item_is_found_by_its_key(tmp_path: Path) -> None:
    async with ScriptedEndpoint(adds) as endpoint:
        result = (await evaluated(endpoint.url, tmp_path / "run")).result
    async with reading(RunDirectory(tmp_path / "run")) as store:
        [(asked, key)] = result.items[0].requests
        completion = await store.completions.find(key)
    assert completion is not None
    assert (asked, completion.text) == ("target", "It is 1.")


async def test_a_smaller_limit_comes_first_and_the_rest_later(tmp_path: Path) -> None:
    async with ScriptedEndpoint(adds) as endpoint:
        first = (await evaluated(endpoint.url, tmp_path / "run", limit=4)).result
        assert (len(endpoint.asked), first.overall.n, first.complete) == (4, 4, False)
        assert "6 items left" in repr(first)
        whole = (await evaluated(endpoint.url, tmp_path / "run")).result
        assert (len(endpoint.asked), whole.overall.n) == (10, 10)
    assert whole.record.id == first.record.id


async def test_other_rules_ask_nothing_again(tmp_path: Path) -> None:
    """What differs in the rule only is another evaluation over the same answers."""
    as_text = [replace(one, reference=f"it is {one.reference}", rule="exact") for one in QUESTIONS]
    async with ScriptedEndpoint(adds) as endpoint:
        by_number = await evaluate_questions(QUESTIONS, role(endpoint.url), tmp_path, label="small")
        by_text = await evaluate_questions(as_text, role(endpoint.url), tmp_path, label="small")
        assert len(endpoint.asked) == 10
    assert by_number.record.id != by_text.record.id
    assert by_number.scores == by_text.scores


async def test_failed_requests_are_counted_by_reason_and_tried_again_when_wanted(tmp_path: Path) -> None:
    broken = True

    def script(request: dict[str, Any]) -> Reply:
        number = int(request["messages"][-1]["content"].split()[2])
        return refused(400, "no such thing", "content_policy_violation") if broken and number == 3 else adds(request)

    async with ScriptedEndpoint(script) as endpoint:
        found = await evaluated(endpoint.url, tmp_path / "run")
        assert found.result.unscored == {("failed", "content-policy"): 1}
        assert (found.result.overall.n, found.result.count(ItemStatus.FAILED)) == (9, 1)
        assert found.result.overall.mean == 5 / 9
        broken = False
        asked = len(endpoint.asked)
        assert (await evaluated(endpoint.url, tmp_path / "run")).result.overall.n == 9
        assert len(endpoint.asked) == asked
        again = await evaluated(endpoint.url, tmp_path / "run", retry_failed=True)
        assert (again.result.overall.n, len(endpoint.asked)) == (10, asked + 1)


async def test_an_answer_in_which_nothing_can_be_read_is_wrong_and_counted(tmp_path: Path) -> None:
    async with ScriptedEndpoint(lambda _request: said("I do not know.")) as endpoint:
        result = await evaluate_questions(QUESTIONS, role(endpoint.url), tmp_path, label="small")
    assert (result.overall.mean, result.overall.n) == (0.0, 10)
    assert result.noted == {"no-number": 10}
    assert result.unscored == {}


async def test_answers_that_were_cut_off_are_checked_as_they_are_and_counted(tmp_path: Path) -> None:
    async with ScriptedEndpoint(lambda _request: said("It is 4", finish_reason="length")) as endpoint:
        result = await evaluate_questions(QUESTIONS, role(endpoint.url), tmp_path, label="small")
    assert (result.overall.n, result.cut_off, result.to_json()["cut_off"]) == (10, 10, 10)
    assert remarks(result)[-1] == "Cut off at max_tokens, and checked as they are: 10 answers"


async def test_samples_of_a_question_are_one_cluster(tmp_path: Path) -> None:
    async with ScriptedEndpoint(adds) as endpoint:
        target = role(endpoint.url, temperature=0.7)
        result = await evaluate_questions(QUESTIONS, target, tmp_path, label="small", samples=3)
        assert len({request["seed"] for request in endpoint.asked}) == len(endpoint.asked) == 30
    assert (result.overall.n, result.overall.clusters) == (30, 10)
    names = list(result.scores)
    assert [name.partition("#")[2] for name in names[:4]] == ["1", "2", "3", "1"]
    with pytest.raises(ConfigError, match="at temperature 0 all answers"):
        questions_evaluation(QUESTIONS, role("http://a/v1"), label="small", samples=2)


async def test_answers_of_training_data_are_not_taken_for_those_of_an_evaluation(tmp_path: Path) -> None:
    async with ScriptedEndpoint(adds) as endpoint:
        await evaluated(endpoint.url, tmp_path)
    with closing(sqlite3.connect(tmp_path / "run.db")) as database:
        assert database.execute("SELECT DISTINCT sample FROM completions").fetchall() == [(3_000_000,)]


async def test_a_fault_of_an_evaluator_is_a_failed_item(tmp_path: Path) -> None:
    class Broken:
        kind, noun, roles, settings = "broken", "item", ("target",), {"version": 1}

        async def score(self, item: Item, ask: Ask) -> Scored:
            await ask("target", item.messages)
            return Scored(1 / (item.reference - 2))

    items = [Item(str(n), (Message("user", f"What is {n} + 1?"),), str(n), reference=n) for n in range(4)]
    async with ScriptedEndpoint(adds) as endpoint:
        plan = replace(questions_evaluation([], role(endpoint.url), label="x"), evaluator=Broken(), items=items)
        found = await evaluate(plan, tmp_path)
    assert found.result.unscored == {("failed", "internal-error"): 1}
    assert "ZeroDivisionError" in found.result.items[2].detail["error"]
    assert len(found.result.items[2].requests) == 1


async def test_stopping_keeps_what_is_done_and_says_so(tmp_path: Path) -> None:
    stop = asyncio.Event()

    def script(request: dict[str, Any]) -> Reply:
        if len(endpoint.asked) == 3:
            stop.set()
        return adds(request)

    async with ScriptedEndpoint(script) as endpoint:
        with pytest.raises(DrainedError):
            await evaluate_questions(QUESTIONS, role(endpoint.url, concurrency=1), tmp_path, label="small", stop=stop)
        before = len(endpoint.asked)
        assert 3 <= before < 10
        await evaluate_questions(QUESTIONS, role(endpoint.url), tmp_path, label="small")
        assert len(endpoint.asked) == 10


async def test_a_budget_stops_it_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    async with ScriptedEndpoint(lambda _request: said("1", tokens=(100, 50))) as endpoint:
        target = role(endpoint.url, price_per_million=Price(input=100, output=100), concurrency=1)
        plan = questions_evaluation(QUESTIONS, target, label="small")
        found = await evaluate(plan, tmp_path, EvaluateOptions(budget_usd=0.2))
        assert isinstance(found.stopped_by, BudgetError)
        assert 0 < found.result.overall.n < 10
        assert found.progress.money.spent_usd <= 0.2
        whole = await evaluate(plan, tmp_path, EvaluateOptions(budget_usd=1.0))
        assert (whole.stopped_by, len(endpoint.asked)) == (None, 10)


async def test_progress_counts_the_questions(tmp_path: Path) -> None:
    progress = Progress()
    async with ScriptedEndpoint(adds) as endpoint:
        await evaluate(questions_evaluation(QUESTIONS, role(endpoint.url), label="s"), tmp_path, progress=progress)
    assert (progress.noun, progress.pairs_to_make, progress.done) == ("question", 10, 10)
    assert repr(progress).startswith("<Progress of 10 questions: 10 done, target 10 answered")


async def test_two_models_are_compared_over_the_items_that_both_answered(tmp_path: Path) -> None:
    def better(request: dict[str, Any]) -> Reply:
        number = int(request["messages"][-1]["content"].split()[2])
        if request["model"] == "small":
            return adds(request)
        return refused(400, "no", "content_policy_violation") if number == 9 else said(f"{number + 1 if number else 5}")

    async with ScriptedEndpoint(better) as endpoint:
        a = await evaluate_questions(QUESTIONS, role(endpoint.url), tmp_path, label="before")
        b = await evaluate_questions(QUESTIONS, role(endpoint.url, model="large"), tmp_path, label="after")
    found = compared(a, b)
    assert (found.overall.n, found.only_a, found.only_b) == (9, 1, 0)
    assert (found.overall.right_to_wrong, found.overall.wrong_to_right) == (1, 3)
    assert found.overall.mean == pytest.approx(2 / 9)
    assert [before.position for before, _ in found.changed] == [1, 7, 8, 9]
    assert set(found.parts) == {"odd", "even"}
    assert json.loads(json.dumps(found.to_json()))["difference"]["n"] == 9
    async with reading(RunDirectory(tmp_path)) as store:
        results = await stored_results(store)
    assert named_result(results, "after", tmp_path).scores == b.scores
    assert named_result(results, a.record.id[:8], tmp_path).record.label == "before"
    with pytest.raises(InputError, match="has no evaluation 'later'; it has before, after"):
        named_result(results, "later", tmp_path)


async def test_evaluations_of_other_questions_are_not_compared(tmp_path: Path) -> None:
    async with ScriptedEndpoint(adds) as endpoint:
        a = await evaluate_questions(QUESTIONS, role(endpoint.url), tmp_path, label="a")
        b = await evaluate_questions(QUESTIONS[:5], role(endpoint.url), tmp_path, label="b", data="fewer")
    with pytest.raises(InputError, match="a and b are not evaluations of the same items"):
        compared(a, b)


@pytest.mark.parametrize(
    ("question", "said_of_it"),
    [
        (CheckableQuestion("x", None, rule="numeric"), "question 1 cannot be checked: its reference is not a text"),
        (CheckableQuestion("x", "none", rule="numeric"), "its reference 'none' holds no number"),
        (CheckableQuestion("x", "AB", rule="choice"), "its reference 'AB' is not one letter"),
        (CheckableQuestion("x", "(", rule="regex"), "its pattern '[(]' is not a regular expression"),
        (CheckableQuestion("x", rule="classroom"), "it is not a question of the classroom"),
        (CheckableQuestion("x", 1, rule="python"), "there is no rule 'python'; choose one of exact, numeric"),
        (CheckableQuestion("x", 1, rule="numeric", tolerance=-1), "its tolerance -1 is not a number of at least 0"),
    ],
)
def test_a_question_that_cannot_be_checked_is_refused(question: CheckableQuestion, said_of_it: str) -> None:
    with pytest.raises(InputError, match=said_of_it):
        question_items([question])


def test_ids_are_unique() -> None:
    twice = [CheckableQuestion("x", "1", id="a"), CheckableQuestion("x", "2", id="a")]
    assert [item.id for item in question_items(twice)] == ["a", "a~2"]
    assert len({item.cluster for item in question_items(twice)}) == 1
    with pytest.raises(InputError, match="two different questions have the id 'a', the second is question 2"):
        question_items([CheckableQuestion("x", "1", id="a"), CheckableQuestion("y", "2", id="a")])


async def test_a_pattern_that_takes_for_ever_is_a_failed_item(tmp_path: Path) -> None:
    slow, fast = CheckableQuestion("x", "(a|a)*b", rule="regex"), CheckableQuestion("y", "a{40}", rule="regex")
    async with ScriptedEndpoint(lambda _request: said("a" * 40)) as endpoint:
        plan = questions_evaluation([slow], role(endpoint.url), label="small")
        found = await evaluate(replace(plan, evaluator=QuestionsEvaluator(pattern_seconds=1)), tmp_path)
        good = await evaluate_questions([fast], role(endpoint.url), tmp_path, label="small")
    assert found.result.unscored == {("failed", "too-long-to-measure"): 1}
    assert "the pattern was not found or excluded within 1 s" in found.result.items[0].detail["error"]
    assert list(good.scores.values()) == [1.0]
