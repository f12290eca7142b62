import asyncio
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clairgen.config.models import RunConfig
from clairgen.errors import BudgetError, ConfigError, DrainedError, EndpointsError, InputError, RunError
from clairgen.keys import content_key
from clairgen.pipeline.advise import AdviseOptions, AdviseSummary, advise
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.progress import Progress
from clairgen.recipes.compare import Outcome
from clairgen.recipes.reviser import REVISER_SLOTS
from clairgen.records import Message, SampleRange, Variant
from clairgen.store import RunDirectory, reading
from clairgen.templates import load_template
from tests.judges import (
    JUDGE,
    Rule,
    dislikes_winners,
    judge_role,
    likes_the_first_position,
    likes_winners,
    playing,
    tosses_a_coin,
)
from tests.pipeline.test_generate import quick
from tests.runs import TARGET, config, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused, said

pytestmark = pytest.mark.slow


def configured(url: str, folder: Path, count: int = 30, **changes: Any) -> RunConfig:  # noqa: ANN401
    tasks = write_tasks(folder / "tasks.jsonl", questions(count))
    return config(url, tasks, **{"recipes": ["clair"], "judge": judge_role(url), **changes})


def asked_since(endpoint: ScriptedEndpoint, before: int = 0) -> Counter[str]:
    return Counter(request["model"] for request in endpoint.asked[before:])


def completions(run: Path, role: str) -> list[tuple[str, int]]:
    with sqlite3.connect(run / "run.db") as database:
        found = database.execute("SELECT key, sample FROM completions WHERE role = ?", (role,)).fetchall()
    database.close()
    return found


@pytest.mark.parametrize(
    ("judge", "recommended", "mean"),
    [
        (likes_winners, Variant.APO_ZERO, 1.0),
        (dislikes_winners, Variant.APO_DOWN, 0.0),
        (likes_the_first_position, None, 0.5),
    ],
)
async def test_what_the_judge_prefers_decides(
    tmp_path: Path,
    judge: Rule,
    recommended: Variant | None,
    mean: float,
) -> None:
    async with ScriptedEndpoint(playing(judge)) as endpoint:
        await generate(configured(endpoint.url, tmp_path), tmp_path / "run")
        before = len(endpoint.asked)
        found = await advise(tmp_path / "run")
    [clair] = found.recipes
    assert found.stopped_by is None
    assert (clair.rate.recommendation, clair.rate.mean, clair.rate.tasks) == (recommended, mean, 30)
    assert asked_since(endpoint, before) == {TARGET: 30, JUDGE: 60}
    assert clair.by == f"judge {JUDGE}"


async def test_a_coin_is_not_clear_and_position_bias_is_all_ties(tmp_path: Path) -> None:
    async with ScriptedEndpoint(playing(tosses_a_coin)) as endpoint:
        await generate(configured(endpoint.url, tmp_path, 60), tmp_path / "run")
        [coin] = (await advise(tmp_path / "run")).recipes
        assert coin.rate.recommendation is None
        assert coin.outcomes[Outcome.WON] > 10
        assert coin.outcomes[Outcome.LOST] > 10
        endpoint.script = playing(likes_the_first_position)
        brought = configured(endpoint.url, tmp_path, judge=judge_role(endpoint.url, max_tokens=99))
        [biased] = (await advise(tmp_path / "run", config=brought)).recipes
    assert biased.outcomes == {Outcome.TIE_BETWEEN_ORDERS: 60}
    assert biased.rate.recommendation is None


async def test_fresh_answers_are_none_of_the_pairs_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        settings = configured(endpoint.url, tmp_path)
        await generate(settings, tmp_path / "run")
        of_pairs = {key for key, _ in completions(tmp_path / "run", "target")}
        await advise(tmp_path / "run", AdviseOptions(samples=2))
        fresh = [found for found in completions(tmp_path / "run", "target") if found[0] not in of_pairs]
        before = len(endpoint.asked)
        again = await advise(tmp_path / "run", AdviseOptions(samples=2))
        assert len(endpoint.asked) == before
        more = await advise(tmp_path / "run", AdviseOptions(samples=3))
    assert Counter(sample for _, sample in fresh) == {SampleRange.ADVISE: 30, SampleRange.ADVISE + 1: 30}
    assert {sample for _, sample in completions(tmp_path / "run", "judge")} == {SampleRange.ADVISE}
    assert again.recipes[0].outcomes == {Outcome.WON: 60}
    assert asked_since(endpoint, before) == {TARGET: 30, JUDGE: 60}
    assert more.recipes[0].rate.tasks == 30


