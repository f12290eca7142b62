"""The budget is never exceeded, by the server's own bill: with concurrent requests, kills, time-outs and broken answers."""

import asyncio
import json
import os
import random
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.config.models import RunConfig
from clairgen.errors import BudgetError, ConfigError
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.generate import Options, Summary, generate
from clairgen.pipeline.progress import Progress
from clairgen.store import RunDirectory, Spent, reading
from tests.cli.commands import clairgen
from tests.cli.forked import forked
from tests.pipeline.test_kill import killed_after
from tests.runs import REVISER, STRONGER, TARGET, config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused, said

TRIALS = int(os.environ.get("CLAIRGEN_BUDGET_TRIALS", "2"))
PRICES = {TARGET: (3, 7), REVISER: (11, 13), STRONGER: (0, 0)}
MOST_TOKENS = 100
TIMEOUT_SECONDS = 0.3
HASTE = 50  # factor by which the last sessions of a trial wait less between attempts


@dataclass(slots=True)
class Provider:
    """Bills what it generates, whether or not that arrives: a token for every byte of the prompt,
    sometimes a long system message of its own, and all of the answer.
    """

    random: random.Random
    picodollars: int = 0
    billed: list[str] = field(default_factory=list)

    def answer(self, request: dict[str, Any]) -> Reply:
        """What comes of a request; only a 429 costs nothing."""
        fate = self.random.random()
        if fate < 0.04:
            return refused(429, retry_after="0.05")
        prompt = sum(len(message["content"].encode()) for message in request["messages"]) + self.random.choice(
            [0, 1000]
        )
        answer = self.random.choice([1, request["max_tokens"]])
        a_prompt_token, an_answer_token = PRICES[request["model"]]
        self.picodollars += 10**6 * (prompt * a_prompt_token + answer * an_answer_token)
        self.billed.append(request["model"])
        whole = said(played_text(request), tokens=(prompt, answer))
        if fate < 0.09:
            return Reply(b"", reset=True)
        if fate < 0.14:
            return Reply(whole.body, cut=20, headers=whole.headers)
        if fate < 0.19:
            return Reply(whole.body, delay_seconds=2 * TIMEOUT_SECONDS)
        if fate < 0.23:
            return refused(500, "generated, and then fell over")
        if fate < 0.26:
            return Reply(whole.body.replace(b'"usage"', b'"abusage"'))
        if fate < 0.28:
            return said(None, tokens=(prompt, answer))
        return Reply(whole.body, delay_seconds=self.random.uniform(0, 0.15))


def played_text(request: dict[str, Any]) -> str:
    text: str = json.loads(played(request).body)["choices"][0]["message"]["content"]
    return text


def priced(**roles: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a configuration
    names = {"target": TARGET, "reviser": REVISER, "stronger": STRONGER}
    common = {"max_tokens": MOST_TOKENS, "timeout_seconds": TIMEOUT_SECONDS}
    return {
        name: common | {"price_per_million": dict(zip(("input", "output"), PRICES[model], strict=True))} | roles
        for name, model in names.items()
    }


async def spent(run: Path) -> Spent:
    async with reading(RunDirectory(run)) as store:
        return await store.spending.total()


async def ended(given: RunConfig, run: Path) -> Summary:
    """A session that runs to its end, with short waits."""
    runtime = Runtime(clock=lambda: HASTE * time.monotonic(), sleep=lambda seconds: asyncio.sleep(seconds / HASTE))
    return await generate(given, run, runtime=runtime)


@pytest.mark.process
@pytest.mark.parametrize("trial", range(TRIALS))
async def test_the_bill_stays_within_the_budget(trial: int, tmp_path: Path) -> None:
    chance = random.Random(trial)
    provider = Provider(chance)
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(chance.randint(40, 80)))
    budget = chance.uniform(0.02, 0.5)
    run, config_path = tmp_path / "run", tmp_path / "config.yaml"
    async with ScriptedEndpoint(provider.answer) as endpoint:
        roles = priced(concurrency=chance.choice([2, 8, 32]))
        config_path.write_text(config_text(endpoint.url, tasks, budget_usd=budget, **roles))
        for _ in range(chance.randint(1, 3)):
            await killed_after(chance.uniform(0.1, 1.4), config_path, run)
            assert provider.picodollars <= budget * 10**12
        for _ in range(4):  # a series of equal faults may end a session before the budget does
            summary = await ended(config(endpoint.url, tasks, budget_usd=budget, **roles), run)
            if isinstance(summary.stopped_by, BudgetError):
                break
    counted = await spent(run)
    assert provider.picodollars <= counted.settled + counted.unsettled <= budget * 10**12
    assert len([model for model in provider.billed if model != STRONGER]) <= counted.calls
    done = sum(counts.get("made", 0) for counts in summary.statuses.values())
    assert isinstance(summary.stopped_by, BudgetError) or done > 0.5 * 2 * len(questions(40))


