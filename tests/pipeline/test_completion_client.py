import asyncio
import random
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clairgen.config.role import Price, Role
from clairgen.embedded.server import EmbeddedServers
from clairgen.errors import BudgetError
from clairgen.inference.factory import open_pools, with_revisions
from clairgen.inference.pool import Pool
from clairgen.inference.runtime import Runtime, open_transport
from clairgen.inference.transport import Response, Timeouts
from clairgen.pipeline.budget import Budget
from clairgen.pipeline.completion_client import CompletionClient
from clairgen.pipeline.generate import generate
from clairgen.pipeline.progress import Progress
from clairgen.records import Completion, Message, SampleRange
from clairgen.store import RunDirectory, Store, writing
from tests.runs import config, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused, said

QUESTION = (Message("user", "Spell the word garden backwards."),)
PRICE = Price(input=0, output=10_000)  # 0.01 dollars a token, so 1 dollar at most with the 100 tokens of `priced`


@dataclass(frozen=True, slots=True)
class Opened:
    """A client, and what it works with."""

    ask: CompletionClient
    pools: Mapping[str, Pool]
    progress: Progress
    budget: Budget
    store: Store

    def asked(self, role: str, sample: int = 0) -> "asyncio.Task[Completion]":
        """A request that runs."""
        return asyncio.create_task(self.ask(role, QUESTION, sample=sample))


@asynccontextmanager
async def opened(
    folder: Path, roles: Mapping[str, Role], budget_usd: float | None = None, runtime: Runtime | None = None
) -> AsyncIterator[Opened]:
    run = RunDirectory(folder)
    run.create()
    stop, progress, runtime = asyncio.Event(), Progress(), runtime or Runtime()
    roles = with_revisions(roles)
    transport = open_transport()
    async with writing(run) as store, EmbeddedServers(log=run.log) as servers:
        pools = await open_pools(roles, transport, servers, runtime, stop)
        async with Budget(store.spending, await store.spending.total(), budget_usd, progress, stop) as budget:
            ask = CompletionClient(store, roles, pools, seed=0, reused={}, stop=stop, progress=progress, budget=budget)
            yield Opened(ask, pools, progress, budget, store)
        for pool in pools.values():
            await pool.close()
        await transport.close()


@asynccontextmanager
async def asker(folder: Path, role: Role) -> AsyncIterator[CompletionClient]:
    async with opened(folder, {"target": role}) as held:
        yield held.ask


def priced(url: str, concurrency: int = 8, model: str = "m") -> Role:
    return Role(model=model, endpoints=[url], max_tokens=100, price_per_million=PRICE, concurrency=concurrency)


def slowly(seconds: float = 0.2, tokens: tuple[int, int] = (10, 10)) -> ScriptedEndpoint:
    return ScriptedEndpoint(lambda _: Reply(said("x", tokens=tokens).body, delay_seconds=seconds))


async def test_samples_of_one_prompt_are_requested_separately_and_each_once(tmp_path: Path) -> None:
    def numbered(_: dict[str, Any]) -> Reply:
        return said(f"answer {len(endpoint.asked)}")

    async with (
        ScriptedEndpoint(numbered) as endpoint,
        asker(tmp_path, Role(model="m", endpoints=[endpoint.url])) as ask,
    ):
        one, two = await ask("target", QUESTION), await ask("target", QUESTION, sample=1)
        later = await ask("target", QUESTION, sample=SampleRange.ADVISE)
        assert await ask("target", QUESTION) == one
    assert len({one.text, two.text, later.text}) == len(endpoint.asked) == 3
    assert len({request["seed"] for request in endpoint.asked}) == 3


async def test_equal_requests_are_sent_once(tmp_path: Path) -> None:
    slow = ScriptedEndpoint(lambda _: Reply(said("x").body, delay_seconds=0.1))
    async with slow as endpoint, asker(tmp_path, Role(model="m", endpoints=[endpoint.url])) as ask:
        answers = await asyncio.gather(*(ask("target", QUESTION) for _ in range(20)))
    assert len(endpoint.asked) == 1
    assert len(set(answers)) == 1


