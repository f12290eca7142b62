"""Best of n: the margin rules on planted scores, and the recipe with each scorer over a scripted endpoint."""

import asyncio
import json
import signal
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from clairgen import api
from clairgen.config.file import config_yaml, parse_config
from clairgen.errors import ConfigError, InputError, RunError
from clairgen.inference.runtime import Runtime
from clairgen.keys import digest, messages_json
from clairgen.pipeline.estimate import estimate
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.plans import plan_recipes
from clairgen.pipeline.reparse import reparse
from clairgen.recipes.scoring import preferred
from clairgen.records import OVERALL, Message, Pair, ParseStatus, Undecided
from clairgen.store import RunDirectory, reading
from tests.cli.forked import forked
from tests.runs import TARGET, config, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused, said

REWARD, JUDGE, SECOND = "reward-model-1", "judge-model", "second-judge"
TASKS = 4
SAMPLES = 6
SCORES = (5.0, 5.0, 5.0, 5.0, 1.0, 9.0)
"""Of the samples in the order in which they are drawn."""
FIFTY = [-10.0, -3.0, *[0.0] * 45, 3.0, 1.0, 9.0]
OK, EQUAL, BELOW = ParseStatus.OK, ParseStatus.EQUAL_SCORES, ParseStatus.BELOW_MARGIN


@pytest.mark.parametrize(
    ("scores", "rule", "min_margin", "found"),
    [
        ([3, 1, 2], "best-worst", 0, (0, 1, OK)),
        ([1, 3, 3, 1], "best-worst", 0, (1, 0, OK)),  # of equal ones the first
        ([2, 2, 2], "best-worst", 0, (0, 1, EQUAL)),
        ([1, 2], "best-worst", 1, (1, 0, OK)),
        ([1, 2], "best-worst", 1.5, (1, 0, BELOW)),
        # Mean 0, standard deviation sqrt((100 + 9 + 9 + 1 + 81) / 50) = 2: -10 is the worst, -3 is nearest to -4.
        (FIFTY, "best-worst", 0, (49, 0, OK)),
        (FIFTY, "mean-minus-two-sigma", 0, (49, 1, OK)),
        (FIFTY, "mean-minus-two-sigma", 12, (49, 1, OK)),
        (FIFTY, "mean-minus-two-sigma", 12.5, (49, 1, BELOW)),
        # Mean 0, standard deviation sqrt((1 + 9 + 16) / 26) = 1: -1 and -3 are equally near to -2, and the lower one counts.
        ([-1, -3, 4, *[0.0] * 23], "mean-minus-two-sigma", 0, (2, 1, OK)),
        # One outlier draws mean - 2 sigma so far up that the best would be nearest to it; what is rejected must score lower.
        ([5.0] * 99 + [-95.0], "mean-minus-two-sigma", 0, (0, 99, OK)),
        ([7, 7, 7], "mean-minus-two-sigma", 0, (0, 1, EQUAL)),
        ([1e308, 1e308, 1e308, 0.0], "mean-minus-two-sigma", 0, (0, 3, OK)),
    ],
)
def test_margin_rules(scores: list[float], rule: str, min_margin: float, found: tuple[int, int, ParseStatus]) -> None:
    assert preferred(scores, rule, min_margin) == found


def test_up_to_five_scores_the_two_rules_are_one() -> None:
    for scores in ([0, 1], [0, 5, 5], [0, 9, 9, 9], [0, 1, 1, 1, 1], [-100, 3, 4, 5, 6]):
        assert preferred(scores, "mean-minus-two-sigma") == preferred(scores, "best-worst")
    six = [-100.0, 0.0, 0.0, 0.0, 0.0, 1.0]  # mean -16.5, standard deviation 37.3: the point -91.2 is above the worst
    assert preferred(six, "mean-minus-two-sigma")[1] == 0


def target(request: dict[str, Any]) -> Reply:
    """Every sample of a prompt is another text, which ends with its number."""
    prompt = request["messages"][-1]["content"]
    number = drawn[prompt]
    drawn[prompt] += 1
    return said(f"{prompt}: this is answer {number}")


drawn: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _nothing_drawn() -> None:
    drawn.clear()