async def test_a_verdict_that_chose_the_winner_has_no_second_vote(tmp_path: Path) -> None:
    """A fresh answer may have the loser's very text; the verdict over the two must be a new one."""

    def script(request: dict[str, Any]) -> Reply:
        if request["model"] == TARGET:
            return said(f"answer {request['seed'] % 2}")
        return playing(tosses_a_coin)(request)

    async with ScriptedEndpoint(script) as endpoint:
        settings = configured(endpoint.url, tmp_path, recipes=[{"name": "judge-on-policy", "order": "both"}])
        await generate(settings, tmp_path / "run")
        chosen_by = {key for key, _ in completions(tmp_path / "run", "judge")}
        [found] = (await advise(tmp_path / "run")).recipes
    again = [sample for key, sample in completions(tmp_path / "run", "judge") if key not in chosen_by]
    judged = sum(found.outcomes.values()) - found.outcomes[Outcome.SAME_TEXT]
    assert judged > 0
    assert found.outcomes[Outcome.SAME_TEXT] > 0
    assert again == [SampleRange.ADVISE] * 2 * judged


async def test_a_sample_is_uniform_the_same_for_all_recipes_and_grows(tmp_path: Path) -> None:
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        settings = configured(endpoint.url, tmp_path, 40, recipes=["clair", "stronger-preferred"])
        await generate(settings, tmp_path / "run")
        before = len(endpoint.asked)
        few = await advise(tmp_path / "run", AdviseOptions(limit=10))
        assert asked_since(endpoint, before)[TARGET] == 10
        first = {request["messages"][-1]["content"] for request in endpoint.asked[before:]}
        await advise(tmp_path / "run", AdviseOptions(limit=25))
        assert asked_since(endpoint, before)[TARGET] == 25
    assert [(entry.kept, entry.pairs) for entry in few.recipes] == [(40, 10), (40, 10)]
    positions = [int(prompt.split()[-1]) for prompt in first if prompt.startswith("Question number")]
    assert sorted(positions) != list(range(10))


async def test_dropped_pairs_are_not_compared(tmp_path: Path) -> None:
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        settings = configured(
            endpoint.url,
            tmp_path,
            filters={"levenshtein": {"bounds": [13, None], "action": "drop"}},
            recipes=["clair", "stronger-preferred"],
        )
        await generate(settings, tmp_path / "run")
        progress = Progress()
        found = await advise(tmp_path / "run", progress=progress)
        assert [entry.recipe for entry in found.recipes] == ["stronger-preferred"]
        assert progress.notes == ["no pair of clair passes the filters; the recipe is left out"]
        with pytest.raises(InputError, match="no pair of clair is kept, so there is no winner to compare"):
            await advise(tmp_path / "run", AdviseOptions(("clair",)))


