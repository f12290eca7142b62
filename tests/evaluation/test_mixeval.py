"""MixEval-Hard over a scripted endpoint: what model and judge are asked, how replies become scores, and the table of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from clairgen.config.role import Role
from clairgen.errors import ConfigError, InputError
from clairgen.evaluation.evaluate import EvaluationSummary, evaluate
from clairgen.evaluation.mixeval import mixeval_evaluation, mixeval_templates
from clairgen.evaluation.mixeval_questions import MixEvalQuestion, Split
from clairgen.evaluation.mixeval_table import mixeval_table
from clairgen.evaluation.planned_evaluation import EvaluateOptions
from clairgen.evaluation.results import compared
from tests.scripted import Reply, ScriptedEndpoint, refused, said

SPIDER = MixEvalQuestion(
    "free-form/0", Split.FREE_FORM, "DROP", "A spider has 8 legs.", "How many legs?", targets=("8", "eight")
)
RIVER = MixEvalQuestion("free-form/1", Split.FREE_FORM, "TriviaQA", None, "Which river?", targets=("Nile",))
SUM = MixEvalQuestion("free-form/2", Split.FREE_FORM, "GSM8k", None, "What is 2 + 2?", targets=("4",))
COLOR = MixEvalQuestion(
    "multiple-choice/0", Split.MULTIPLE_CHOICE, "MMLU", None, "Which color?", options=("red", "blue"), right=1
)
AGAIN = MixEvalQuestion(
    "multiple-choice/1", Split.MULTIPLE_CHOICE, "MMLU", None, "Which color?", options=("red", "blue"), right=1
)
QUESTIONS = [SPIDER, RIVER, SUM, COLOR, AGAIN]


def replies(verdicts: dict[str, str]) -> Any:  # noqa: ANN401 - a script
    """A model that says its whole prompt's first word, and a judge with a reply for each question."""

    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == "judge":
            return said(next(verdict for question, verdict in verdicts.items() if f"Question: {question}" in prompt))
        return said(f"answer to {prompt.split()[0]}")

    return script


VERDICTS = {
    "How many legs?": "[[0.5]]",
    "Which river?": "I cannot say.",
    "What is": "so [[1.0]]",
    "Which color?": "[[B]]",
}


async def evaluated(
    url: str,
    run: Path,
    questions: list[MixEvalQuestion] | None = None,
    judge: dict[str, Any] | None = None,
    **options: Any,  # noqa: ANN401 - any option
) -> EvaluationSummary:
    common: dict[str, Any] = {"endpoints": [url], "max_tokens": 50, "concurrency": 4}
    roles = {"target": Role(model="small", **common), "judge": Role(model="judge", **common, **(judge or {}))}
    plan = mixeval_evaluation(questions or QUESTIONS, roles, label="small")
    return await evaluate(plan, run, EvaluateOptions(**options))


async def test_answers_are_graded_or_their_option_is_read(tmp_path: Path) -> None:
    async with ScriptedEndpoint(replies(VERDICTS)) as endpoint:
        result = (await evaluated(endpoint.url, tmp_path)).result
        prompts = endpoint.prompts()
        again = (await evaluated(endpoint.url, tmp_path)).result
        assert endpoint.prompts() == prompts
    assert result.scores == {"free-form/0": 0.5, "free-form/2": 1.0, "multiple-choice/0": 1.0, "multiple-choice/1": 1.0}
    assert result.unscored == {("unreadable", "no-grade"): 1}
    assert again.scores == result.scores


async def test_what_the_judge_s_server_calls_it_is_kept_and_other_snapshots_stand_apart(tmp_path: Path) -> None:
    snapshot = "judge-2026-01"

    def script(request: dict[str, Any]) -> Reply:
        reply = replies(VERDICTS)(request)
        served = snapshot if request["model"] == "judge" else "small-1"
        return Reply(json.dumps(json.loads(reply.body) | {"model": served}).encode(), headers=reply.headers)

    async with ScriptedEndpoint(script) as endpoint:
        first = (await evaluated(endpoint.url, tmp_path / "first")).result
        snapshot = "judge-2026-02"
        second = (await evaluated(endpoint.url, tmp_path / "second")).result
    assert (first.judge_snapshots, second.judge_snapshots) == (["judge-2026-01"], ["judge-2026-02"])
    with pytest.raises(InputError, match="by other snapshots"):
        compared(first, second)


async def test_the_judge_sees_no_context_and_repeated_questions_are_asked_once(tmp_path: Path) -> None:
    async with ScriptedEndpoint(replies(VERDICTS)) as endpoint:
        await evaluated(endpoint.url, tmp_path)
    judged = [one["messages"][-1]["content"] for one in endpoint.asked if one["model"] == "judge"]
    answered = [one["messages"][-1]["content"] for one in endpoint.asked if one["model"] == "small"]
    assert len(answered) == 4
    assert len(judged) == 3 + 3  # the unreadable one three times
    assert not any("A spider has 8 legs." in prompt for prompt in judged)
    of_legs = next(prompt for prompt in judged if "legs" in prompt)
    assert "- 8\n- eight" in of_legs
    assert "Answer of the model: answer to A\n" in of_legs
    assert any(prompt.startswith("Which color?\n\nA. red\nB. blue\n\nReply with the letter") for prompt in answered)
    assert next(prompt for prompt in answered if "2 + 2" in prompt).endswith("step by step, and end with the answer.")
    assert next(prompt for prompt in answered if "river" in prompt).endswith("in as few words as you can.")
    assert all(len(one["messages"]) == 1 for one in endpoint.asked)