@pytest.mark.process
@pytest.mark.parametrize("trial", range((TRIALS + 1) // 2))
async def test_the_bill_of_a_run_that_loses_its_machine_stays_within_the_budget(trial: int, tmp_path: Path) -> None:
    """Nothing of what a session asked since its first state is in the copy when the machine is lost."""
    chance = random.Random(100 + trial)
    provider = Provider(chance)
    tasks, copy = write_tasks(tmp_path / "tasks.jsonl", questions(80)), tmp_path / "copy"
    budget = chance.uniform(0.02, 0.2)
    config_path, losses = tmp_path / "config.yaml", 3
    async with ScriptedEndpoint(provider.answer) as endpoint:
        given = {"budget_usd": budget, **priced(concurrency=chance.choice([2, 8, 32]))}
        config_path.write_text(config_text(endpoint.url, tasks, **given))
        for number in range(losses):
            run = tmp_path / f"machine {number}"
            goal = provider.picodollars + chance.uniform(0.2, 0.4) * budget * 10**12
            options = ("--copy-to", copy, "--copy-every", "3600")
            async with forked("generate", config_path, "--run", run, *options) as running:
                ended = asyncio.create_task(running.wait())
                while provider.picodollars < goal and not ended.done():  # noqa: ASYNC110 - a provider sends no signal
                    await asyncio.sleep(0.02)
                running.send_signal(signal.SIGKILL)
                is_lost = await ended == -signal.SIGKILL
            shutil.rmtree(run)
            assert provider.picodollars <= budget * 10**12
        run, progress = tmp_path / "last machine", Progress()
        await generate(config(endpoint.url, tasks, **given), run, Options(copy_to=copy), progress=progress)
        assert ("may have been spent after that, and count as spent" in progress.notes[0]) == is_lost
    counted = await spent(run)
    assert provider.picodollars <= counted.settled + counted.unsettled <= budget * 10**12
    restored = await clairgen("restore", copy, "--run", tmp_path / "restored")
    assert "may have been spent" not in restored.out  # since the copy was completed
    assert await spent(tmp_path / "restored") == counted


@pytest.mark.slow
async def test_a_run_that_reaches_its_budget_goes_on_with_a_larger_one(tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(30)), tmp_path / "run"
    async with ScriptedEndpoint(played) as endpoint:
        whole = config(endpoint.url, tasks, **priced(timeout_seconds=10))
        first = await generate(whole.model_copy(update={"budget_usd": 0.1}), run)
        asked = len(endpoint.asked)
        again = await generate(whole.model_copy(update={"budget_usd": 0.1}), run)
        assert len(endpoint.asked) == asked  # the next request still does not fit
        second = await generate(whole.model_copy(update={"budget_usd": 10.0}), run)
    for stopped in (first, again):
        assert isinstance(stopped.stopped_by, BudgetError)
        assert "the budget of $0.1000 has no room for the next request" in str(stopped.stopped_by)
    assert first.progress.money.reserved_usd == 0
    assert 0.05 < first.progress.money.spent_usd <= 0.1
    assert second.stopped_by is None
    assert second.progress.money.spent_usd == pytest.approx(30 * (20 * 3 + 10 * 7 + 200 * 11 + 30 * 13) / 1e6)
    assert (await api.status(run)).spent == await spent(run)


async def test_every_attempt_is_paid_for(tmp_path: Path) -> None:
    """An empty answer is billed as it says; what a broken one costs is not known, so it counts as the most it can cost."""
    fates = iter([said(None, tokens=(20, 10)), Reply(b"", reset=True)])

    def script(request: dict[str, Any]) -> Reply:
        return next(fates, played(request)) if request["model"] == TARGET else played(request)

    run = tmp_path / "run"
    async with ScriptedEndpoint(script) as endpoint:
        tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
        given = config(endpoint.url, tasks, recipes=["stronger-preferred"], budget_usd=1, **priced(timeout_seconds=10))
        runtime = Runtime(sleep=lambda seconds: asyncio.sleep(seconds / HASTE))
        summary = await generate(given, run, runtime=runtime)
    counted = await spent(run)
    assert summary.stopped_by is None
    assert (counted.calls, counted.open_calls) == (3, 1)
    assert counted.settled == 2 * 10**6 * (20 * 3 + 10 * 7)
    assert counted.unsettled > 10**6 * (1024 * 3 + MOST_TOKENS * 7)


async def test_a_budget_for_requests_without_a_bound_is_rejected_before_anything_is_sent(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
        with pytest.raises(ConfigError, match="budget_usd needs a price for every model"):
            await generate(config(endpoint.url, tasks, budget_usd=1), tmp_path / "run")
    assert not endpoint.asked


@pytest.mark.parametrize("counts", [(0, 0), (False, True), (10**12, 10**12), (-5, -5), ("20", "10")])
async def test_a_provider_that_counts_wrongly_does_not_void_the_budget(counts: tuple[Any, Any], tmp_path: Path) -> None:
    """Each answer is counted at the most that it can cost, and said to be uncertain."""
    budget = 0.1
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(100)), tmp_path / "run"

    async with ScriptedEndpoint(lambda request: miscounted(request, counts)) as endpoint:
        roles = priced(timeout_seconds=10, concurrency=2)  # so that the target alone does not use up the budget
        summary = await generate(config(endpoint.url, tasks, budget_usd=budget, **roles), run)
        priced_requests = [request for request in endpoint.asked if request["model"] != STRONGER]
    assert isinstance(summary.stopped_by, BudgetError)
    counted, money = await spent(run), summary.progress.money
    assert (counted.settled, counted.open_calls) == (0, len(priced_requests))
    assert budget / 2 < counted.unsettled / 10**12 <= budget
    assert money.uncertain_usd == money.spent_usd == counted.unsettled / 10**12
    assert money.uncertain_calls == counted.open_calls
    notes = [note for note in summary.progress.notes if "without numbers of tokens that can be true" in note]
    assert len(notes) == 2  # of the target and of the reviser


def miscounted(request: dict[str, Any], counts: tuple[Any, Any]) -> Reply:
    content = json.loads(played(request).body)
    content["usage"] = dict(zip(("prompt_tokens", "completion_tokens"), counts, strict=True))
    return Reply(json.dumps(content).encode())