def number_of(answer: str) -> int:
    return int(answer.rsplit(" ", 1)[1])


def classified(score: Any) -> Reply:  # noqa: ANN401 - whatever a server sends
    data = [{"index": 0, "label": "LABEL_0", "probs": [score], "num_classes": 1}]
    usage = {"prompt_tokens": 50, "total_tokens": 50, "completion_tokens": 0}
    return Reply(json.dumps({"id": "classify-1", "model": REWARD, "data": data, "usage": usage}).encode())


def rewarded(request: dict[str, Any]) -> Reply:
    if request["model"] == TARGET:
        return target(request)
    assert not request.keys() & {"temperature", "top_p", "max_tokens", "seed", "stop", "stream"}
    assert request["use_activation"] is False
    question, answer = request["messages"]
    assert (question["role"], answer["role"]) == ("user", "assistant")
    return classified(SCORES[number_of(answer["content"])])


def rated(request: dict[str, Any]) -> Reply:
    if request["model"] == TARGET:
        return target(request)
    answer = request["messages"][-1]["content"].split("{student_solution}: ")[1].split("\n\n-----")[0]
    score = SCORES[number_of(answer)] + (request["model"] == SECOND)
    return said(f"{{teacher_reasoning}}: so.\n\n[[{score:g}]]", tokens=(80, 9))


def given(endpoint: ScriptedEndpoint, folder: Path, scorers: dict[str, Any], **choice: Any) -> Any:  # noqa: ANN401
    tasks = folder / "tasks.jsonl"
    if not tasks.exists():
        write_tasks(tasks, questions(TASKS))
    role = {"endpoints": [endpoint.url]}
    models = {"target": {"model": TARGET, "temperature": 0.8, "max_tokens": 50, "concurrency": 1, **role}}
    models |= {name: {"model": model, **role} for name, model in scorers.items()}
    recipe = {"name": "best-of-n", "samples": SAMPLES, **choice}
    return config(endpoint.url, tasks, recipes=[recipe], models=models)


async def outcomes(run: Path) -> list[Pair | Undecided]:
    return [stored.outcome for stored in await api.made_pairs(run, "best-of-n")]


async def test_a_reward_model_scores_every_answer_once(tmp_path: Path) -> None:
    async with ScriptedEndpoint(rewarded) as endpoint:
        settings = given(endpoint, tmp_path, {"reward-model": REWARD}, by="reward-model")
        expected = {one.role: one.calls for one in (await estimate(settings, tmp_path / "run")).roles}
        summary = await generate(settings, tmp_path / "run")
        assert endpoint.path == "/classify"
        asked = len(endpoint.asked)
        await generate(settings, tmp_path / "run")
        await generate(settings, tmp_path / "other", Options(reuse=(tmp_path / "run",)))
        assert len(endpoint.asked) == asked  # scores are kept and reused like every other answer
    assert summary.statuses == {"best-of-n": {"made": TASKS}}
    assert asked == 2 * TASKS * SAMPLES
    assert expected == {"target": TASKS * SAMPLES, "reward-model": TASKS * SAMPLES}
    for outcome in await outcomes(tmp_path / "run"):
        assert isinstance(outcome, Pair)
        assert (number_of(outcome.chosen.text), number_of(outcome.rejected.text)) == (5, 4)
        assert [score.value for score in outcome.scores] == list(SCORES)
        assert {(score.scorer, score.criterion) for score in outcome.scores} == {("reward-model", OVERALL)}
    async with reading(RunDirectory(tmp_path / "run")) as store:
        [numbers] = await store.scores.numbers("best-of-n")
        roles = {one.role: one for one in await store.completions.numbers()}
    assert (numbers.scores, numbers.chosen, numbers.rejected) == (TASKS * SAMPLES, 9.0, 1.0)
    assert (roles["reward-model"].prompt_tokens, roles["reward-model"].completion_tokens) == (50 * TASKS * SAMPLES, 0)


