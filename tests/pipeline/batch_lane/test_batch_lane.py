"""Requests that go by batch: the same answers as directly, collected by number, size and time, paid at their own price."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from clairgen import api
from clairgen.api.run_status import shards_status
from clairgen.cli.app import app
from clairgen.config.file import parse_config
from clairgen.errors import BudgetError, ConfigError, DetachedError, DrainedError, RunError
from clairgen.pipeline.cancel_batches import cancel_batches
from clairgen.pipeline.generate import Options, Summary, generate
from clairgen.pipeline.merge_shards import merge_shards
from clairgen.records import Pair
from clairgen.task_shard import TaskShard
from tests.batch_provider import BatchProvider
from tests.batch_trials import QUICK, TASKS, Trial
from tests.judges import JUDGE, judge_role, playing
from tests.runs import REVISER, played
from tests.scripted import Reply, said


async def test_an_answer_by_batch_is_the_answer_over_http(tmp_path: Path) -> None:
    texts = [
        "<think>I weigh it.</think> {corrected_student_solution}: a",
        "{corrected_student_solution}: b \\ud83d\\n",
        "é\u2028",
    ]

    def odd(request: dict[str, Any]) -> Reply:
        if request["model"] != REVISER:
            return played(request)
        number = int(request["messages"][-1]["content"].split("Question number ")[1].split()[0])
        return said(texts[number % 3], tokens=(200, 30))

    async with BatchProvider(odd) as provider:
        by_batch, directly = Trial(tmp_path / "batch", provider), Trial(tmp_path / "direct", provider)
        for trial in (by_batch, directly):
            trial.folder.mkdir()
        await by_batch.generate()
        await directly.generate(delivery="direct")
    columns = "key, role, model, sample, text, thinking, finish_reason, prompt_tokens, completion_tokens, parameters, messages"
    query = f"SELECT {columns} FROM completions ORDER BY key"  # noqa: S608 - of constants
    stored = [trial.rows(query) for trial in (by_batch, directly)]
    assert len(stored[0]) == 2 * TASKS
    assert stored[0] == stored[1]
    seeds = {request["seed"] for request in provider.asked if request["model"] == REVISER}
    [batch] = provider.batches.values()
    assert {line["body"]["seed"] for line in batch.lines} == seeds


async def test_a_change_of_the_delivery_requests_nothing_again(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.states = ["in_progress"] * 999
        trial = Trial(tmp_path, provider)
        await trial.generate(Options(limit=2), delivery="direct")
        assert isinstance((await trial.generate(Options(limit=4, detach=True))).stopped_by, DetachedError)
        asked = sum(request["model"] == REVISER for request in provider.asked)
        assert asked == 2
        provider.go_on()
        await trial.generate(delivery="direct")  # two wait in the batch, which is collected all the same
        await trial.check_pairs()
        assert len(provider.bill) == 2
        assert sum(request["model"] == REVISER for request in provider.asked) == TASKS - 2


async def test_a_direct_target_a_reviser_by_batch_and_a_judge_on_flex_go_together(tmp_path: Path) -> None:
    async with BatchProvider(playing(lambda first, second: 1 if first < second else 2)) as provider:
        content = json.loads(Trial(tmp_path, provider).config(batch=QUICK))
        content["recipes"] = ["clair", "judge-on-policy"]
        del content["models"]["stronger"]
        content["models"]["judge"] = judge_role(provider.url, service_tier="flex")

        def run(limit: int | None) -> Awaitable[Summary]:
            config, options = parse_config(json.dumps(content)), Options(limit=limit)
            return asyncio.wait_for(generate(config, tmp_path / "run", options), 30)

        content["models"]["reviser"]["delivery"] = "direct"
        await run(2)
        content["models"]["reviser"]["delivery"] = "batch"  # in the middle of the run
        summary = await run(None)
        assert {recipe: counts["made"] for recipe, counts in summary.statuses.items()} == dict.fromkeys(
            ("clair", "judge-on-policy"), TASKS
        )
        asked = Counter(request["model"] for request in provider.asked)
        assert asked[REVISER] == 2
        assert len(provider.bill) == TASKS - 2
        assert all(request["service_tier"] == "flex" for request in provider.asked if request["model"] == JUDGE)
        assert "service_tier" not in next(iter(provider.batches.values())).lines[0]["body"]
        assert max(Counter(json.dumps(request, sort_keys=True) for request in provider.asked).values()) == 1


async def test_a_shard_with_open_batches_is_not_merged(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.states = ["in_progress"] * 999
        trial = Trial(tmp_path, provider)
        await trial.generate(Options(detach=True, shard=TaskShard(1, 1)))
        [found] = (await shards_status(tmp_path)).together.batches
        assert (found.is_open, found.numbers.waiting) == (True, TASKS)
        with pytest.raises(RunError, match="has 1 open batch at a provider"):
            await merge_shards([trial.run], tmp_path / "whole")


async def test_batches_are_split_by_requests_and_size(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        trial = Trial(tmp_path, provider)
        await trial.generate(batch={"requests": 4})
        assert sorted(len(batch.lines) for batch in provider.batches.values()) == [2, 4]
        longest = max(len(line) for line in next(iter(provider.files.values())).content.splitlines())
        second = Trial(tmp_path / "second", provider)
        second.folder.mkdir()
        provider.batches.clear()
        await second.generate(batch={"megabytes": 2.2 * longest / 1e6})
        assert [len(batch.lines) for batch in provider.batches.values()] == [2, 2, 2]
        await second.check_pairs()


async def test_batches_wait_for_their_turn_while_too_many_tokens_wait_at_the_provider(tmp_path: Path) -> None:
    most_at_once = 0

    async with BatchProvider(played) as provider:

        def looked(method: str, path: str) -> None:
            nonlocal most_at_once
            running = [one for one in provider.batches.values() if one.status not in ("completed", "failed")]
            most_at_once = max(most_at_once, len(running))

        provider.call = looked
        trial = Trial(tmp_path, provider)
        await trial.generate(Options(limit=2), batch={"requests": 2})
        [file] = [file for file in provider.files.values() if file.purpose == "batch"]
        most_at_once = 0
        await trial.generate(batch={"requests": 2, "enqueued_tokens": len(file.content) // 4 + 20})
        await trial.check_pairs()
        assert len(provider.batches) == 3
        assert most_at_once == 1


async def test_auto_sends_a_small_rest_directly(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        trial = Trial(tmp_path, provider)
        await trial.generate(delivery="auto", batch={"requests": 4, "auto_from": 3})
        await trial.check_pairs()
        assert len(provider.bill) == 4
        assert sum(request["model"] == REVISER for request in provider.asked) == 2


async def test_a_batch_is_reserved_and_paid_at_its_own_price(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        trial = Trial(tmp_path, provider)
        await trial.generate(batch={"price_factor": 0.5})
        each = (200 * 10 + 30 * 30) * 10**6 // 2
        assert trial.rows("SELECT cost, count(*) FROM spending GROUP BY cost") == [(each, TASKS)]
        assert trial.rows("SELECT total(cost_usd) FROM completions WHERE role = 'reviser'") == [
            (pytest.approx(TASKS * each / 1e12),)
        ]


async def test_a_budget_without_room_for_all_makes_several_batches_and_one_without_any_stops_the_run(
    tmp_path: Path,
) -> None:
    async with BatchProvider(played) as provider:
        trial = Trial(tmp_path, provider)
        most_of_three = 0.09  # a request may cost 0.0285 and costs 0.0029
        free = {"price_per_million": {"input": 0, "output": 0}}
        text = json.loads(trial.config())
        text["models"] |= {"target": text["models"]["target"] | free}
        del text["models"]["stronger"]
        trial.config = lambda *_args, **_keys: json.dumps(text)  # type: ignore[method-assign]
        await trial.generate(Options(budget_usd=most_of_three))
        await trial.check_pairs()
        assert len(provider.batches) >= 2
        trial.check_account()
    async with BatchProvider(played) as provider:
        poor = Trial(tmp_path / "poor", provider)
        poor.folder.mkdir()
        text["models"]["target"]["endpoints"] = text["models"]["reviser"]["endpoints"] = [provider.url]
        poor.config = trial.config  # type: ignore[method-assign]
        summary = await poor.generate(Options(budget_usd=0.01))
        assert isinstance(summary.stopped_by, BudgetError)
        assert provider.batches == {}


async def test_detach_leaves_after_submission_and_the_same_command_collects(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.states = ["in_progress"] * 999
        trial = Trial(tmp_path, provider)
        summary = await trial.generate(Options(detach=True))
        assert isinstance(summary.stopped_by, DetachedError)
        assert "1 batch with 6 requests goes on at the provider" in str(summary.stopped_by)
        [found] = (await api.status(trial.run)).batches
        assert (found.is_open, found.numbers.waiting, found.batch.status) == (True, TASKS, "in_progress")
        assert found.batch.expires_at is not None
        assert isinstance((await trial.generate(Options(detach=True))).stopped_by, DetachedError)  # it is not ready yet
        provider.go_on()
        assert (await trial.generate()).stopped_by is None
        await trial.check_pairs()
        assert (len(provider.batches), provider.paid_twice) == (1, {})
        assert len(provider.asked) == TASKS
        trial.check_account()


async def test_detach_without_batches_is_refused(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        with pytest.raises(ConfigError, match="no role has `delivery: batch`"):
            await Trial(tmp_path, provider).generate(Options(detach=True), delivery="direct")


async def test_a_session_that_is_stopped_leaves_its_batches_and_says_so(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        stop = asyncio.Event()
        provider.states = ["in_progress"] * 999
        provider.call = lambda _method, path: stop.set() if "/batches/batch" in path else None
        trial = Trial(tmp_path, provider)
        summary = await trial.generate(stopped=stop)
        assert isinstance(summary.stopped_by, DrainedError)
        assert any("1 batch with 6 requests goes on at the provider" in note for note in trial.progress.notes)
        provider.call = lambda _method, _path: None
        provider.go_on()
        await trial.generate()
        await trial.check_pairs()
        assert (len(provider.batches), provider.paid_twice) == (1, {})


async def test_cancelling_takes_in_what_is_finished(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.states, provider.late = ["in_progress"] * 999, 2
        trial = Trial(tmp_path, provider)
        await trial.generate(Options(detach=True))
        assert await cancel_batches(trial.run) == {"cancelled": 1}
        [found] = await api.batches(trial.run)
        assert (found.is_open, found.batch.status, found.numbers.answered) == (False, "cancelled", 2)
        assert found.numbers.failed == {"batch-cancelled": TASKS - 2}
        trial.check_account()
        provider.states = []
        await trial.generate()
        await trial.check_pairs()
        assert provider.paid_twice == {}


async def test_what_became_of_a_batch_that_was_to_be_cancelled_is_said_as_it_is(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.states = ["in_progress"] * 999
        trial = Trial(tmp_path, provider)
        await trial.generate(Options(detach=True))
        provider.states = []
        provider.go_on()
        async with httpx.AsyncClient() as client:  # whoever looks at it sees it end
            assert (await client.get(f"{provider.url}/batches/{next(iter(provider.batches))}")).is_success
        result = await asyncio.to_thread(CliRunner().invoke, app, ["batches", str(trial.run), "--cancel"])
        assert result.exit_code == 0, result.output
        assert "1 batch completed." in result.output
        assert f"6 requests: {TASKS} answered, 0 failed, 0 waiting" in result.output
        assert max(map(len, result.output.splitlines())) <= 100
        again = await asyncio.to_thread(CliRunner().invoke, app, ["batches", str(trial.run), "--cancel"])
        assert "No batch was open." in again.output


async def test_a_batch_at_an_endpoint_that_is_no_longer_configured_is_asked_about(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.states = ["in_progress"] * 999
        trial = Trial(tmp_path, provider)
        await trial.generate(Options(detach=True))
        with pytest.raises(ConfigError, match="a batch of 6 requests of 'reviser' is open at http"):
            await trial.generate(endpoints=["http://127.0.0.1:1/v1"])


async def test_batches_are_listed_with_their_counts_and_age(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.states = ["in_progress"] * 999
        trial = Trial(tmp_path, provider)
        await trial.generate(Options(detach=True))
    for command in (["batches"], ["status"]):
        result = await asyncio.to_thread(CliRunner().invoke, app, [*command, str(trial.run)], env={"COLUMNS": "80"})
        assert result.exit_code == 0, result.output
        for word in ("batch_2", "reviser", "in_progress", "23:5"):
            assert word in result.output
    found = await asyncio.to_thread(CliRunner().invoke, app, ["batches", str(trial.run), "--json"])
    [one] = json.loads(found.stdout)
    assert (one["requests"], one["waiting"], one["answered"]) == (TASKS, TASKS, 0)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"endpoints": ["http://a/v1", "http://b/v1"]}, "needs exactly one endpoint"),
        ({"endpoints": ["gguf:model.gguf"]}, "needs exactly one endpoint"),
        ({"batch": {"requests": 60_000}}, "50000|50,000"),
        ({"batch": {"request": 1}}, "request"),
    ],
)
async def test_settings_that_no_provider_takes_are_refused(keys: dict[str, Any], said: str, tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        with pytest.raises(ConfigError, match=said):
            await Trial(tmp_path, provider).generate(**keys)


async def test_a_dry_run_shows_what_both_ways_cost(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        trial, outputs = Trial(tmp_path, provider), []
        for delivery in ("direct", "batch"):
            config = tmp_path / f"{delivery}.yaml"
            config.write_text(trial.config(1000, delivery=delivery, batch={"price_factor": 0.5}))
            command = ["generate", str(config), "--run", str(trial.run), "--dry-run"]
            outputs.append((await asyncio.to_thread(CliRunner().invoke, app, command)).output)
        [directly] = [line for line in outputs[0].splitlines() if "would cost" in line]
        [in_batches] = [line for line in outputs[1].splitlines() if "goes in batches" in line]
        half, whole = (amount.removesuffix(".") for amount in directly.split() if amount.startswith("$"))
        assert in_batches == f"reviser goes in batches, for {half} in place of {whole} directly"
        assert f"Expected of the roles with a price: {half}" in outputs[1]


async def test_an_empty_answer_is_requested_with_another_seed(tmp_path: Path) -> None:
    seen = set[str]()

    def first_empty(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == REVISER and prompt not in seen:
            seen.add(prompt)
            return said("", tokens=(200, 0))
        return played(request)

    async with BatchProvider(first_empty) as provider:
        trial = Trial(tmp_path, provider)
        await trial.generate()
        await trial.check_pairs()
        first, *others = provider.batches.values()
        again = [line for batch in others for line in batch.lines]
        seeds = [{line["custom_id"]: line["body"]["seed"] for line in lines} for lines in (first.lines, again)]
        assert seeds[0].keys() == seeds[1].keys()
        assert all(seeds[0][key] != seeds[1][key] for key in seeds[0])


async def test_a_pair_of_a_batch_tells_nothing_of_how_it_came(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        trial = Trial(tmp_path, provider)
        await trial.generate()
        made = await api.made_pairs(trial.run, "clair")
        assert all(isinstance(stored.outcome, Pair) for stored in made)
        assert not any(trial.run.joinpath("batches").iterdir())