async def test_a_request_that_waits_for_an_equal_one_is_sent_when_that_is_cancelled(tmp_path: Path) -> None:
    slow = ScriptedEndpoint(lambda _: Reply(said("x").body, delay_seconds=0.2))
    async with slow as endpoint, asker(tmp_path, Role(model="m", endpoints=[endpoint.url])) as ask:
        first = asyncio.create_task(ask("target", QUESTION))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(ask("target", QUESTION))
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await second).text == "x"
        with pytest.raises(asyncio.CancelledError):
            await first


@pytest.mark.slow
async def test_a_real_model_samples_differ_and_repeat_by_their_seed(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    student = Role(model="student", endpoints=["classroom:student"], temperature=1.5, max_tokens=32, concurrency=4)
    drawn: list[list[str]] = []
    for name in ("one", "two"):
        async with asker(tmp_path / name, student) as ask:
            completions = [await ask("target", QUESTION, sample=sample) for sample in range(8)]
            drawn.append([completion.text for completion in completions])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 1
    assert completions[0].revision is not None
    assert completions[0].revision.startswith("sha256:")


async def test_a_request_that_waits_for_the_budget_holds_no_slot(tmp_path: Path) -> None:
    async with slowly() as endpoint, opened(tmp_path, {"target": priced(endpoint.url)}, 1.95) as held:
        running = [held.asked("target", sample) for sample in range(5)]
        while not endpoint.asked:  # noqa: ASYNC110 - an endpoint sends no signal
            await asyncio.sleep(0.01)
        assert held.pools["target"].in_flight == 1
        assert held.progress.money.reserved_usd == pytest.approx(1.0)
        await asyncio.gather(*running)
    assert endpoint.most_in_flight == 1
    assert held.progress.money.spent_usd == pytest.approx(0.5)


async def test_a_request_that_waits_for_a_slot_holds_no_money(tmp_path: Path) -> None:
    async with slowly(0.5) as slow, slowly(0.0) as quick:
        roles = {"target": priced(slow.url, concurrency=1), "judge": priced(quick.url, model="j")}
        async with opened(tmp_path, roles, 2.5) as held:
            running = [held.asked("target", sample) for sample in range(3)]
            while not slow.asked:  # noqa: ASYNC110 - an endpoint sends no signal
                await asyncio.sleep(0.01)
            await asyncio.wait_for(held.asked("judge"), 5)  # there is money for two
            assert not slow.answered
            await asyncio.gather(*running)


async def test_while_a_retry_waits_it_holds_neither_slot_nor_money(tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []

    async def sleep(seconds: float) -> None:
        if 0 < seconds < 1:
            seen.append((held.pools["target"].in_flight, held.progress.money.reserved_usd))

    def script(_: dict[str, Any]) -> Reply:
        return refused(500) if len(endpoint.asked) == 1 else said("x", tokens=(10, 10))

    async with ScriptedEndpoint(script) as endpoint:
        async with opened(tmp_path, {"target": priced(endpoint.url)}, 10, Runtime(sleep=sleep)) as held:
            await held.ask("target", QUESTION)
        assert seen == [(0, 0.0)]
    assert held.progress.money.spent_usd == pytest.approx(1.0 + 0.1)  # what a server's fault cost is not known


async def test_cancelled_requests_give_back_slots_and_money_wherever_they_are(tmp_path: Path) -> None:
    async with slowly(0.3) as endpoint:
        roles = {"target": priced(endpoint.url, concurrency=1), "judge": priced(endpoint.url, model="j")}
        async with opened(tmp_path, roles, 2.95) as held:
            in_flight = held.asked("target")
            for_a_slot = held.asked("target", sample=1)
            while not endpoint.asked:  # noqa: ASYNC110 - an endpoint sends no signal
                await asyncio.sleep(0.01)
            judged = held.asked("judge")
            for_money = held.asked("judge", sample=1)
            await asyncio.sleep(0.05)
            assert [held.pools[role].in_flight for role in roles] == [1, 1]
            cancelled = (in_flight, for_a_slot, for_money)
            for task in cancelled:
                task.cancel()
            results = await asyncio.gather(*cancelled, return_exceptions=True)
            assert {type(result) for result in results} == {asyncio.CancelledError}
            assert held.pools["target"].in_flight == 0
            await judged
            assert (await held.ask("target", QUESTION, sample=2)).text == "x"
        assert held.progress.money.reserved_usd == 0
    assert len(endpoint.asked) == 3
    assert held.progress.money.spent_usd == pytest.approx(1.0 + 0.1 + 0.1)  # what was sent and cancelled may be billed


async def test_a_cancelled_expensive_request_lets_the_next_one_through(tmp_path: Path) -> None:
    async with slowly(0.5) as endpoint:
        expensive = priced(endpoint.url).model_copy(update={"max_tokens": 200})
        async with opened(tmp_path, {"target": priced(endpoint.url), "judge": expensive}, 2.5) as held:
            first = held.asked("target")
            await asyncio.sleep(0.05)
            waiting, cheap = held.asked("judge"), held.asked("target", sample=1)
            await asyncio.sleep(0.05)
            assert len(endpoint.asked) == 1
            waiting.cancel()
            await asyncio.sleep(0.1)
            assert len(endpoint.asked) == 2
            await asyncio.gather(first, cheap)


async def test_requests_of_several_roles_use_up_the_budget_and_never_hang(tmp_path: Path) -> None:
    async with slowly(0.01) as endpoint:
        roles = {name: priced(endpoint.url, 4, model=name) for name in ("target", "judge", "reviser")}
        async with opened(tmp_path, roles, 4.0) as held, asyncio.timeout(30):
            running = [held.asked(role, sample) for sample in range(20) for role in roles]
            results = await asyncio.gather(*running, return_exceptions=True)
    assert {type(result) for result in results} == {Completion, BudgetError}
    assert 3.0 < held.progress.money.spent_usd <= 4.0
    assert held.progress.money.reserved_usd == 0
    assert all(pool.in_flight == 0 for pool in held.pools.values())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_slots_and_money_survive_faults_and_cancellations_at_random(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)

    def script(_: dict[str, Any]) -> Reply:
        tokens, fate = (3, chance.randint(1, 100)), chance.random()
        if fate < 0.05:
            return refused(429, retry_after="0.01")
        if fate < 0.10:
            return refused(500)
        if fate < 0.13:
            return Reply(b"", reset=True)
        if fate < 0.16:
            return said(None, tokens=tokens)
        return Reply(said("x", tokens=tokens).body, delay_seconds=chance.uniform(0, 0.02))

    async with ScriptedEndpoint(script) as endpoint:
        roles = {name: priced(endpoint.url, chance.choice([1, 2, 8]), model=name) for name in ("target", "judge")}
        roles["reviser"] = priced(endpoint.url, model="reviser").model_copy(update={"max_tokens": 300})
        runtime = Runtime(sleep=lambda seconds: asyncio.sleep(seconds / 100))
        async with opened(tmp_path, roles, 20.0, runtime) as held, asyncio.timeout(60):
            running = [held.asked(role, sample) for sample in range(30) for role in roles]
            while not all(task.done() for task in running):
                await asyncio.sleep(chance.uniform(0, 0.05))
                chance.choice(running).cancel()
                assert held.progress.money.spent_usd + held.progress.money.reserved_usd <= 20.0 + 1e-9
            results = await asyncio.gather(*running, return_exceptions=True)
            assert all(pool.in_flight == pool.pending == 0 for pool in held.pools.values())
    assert {type(result) for result in results} <= {Completion, BudgetError, asyncio.CancelledError}
    assert any(isinstance(result, Completion) for result in results)
    assert held.progress.money.reserved_usd == pytest.approx(0)


class Tracing:
    """A transport that answers itself, and keeps the calls that led from a recipe to it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Response:
        """Keep the calls between the recipe and this one."""
        frame, self.calls = sys._getframe(), []
        while frame.f_back is not None and "recipes" not in frame.f_code.co_filename:
            self.calls.append(frame.f_code.co_qualname)
            frame = frame.f_back
        return Response(200, {}, said("an answer").body)

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Response:
        """No probe is needed."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


async def test_there_are_at_most_six_calls_from_a_recipe_to_the_network(tmp_path: Path) -> None:
    transport, tasks = Tracing(), write_tasks(tmp_path / "tasks.jsonl", questions(1))
    given = config("http://gpu1/v1", tasks, recipes=["stronger-preferred"])
    await generate(given, tmp_path / "run", runtime=Runtime(transport=lambda _note: transport))
    assert transport.calls[-1].endswith("__call__")
    assert len(transport.calls) <= 6, transport.calls