async def test_judges_rate_answers_one_by_one_and_their_mean_counts(tmp_path: Path) -> None:
    async with ScriptedEndpoint(rated) as endpoint:
        settings = given(endpoint, tmp_path, {"judge": JUDGE, "judge-2": SECOND}, margin_rule="mean-minus-two-sigma")
        expected = {one.role: one.calls for one in (await estimate(settings, tmp_path / "run")).roles}
        await generate(settings, tmp_path / "run")
    each = TASKS * SAMPLES
    assert expected == {"target": each, "judge": each, "judge-2": each}
    assert Counter(request["model"] for request in endpoint.asked) == {TARGET: each, JUDGE: each, SECOND: each}
    for outcome in await outcomes(tmp_path / "run"):
        assert isinstance(outcome, Pair)
        assert (number_of(outcome.chosen.text), number_of(outcome.rejected.text)) == (5, 4)
        assert [score.value for score in outcome.scores[-2:]] == [9.0, 10.0]
        assert outcome.reasoning == "so."


async def test_ties_and_small_margins_are_kept_with_their_scores(tmp_path: Path) -> None:
    async with ScriptedEndpoint(rewarded) as endpoint:
        models = {"reward-model": REWARD}
        few = given(endpoint, tmp_path, models, by="reward-model", samples=4)  # all 5.0
        await generate(few, tmp_path / "run")
        for outcome in await outcomes(tmp_path / "run"):
            assert isinstance(outcome, Undecided)
            assert outcome.reason is EQUAL
            assert [score.value for score in outcome.scores] == [5.0] * 4
        wide = given(endpoint, tmp_path, models, by="reward-model", min_margin=8.5)
        with pytest.raises(RunError, match=r"best-of-n.min_margin: nothing -> 8.5 .*best-of-n.samples: nothing -> 6 "):
            await generate(wide, tmp_path / "run")
        await generate(wide, tmp_path / "run", Options(accept_changes=True))
        assert len(endpoint.asked) == 2 * TASKS * SAMPLES
    for outcome in await outcomes(tmp_path / "run"):
        assert isinstance(outcome, Undecided)
        assert outcome.reason is BELOW
        assert [number_of(answer.text) for answer in outcome.answers] == [5, 4]