async def test_what_cannot_be_judged_is_left_out_by_name(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == TARGET and "number 1" in prompt and len(endpoint.asked) > 60:
            return said("cut off", finish_reason="length")
        if request["model"] == JUDGE and "number 2" in prompt:
            return said("I cannot tell.")
        if request["model"] == JUDGE and "number 3" in prompt:
            return refused(400, "too long", "context_length_exceeded")
        return playing(likes_winners)(request)

    async with ScriptedEndpoint(script) as endpoint:
        await generate(configured(endpoint.url, tmp_path), tmp_path / "run")
        found = await advise(tmp_path / "run", runtime=quick())
        [clair] = found.recipes
        assert clair.failed == [("context-overflow", 1, "too long")]
        assert found.failed == 1
        endpoint.script = playing(likes_winners)
        retried = await advise(tmp_path / "run", runtime=quick())
    cut = unread = 11  # numbers 1 and 10 to 19; 2 and 20 to 29
    assert clair.outcomes == {Outcome.TRUNCATED: cut, Outcome.UNREADABLE: unread, Outcome.WON: 30 - cut - unread - 1}
    assert retried.failed == 0
    assert retried.recipes[0].outcomes[Outcome.WON] == 30 - cut - unread


async def test_stopped_in_the_middle_it_goes_on_where_it_was(tmp_path: Path) -> None:
    stop = asyncio.Event()

    def script(request: dict[str, Any]) -> Reply:
        if request["model"] == JUDGE and sum(one["model"] == JUDGE for one in endpoint.asked) == 30:
            stop.set()
        return playing(likes_winners)(request)

    async with ScriptedEndpoint(script) as endpoint:
        await generate(configured(endpoint.url, tmp_path), tmp_path / "run")
        before = len(endpoint.asked)
        halted = await advise(tmp_path / "run", AdviseOptions(per_pair=True), stop=stop)
        assert isinstance(halted.stopped_by, DrainedError)
        done = asked_since(endpoint, before)
        assert 30 <= done[JUDGE] < 60
        async with reading(RunDirectory(tmp_path / "run")) as store:
            assert await store.advice.numbers() == []
        stop.clear()
        found = await advise(tmp_path / "run")
    assert asked_since(endpoint, before) == {TARGET: 30, JUDGE: 60}
    assert found.recipes[0].outcomes == {Outcome.WON: 30}


async def test_budget_and_outage_stop_it_and_it_can_be_continued(tmp_path: Path) -> None:
    down = False

    def script(request: dict[str, Any]) -> Reply:
        return refused(401, "wrong key") if down else playing(likes_winners)(request)

    free = {"price_per_million": {"input": 0, "output": 0}}
    async with ScriptedEndpoint(script) as endpoint:
        judge = judge_role(endpoint.url, price_per_million={"input": 10, "output": 30})
        await generate(configured(endpoint.url, tmp_path, judge=judge, target=free), tmp_path / "run")
        poor = await advise(tmp_path / "run", AdviseOptions(budget_usd=0.1))
        assert isinstance(poor.stopped_by, BudgetError)
        still_poor = await advise(tmp_path / "run")  # the run remembers its budget
        assert isinstance(still_poor.stopped_by, BudgetError)
        assert still_poor.progress.money.budget_usd == 0.1
        down = True
        shut = await advise(tmp_path / "run", AdviseOptions(budget_usd=5), runtime=quick())
        assert isinstance(shut.stopped_by, EndpointsError)
        down = False
        found = await advise(tmp_path / "run", AdviseOptions(budget_usd=5))
    assert found.stopped_by is None
    assert found.recipes[0].rate.recommendation is Variant.APO_ZERO


async def test_a_judge_is_brought_to_a_run_that_has_none(tmp_path: Path) -> None:
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        tasks = write_tasks(tmp_path / "tasks.jsonl", questions(12))
        await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
        with pytest.raises(
            ConfigError, match=r"has no judge to compare answers; name a configuration .* --reward-model"
        ):
            await advise(tmp_path / "run")
        brought = config(endpoint.url, tasks, judge=judge_role(endpoint.url))
        found = await advise(tmp_path / "run", config=brought)
        assert found.recipes[0].rate.recommendation is Variant.APO_ZERO
        other = config(endpoint.url, tasks, judge=judge_role(endpoint.url), target={"temperature": 1.0})
        with pytest.raises(ConfigError, match=r"models.target.temperature: 0.7 -> 1\); .* give models.target as it"):
            await advise(tmp_path / "run", config=other)


async def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        await advise(tmp_path / "nothing")
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        settings = configured(endpoint.url, tmp_path, target={"temperature": 0})
        await generate(settings, tmp_path / "run")
        with pytest.raises(InputError, match="has no recipe 'claire'; it has clair"):
            await advise(tmp_path / "run", AdviseOptions(("claire",)))
        with pytest.raises(ConfigError, match="at temperature 0 all answers of the target are the same"):
            await advise(tmp_path / "run", AdviseOptions(samples=2))
        keyed = configured(endpoint.url, tmp_path, judge=judge_role(endpoint.url, api_key_env="NO_SUCH_KEY"))
        with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
            await advise(tmp_path / "run", config=keyed.model_copy(update={"models": {"judge": keyed.models["judge"]}}))
        with RunDirectory(tmp_path / "run").locked(), pytest.raises(RunError, match="in use by process"):
            await advise(tmp_path / "run")


async def per_pair(run: Path, **options: Any) -> tuple[AdviseSummary, dict[str, Variant | None]]:  # noqa: ANN401
    found = await advise(run, AdviseOptions(per_pair=True, **options))
    async with reading(RunDirectory(run)) as store:
        return found, {stored.task.messages[-1].content: stored.objective async for stored in store.pairs.made("clair")}


def by_number(first: str, second: str) -> int:
    """Winners of questions below 20 win, those above lose; every seventh is decided by position."""
    number = int(first.split("Question number ")[1].split(":")[0])
    if number % 7 == 0:
        return 1
    return likes_winners(first, second) if number < 20 else dislikes_winners(first, second)


async def test_each_pair_has_its_majority_and_ties_the_data_sets(tmp_path: Path) -> None:
    async with ScriptedEndpoint(playing(by_number)) as endpoint:
        await generate(configured(endpoint.url, tmp_path), tmp_path / "run")
        found, objectives = await per_pair(tmp_path / "run", samples=2)
        [clair] = found.recipes
        assert clair.rate.recommendation is None  # 17 tasks won, 8 lost, 5 tied
        assert Counter(objectives.values()) == {Variant.APO_ZERO: 17, Variant.APO_DOWN: 8, None: 5}
        assert clair.advised == {Variant.APO_ZERO: 17, Variant.APO_DOWN: 8, None: 5}
        assert objectives["Question number 3"] is Variant.APO_ZERO
        assert objectives["Question number 22"] is Variant.APO_DOWN
        assert objectives["Question number 14"] is None
        endpoint.script = playing(likes_winners)
        _, objectives = await per_pair(tmp_path / "run", limit=12, samples=3)
        assert sum(objective is not None for objective in objectives.values()) <= 12


async def test_ties_take_what_fits_the_data_set(tmp_path: Path) -> None:
    def winners_win(first: str, second: str) -> int:
        return 1 if "number 4:" in first else likes_winners(first, second)

    async with ScriptedEndpoint(playing(winners_win)) as endpoint:
        await generate(configured(endpoint.url, tmp_path), tmp_path / "run")
        found, objectives = await per_pair(tmp_path / "run")
    assert found.recipes[0].outcomes == {Outcome.WON: 29, Outcome.TIE_BETWEEN_ORDERS: 1}
    assert set(objectives.values()) == {Variant.APO_ZERO}
    async with reading(RunDirectory(tmp_path / "run")) as store:
        tied = [
            stored.id async for stored in store.pairs.made("clair") if "number 4" in stored.task.messages[-1].content
        ]
        advice = await store.advice.of_pair(tied[0])
    assert advice is not None
    assert (advice.confidence, advice.wins, advice.losses, advice.ties, advice.by) == (0.5, 0, 0, 1, f"judge {JUDGE}")


async def test_a_pair_that_is_made_again_loses_its_advice(tmp_path: Path) -> None:
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        settings = configured(endpoint.url, tmp_path, 12)
        await generate(settings, tmp_path / "run")
        await per_pair(tmp_path / "run")
        own = tmp_path / "own.txt"
        own.write_text(load_template("revise", REVISER_SLOTS).text.replace("minimally", "slightly"), encoding="utf-8")
        changed = configured(endpoint.url, tmp_path, 12, recipes=[{"name": "clair", "template": str(own)}])
        await generate(changed, tmp_path / "run", Options(accept_changes=True))
        async with reading(RunDirectory(tmp_path / "run")) as store:
            kept = await store.advice.numbers()
    assert [entry.pairs for entry in kept] == [12]  # the revisions are the same texts: the advice holds
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        moved = configured(endpoint.url, tmp_path, 12, target={"temperature": 0.9})
        await generate(moved, tmp_path / "run", Options(accept_changes=True))
        async with reading(RunDirectory(tmp_path / "run")) as store:
            assert await store.advice.numbers() == []


async def test_the_run_log_tells_of_it(tmp_path: Path) -> None:
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        await generate(configured(endpoint.url, tmp_path, 12), tmp_path / "run")
        await advise(tmp_path / "run")
    lines = (tmp_path / "run" / "run.log").read_text().splitlines()
    assert '"event": "ended"' in lines[-1]
    assert any('"advise": true' in line for line in lines)
    assert '"made": {"clair": 12}' in lines[-2]


def test_keys_of_fresh_answers_differ_from_those_of_the_data(tmp_path: Path) -> None:
    role = configured("http://127.0.0.1:1/v1", tmp_path).models["target"]
    asks = [
        content_key(role.model, None, (Message("user", "q"),), role.sampling(0), sample)
        for sample in (SampleRange.DATA, SampleRange.DATA + 1, SampleRange.ADVISE, SampleRange.ADVISE + 1)
    ]
    assert len(set(asks)) == 4