async def test_an_unreadable_reply_is_asked_for_again_unless_it_would_be_the_same(tmp_path: Path) -> None:
    said_before = 0

    def script(request: dict[str, Any]) -> Reply:
        nonlocal said_before
        if request["model"] != "judge":
            return said("Nile")
        said_before += 1
        return said("hm" if said_before < 3 else "[[0.9]]")

    async with ScriptedEndpoint(script) as endpoint:
        found = (await evaluated(endpoint.url, tmp_path / "drawn", [RIVER])).result.items[0]
        assert (found.score, found.detail["attempts"], len(found.requests)) == (0.9, 3, 4)
        said_before = 0
        fixed = (await evaluated(endpoint.url, tmp_path / "fixed", [RIVER], {"temperature": 0})).result.items[0]
        assert (fixed.status, fixed.detail["attempts"], len(fixed.requests)) == ("unreadable", 1, 2)


@pytest.mark.parametrize(
    ("question", "reply", "score", "reason", "several"),
    [
        (COLOR, "[[A]]", 0.0, None, False),
        (COLOR, "[[X]]", 0.0, "no-such-option", False),
        (COLOR, "[[C]]", 0.0, "no-such-option", False),
        (COLOR, "[[B]] and [[A]]", 1.0, None, True),
        (RIVER, "[[0.2]] or [[0.4]]", 0.2, None, True),
    ],
)
async def test_doubtful_replies_are_scored_as_upstream_scores_them_and_counted(
    tmp_path: Path, question: MixEvalQuestion, reply: str, score: float, reason: str | None, several: bool
) -> None:
    async with ScriptedEndpoint(replies({question.prompt: reply})) as endpoint:
        result = (await evaluated(endpoint.url, tmp_path, [question])).result
    assert (result.overall.mean, result.noted) == (score, {reason: 1} if reason else {})
    assert result.items[0].detail["several"] is several


async def test_the_table_says_what_is_left_open(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == "small" and "2 + 2" in prompt:
            return refused(400, "too long", "context_length_exceeded")
        verdict = (
            "[[B]]" if "river" not in prompt and "legs" not in prompt else "[[0.5]]" if "legs" in prompt else "none"
        )
        return said(verdict)

    async with ScriptedEndpoint(script) as endpoint:
        result = (await evaluated(endpoint.url, tmp_path)).result
    rows = {row.name: row for row in mixeval_table(result)}

    assert list(rows) == ["overall", "free-form", "multiple-choice", "MMLU", "DROP", "TriviaQA", "GSM8k"]
    overall = rows["overall"]
    assert (overall.items, overall.questions, overall.unreadable, overall.failed) == (5, 4, 1, 1)
    assert (overall.share.n, overall.share.clusters) == (3, 2)
    assert overall.share.mean == pytest.approx(2.5 / 3)
    assert overall.lowest == pytest.approx(2.5 / 5)
    assert overall.highest == pytest.approx(4.5 / 5)
    assert overall.upstream == pytest.approx((2.5 + 0.5) / 4)
    assert (rows["TriviaQA"].share.mean, rows["TriviaQA"].upstream) == (None, 0.5)
    assert rows["GSM8k"].upstream is None
    assert json.loads(json.dumps(overall.to_json()))["unreadable"] == 1


async def test_an_unreadable_choice_is_worth_one_option_upstream(tmp_path: Path) -> None:
    async with ScriptedEndpoint(replies({"Which color?": "B"})) as endpoint:
        result = (await evaluated(endpoint.url, tmp_path, [COLOR, AGAIN])).result
    assert result.unscored == {("unreadable", "no-option"): 2}
    assert mixeval_table(result)[0].upstream == 0.5


async def test_own_templates_change_the_question_and_the_rules(tmp_path: Path) -> None:
    (tmp_path / "free-form.txt").write_text("Q: {{question}} Be brief.")
    (tmp_path / "judge-free-form.txt").write_text("Question: {{question}}? {{targets}} {{answer}}")
    roles = {name: Role(model=name, endpoints=["http://a/v1"]) for name in ("target", "judge")}
    own, shipped = (
        mixeval_evaluation([RIVER], roles, label="small", templates=mixeval_templates(folder))
        for folder in (tmp_path, None)
    )

    assert own.items[0].messages[0].content == "Q: Which river? Be brief."
    assert own.record().id != shipped.record().id
    assert own.evaluator.settings != shipped.evaluator.settings


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("free-form.txt", "{{prompt}}", r"must have exactly the slots \{\{question\}\}; it has \{\{prompt\}\}"),
        ("other.txt", "{{question}}", "there is no template of MixEval-Hard"),
    ],
)
def test_templates_that_cannot_be_used_are_refused(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=says):
        mixeval_templates(tmp_path)
