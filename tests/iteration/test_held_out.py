"""What says whether a round gained: right answers to questions, paired; or a judge's preference over the model before."""

from pathlib import Path
from typing import Any

import pytest

from clairgen.config.role import Role
from clairgen.evaluation.checkable_questions import CheckableQuestion
from clairgen.evaluation.evaluate import evaluate
from clairgen.evaluation.recorded_outputs import read_prompts
from clairgen.evaluation.results import EvaluationResult
from clairgen.iteration.held_out import HeldOut, HeldOutPrompts, HeldOutQuestions, held_out_facts
from clairgen.iteration.lineage import Verdict
from tests.runs import config, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused, said

COUNT = 30


def answered(request: dict[str, Any]) -> Reply:
    """The first model is short and wrong; the second one is right where the number is even, and cannot answer the last."""
    prompt = request["messages"][-1]["content"]
    if request["model"] == "judge":
        first = prompt.index("is longer") < prompt.index("short") if "short" in prompt else True
        return said(f"{{teacher_reasoning}}: the longer one\n\n{{preferred_student}}: [{1 if first else 2}]")
    number = int(prompt.removeprefix("Question "))
    if request["model"] == "first":
        return said("short")
    if number == COUNT:
        return refused(400, "this prompt is blocked by the content policy", "content_filter")
    return said(f"an answer that is longer, and it is {number if number % 2 == 0 else 0}")


async def evaluated(
    held_out: HeldOut, url: str, run: Path, name: str, parent: EvaluationResult | None
) -> EvaluationResult:
    target = Role(model=name, endpoints=[url], concurrency=4, max_tokens=20)
    evaluation = held_out.evaluation(target, name, 0, parent)
    return (await evaluate(evaluation, run)).result


async def test_questions_give_the_paired_difference_of_right_answers(tmp_path: Path) -> None:
    questions = [CheckableQuestion(f"Question {number}", number, rule="numeric") for number in range(1, COUNT + 1)]
    held_out = HeldOutQuestions("test.jsonl", questions)
    async with ScriptedEndpoint(answered) as endpoint:
        first = await evaluated(held_out, endpoint.url, tmp_path / "run", "first", None)
        second = await evaluated(held_out, endpoint.url, tmp_path / "run", "second", first)
    score, gain = held_out.score(second, first), held_out.gain(second, first)
    assert held_out.score(first, None).mean == 0
    assert (score.n, score.unscored) == (COUNT - 1, 1)
    assert score.mean == pytest.approx(14 / 29)
    assert (gain.n, gain.verdict) == (COUNT - 1, Verdict.BETTER)
    assert gain.mean == pytest.approx(14 / 29)


async def test_prompts_are_judged_against_the_answers_of_the_model_before(tmp_path: Path) -> None:
    prompts = read_prompts(write_tasks(tmp_path / "prompts.jsonl", [f"Question {n}" for n in range(1, COUNT + 1)]))
    async with ScriptedEndpoint(answered) as endpoint:
        judge = Role(model="judge", endpoints=[endpoint.url], temperature=0, concurrency=4, max_tokens=20)
        held_out = HeldOutPrompts("prompts.jsonl", prompts, judge)
        first = await evaluated(held_out, endpoint.url, tmp_path / "run", "first", None)
        assert {request["model"] for request in endpoint.asked} == {"first"}
        assert len(endpoint.asked) == COUNT
        second = await evaluated(held_out, endpoint.url, tmp_path / "run", "second", first)
        asked = [request["model"] for request in endpoint.asked]
        third = await evaluated(held_out, endpoint.url, tmp_path / "run", "third", second)
    assert (asked.count("first"), asked.count("judge")) == (COUNT, 2 * (COUNT - 1))
    assert held_out.score(first, None).mean is None
    score, gain = held_out.score(second, first), held_out.gain(second, first)
    assert (score.n, score.mean, score.unscored) == (COUNT - 1, 1.0, 1)
    assert (gain.n, gain.mean, gain.verdict) == (COUNT - 1, 0.5, Verdict.BETTER)
    assert gain.low is not None
    assert 0 < gain.low < 0.5
    # the prompt that the second model could not answer is not compared again, and equal answers are ties without a judge
    assert len(third.items) == COUNT - 1
    assert (held_out.gain(third, second).mean, held_out.gain(third, second).verdict) == (0.0, Verdict.NO_GAIN)


def test_the_facts_name_prompts_rules_and_the_judge_but_no_model_that_is_evaluated(tmp_path: Path) -> None:
    given = config("http://127.0.0.1:9/v1", tmp_path / "tasks.jsonl")
    questions = HeldOutQuestions("test.jsonl", [CheckableQuestion("One?", "1")], samples=2)
    assert held_out_facts(questions, given).keys() == {"kind", "data", "rules"}
    more = HeldOutQuestions("test.jsonl", [CheckableQuestion("One?", "2")], samples=2)
    assert held_out_facts(more, given)["data"] != held_out_facts(questions, given)["data"]
    prompts = read_prompts(write_tasks(tmp_path / "prompts.jsonl", ["One?"]))
    judged = held_out_facts(HeldOutPrompts("prompts.jsonl", prompts, given.models["reviser"]), given)
    assert judged["judge"]["model"] == "reviser-model"