async def test_an_answer_whose_rating_cannot_be_read_is_on_neither_side(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if request["model"] == JUDGE and "this is answer 5" in request["messages"][-1]["content"]:
            return said("It is very good.")
        return rated(request)

    async with ScriptedEndpoint(script) as endpoint:
        await generate(given(endpoint, tmp_path, {"judge": JUDGE}), tmp_path / "run")
    found = await outcomes(tmp_path / "run")
    assert (await reparse(tmp_path / "run", every=True)).read == TASKS
    assert await outcomes(tmp_path / "run") == found
    for outcome in found:
        assert isinstance(outcome, Pair)
        assert (number_of(outcome.chosen.text), number_of(outcome.rejected.text)) == (0, 4)
        assert (outcome.scores[5].value, outcome.scores[5].status) == (None, ParseStatus.MISSING_SCORE)


async def test_without_two_scores_nothing_is_decided(tmp_path: Path) -> None:
    async with ScriptedEndpoint(
        lambda request: target(request) if request["model"] == TARGET else said("[[11]]")
    ) as endpoint:
        await generate(given(endpoint, tmp_path, {"judge": JUDGE}, samples=2), tmp_path / "run")
    for outcome in await outcomes(tmp_path / "run"):
        assert isinstance(outcome, Undecided)
        assert outcome.reason is ParseStatus.MISSING_SCORE
        assert {score.status for score in outcome.scores} == {ParseStatus.SCORE_OUT_OF_RANGE}


async def test_a_response_without_a_score_fails_its_task_by_name_and_an_outage_is_waited_for(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if request["model"] == REWARD:
            failed[request["messages"][0]["content"]] += 1
            if request["messages"][0]["content"] == "Question number 0":
                return classified(float("nan"))
            if failed[request["messages"][0]["content"]] == 1:
                return refused(503)
        return rewarded(request)

    failed: Counter[str] = Counter()
    async with ScriptedEndpoint(script) as endpoint:
        settings = given(endpoint, tmp_path, {"reward-model": REWARD}, by="reward-model", samples=2)
        summary = await generate(settings, tmp_path / "run")
    assert summary.statuses == {"best-of-n": {"failed": 1, "made": TASKS - 1}}
    [(recipe, reason, count, detail)] = summary.failures
    assert (recipe, reason, count) == ("best-of-n", "score-not-a-number", 1)
    assert "`probs` is no finite number: nan" in detail


async def test_a_reward_model_that_the_server_does_not_have_stops_the_run_with_a_sentence(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if request["model"] == TARGET:
            return target(request)
        return refused(400, "The model does not support Classification API")

    async with ScriptedEndpoint(script) as endpoint:
        settings = given(endpoint, tmp_path, {"reward-model": REWARD}, by="reward-model")
        summary = await generate(settings, tmp_path / "run")
        probe = [request for request in endpoint.asked if request["model"] != TARGET][-1]
    assert "The model does not support Classification API" in str(summary.stopped_by)
    assert summary.statuses == {"best-of-n": {"pending": TASKS}}
    assert [message["role"] for message in probe["messages"]] == ["user", "assistant"]


async def test_the_budget_holds_for_scores_without_a_limit_of_their_tokens(tmp_path: Path) -> None:
    async with ScriptedEndpoint(rewarded) as endpoint:
        settings = given(endpoint, tmp_path, {"reward-model": REWARD}, by="reward-model")
        free, paid = ({"input": price, "output": 0} for price in (0, 1))
        models = {
            "target": settings.models["target"].model_dump() | {"price_per_million": free},
            "reward-model": settings.models["reward-model"].model_dump() | {"price_per_million": paid},
        }
        recipe = {"name": "best-of-n", "samples": SAMPLES, "by": "reward-model"}
        settings = config(endpoint.url, tmp_path / "tasks.jsonl", recipes=[recipe], models=models, budget_usd=0.01)
        summary = await generate(settings, tmp_path / "run")
    assert summary.stopped_by is None
    assert summary.progress.money.spent_usd == pytest.approx(50 * TASKS * SAMPLES / 1e6)


@pytest.mark.parametrize(
    ("choice", "role", "said"),
    [
        ({"by": "scores"}, {}, "scores new answers"),
        ({"by": "reward-model", "template": "score"}, {}, "a reward model takes none"),
        ({"by": "reward-model", "order": "both"}, {}, "has no option `order`"),
        ({"by": "reward-model"}, {"temperature": 0}, "gives a number and writes no text, so it has no `temperature`"),
        ({"by": "reward-model"}, {"api": "chat"}, "its api is classify, pooling or score"),
        ({"by": "reward-model"}, {"extra": {"text_1": "x"}}, "'text_1' is set by clairgen"),
        ({"by": "reward-model"}, {"endpoints": ["gguf:model.gguf"]}, "a model of llama.cpp gives no scores"),
        ({}, {}, "needs a 'judge'"),
        ({"by": "rubric"}, {}, "needs a 'judge'"),
        (
            {"min_margin": 9.5},
            {},
            "no two scores of the recipe 'best-of-n' differ by more than 9, so `min_margin: 9.5`",
        ),
        ({"by": "rubric", "min_margin": 1.5}, {}, "differ by more than 1, so"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    choice: dict[str, Any], role: dict[str, Any], said: str, tmp_path: Path
) -> None:
    endpoint = ScriptedEndpoint(rewarded)
    with pytest.raises(ConfigError, match=said):
        settings = given(endpoint, tmp_path, {"reward-model": REWARD}, **choice)
        models = {name: one.model_dump(exclude_unset=True) for name, one in settings.models.items()}
        models["reward-model"] |= role
        recipe = {"name": "best-of-n", **choice}
        settings = config(endpoint.url, tmp_path / "tasks.jsonl", recipes=[recipe], models=models)
        await generate(settings, tmp_path / "run")
    assert not endpoint.asked


class LastDigit:
    """A reward model that likes high numbers at the end of an answer, and refuses one question."""

    name = "last-digit"
    truncated = 3

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def scores(self, conversations: Sequence[Sequence[Mapping[str, str]]]) -> list[float]:
        """The number at the end of each answer."""
        if any(conversation[0]["content"] == "Question number 2" for conversation in conversations):
            raise InputError("the chat template refuses Question number 2")
        answers = [conversation[-1]["content"] for conversation in conversations]
        return [0.0 if answer == "Yes." else float(number_of(answer)) for answer in answers]  # of a probe


async def test_a_reward_model_on_this_machine_scores_through_the_same_path(tmp_path: Path) -> None:
    def load(folder: str) -> LastDigit:
        loaded.append(LastDigit(folder))
        return loaded[-1]

    loaded: list[LastDigit] = []
    folder = tmp_path / "rm"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    async with ScriptedEndpoint(target) as endpoint:
        settings = given(endpoint, tmp_path, {"reward-model": REWARD}, by="reward-model")
        here = settings.models["reward-model"].model_copy(
            update={"endpoints": [f"classifier:{folder}"], "concurrency": 8}
        )
        settings = settings.model_copy(update={"models": {**settings.models, "reward-model": here}})
        with pytest.raises(ConfigError, match=r"needs Runtime\(load_reward_model=...\)"):
            await generate(settings, tmp_path / "run")
        summary = await generate(settings, tmp_path / "run", runtime=Runtime(load_reward_model=load))
        assert summary.statuses == {"best-of-n": {"failed": 1, "made": TASKS - 1}}
        assert [reason for _, reason, _, _ in summary.failures] == ["bad-request"]
        assert "the chat template refuses Question number 2" in summary.failures[0][3]
        assert "3 texts are longer than the reward model can read; their ends were left out" in summary.progress.notes
        await generate(settings, tmp_path / "run", runtime=Runtime(load_reward_model=load))
        assert [model.folder for model in loaded] == [str(folder)]  # nothing is left to score
        (folder / "model.safetensors").write_bytes(b"others")
        with pytest.raises(RunError, match=r"models\.reward-model\.revision: sha256:.* -> sha256:"):
            await generate(settings, tmp_path / "run", runtime=Runtime(load_reward_model=load))
    for outcome in await outcomes(tmp_path / "run"):
        assert isinstance(outcome, Pair)
        assert (number_of(outcome.chosen.text), number_of(outcome.rejected.text)) == (5, 0)


def by_seed(request: dict[str, Any]) -> Reply:
    """Answers that depend on the seed alone, and their scores, a little later."""
    if request["model"] == TARGET:
        reply = said(f"{request['messages'][-1]['content']}: this is answer {request['seed'] % 1000}")
    else:
        reply = classified(number_of(request["messages"][-1]["content"]) / 7)
    return replace(reply, delay_seconds=0.02)


@pytest.mark.process
async def test_a_killed_run_has_no_answer_scored_twice(tmp_path: Path) -> None:
    def committed() -> set[str]:
        with sqlite3.connect(run / "run.db") as database:
            found = {row[0] for row in database.execute("SELECT messages FROM completions WHERE role = 'reward-model'")}
        database.close()
        return found

    def scored_from(first: int) -> Counter[str]:
        asked = [request["messages"] for request in endpoint.asked[first:] if request["model"] == REWARD]
        return Counter(digest(messages_json([Message(**one) for one in messages])) for messages in asked)

    run, config_path = tmp_path / "run", tmp_path / "config.yaml"
    async with ScriptedEndpoint(by_seed) as endpoint:
        settings = given(endpoint, tmp_path, {"reward-model": REWARD}, by="reward-model", samples=12)
        config_path.write_text(config_yaml(settings))
        async with forked("generate", config_path, "--run", run) as running:
            while scored_from(0).total() <= 10 or not committed():
                assert running.returncode is None
                await asyncio.sleep(0.02)
            running.send_signal(signal.SIGKILL)
            assert await running.wait() == -signal.SIGKILL
        before, asked = committed(), len(endpoint.asked)
        assert before
        summary = await generate(settings, run)
        assert before.isdisjoint(scored_from(asked))
        await generate(settings, tmp_path / "undisturbed")
    assert summary.statuses == {"best-of-n": {"made": TASKS}}
    assert await outcomes(run) == await outcomes(tmp_path / "undisturbed")


async def test_answers_with_equal_texts_are_scored_once(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        return said("the same: answer 5") if request["model"] == TARGET else rewarded(request)

    async with ScriptedEndpoint(script) as endpoint:
        settings = given(endpoint, tmp_path, {"reward-model": REWARD}, by="reward-model")
        await generate(settings, tmp_path / "run")
    assert Counter(request["model"] for request in endpoint.asked) == {TARGET: TASKS * SAMPLES, REWARD: TASKS}
    for outcome in await outcomes(tmp_path / "run"):
        assert isinstance(outcome, Undecided)
        assert (outcome.reason, len(outcome.scores)) == (EQUAL, SAMPLES)


RUBRIC: list[dict[str, Any]] = [
    {"name": "number", "description": "The higher the better.", "weight": 3, "scale": [0, 9]},
    {"name": "reasoning", "description": "It has a reason.", "scale": [0, 1000000]},
]


def scored_by_rubric(request: dict[str, Any]) -> Reply:
    if request["model"] == TARGET:
        return target(request)
    prompt = request["messages"][-1]["content"]
    assert "- number (0 to 9): The higher the better.\n- reasoning (0 to 1000000): It has a reason.\n" in prompt
    answer = prompt.split("{student_solution}: ")[1].split("\n\n{rubric}:")[0]
    score = SCORES[number_of(answer)]
    return said(f"Because.\n\n{{scores}}:\nnumber: {score:g}\nreasoning: 500000" if score != 5 else "I cannot say.")


async def test_a_rubric_scores_answers_and_the_recipe_rubric_shares_them(tmp_path: Path) -> None:
    async with ScriptedEndpoint(scored_by_rubric) as endpoint:
        settings = given(endpoint, tmp_path, {"judge": JUDGE}, by="rubric")
        with pytest.raises(ConfigError, match="which the configuration does not have; give `rubric`"):
            await generate(settings, tmp_path / "run")
        content = yaml.safe_load(config_yaml(settings)) | {"rubric": RUBRIC}
        await generate(parse_config(json.dumps(content)), tmp_path / "run")
        each = TASKS * SAMPLES
        assert Counter(request["model"] for request in endpoint.asked) == {TARGET: each, JUDGE: each}
        content["recipes"].append({"name": "rubric", "samples": SAMPLES})
        await generate(parse_config(json.dumps(content)), tmp_path / "run")
        heavier = [RUBRIC[0] | {"weight": 1}, RUBRIC[1]]
        changed = parse_config(json.dumps(content | {"rubric": heavier}))
        with pytest.raises(RunError, match=r"rubric\.number\.weight: 3 -> 1 "):
            await generate(changed, tmp_path / "run")
        assert len(endpoint.asked) == 2 * each
    for outcome in await outcomes(tmp_path / "run"):
        assert isinstance(outcome, Pair)
        assert (number_of(outcome.chosen.text), number_of(outcome.rejected.text)) == (5, 4)
        assert outcome.reasoning == "Because."
        assert [one.value for one in outcome.scores if one.criterion == OVERALL] == [
            *[None] * 4,
            pytest.approx((3 / 9 + 0.5) / 4),
            pytest.approx((3 + 0.5) / 4),
        ]
    assert (await reparse(tmp_path / "run", every=True)).changed == 0


async def test_a_rubric_that_nobody_scores_by_is_refused(tmp_path: Path) -> None:
    endpoint = ScriptedEndpoint(rated)
    settings = given(endpoint, tmp_path, {"judge": JUDGE})
    content = yaml.safe_load(config_yaml(settings)) | {"rubric": RUBRIC}
    with pytest.raises(ConfigError, match="`rubric` is there, and no recipe scores by it"):
        await generate(parse_config(json.dumps(content)), tmp_path / "run")


async def test_the_prompt_of_judges_is_no_part_of_what_a_reward_model_is_asked(tmp_path: Path) -> None:
    settings = given(ScriptedEndpoint(rewarded), tmp_path, {"reward-model": REWARD}, by="reward-model")
    [planned] = plan_recipes(settings, settings.models)
    assert set(planned.plan.facts) == {
        "models.target",
        "models.reward-model",
        "recipes.best-of-n.by",
        "recipes.best-of-n.samples",
    }
