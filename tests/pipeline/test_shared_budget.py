"""One budget over several sessions, each with its own account on disk: their sum stays within it, also after kills."""

import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from clairgen.config.prices import PICODOLLARS
from clairgen.errors import BudgetError, ConfigError
from clairgen.inference.runtime import Runtime
from clairgen.inference.shared_budget import SharedBudget
from clairgen.pipeline.budget import Budget, spent_usd
from clairgen.pipeline.generate import Summary, generate
from clairgen.pipeline.progress import Progress
from clairgen.store import Call, Spending, Spent, Store
from tests.pipeline.test_budget import TRIALS, Provider, priced
from tests.pipeline.test_budget_account import Queue, opened
from tests.runs import config, played, questions, write_tasks
from tests.scripted import ScriptedEndpoint

DOLLAR = PICODOLLARS


async def session_of(store: Store, shared: SharedBudget, own_usd: float | None = None) -> Budget:
    return Budget(store.spending, await store.spending.total(), own_usd, Progress(), asyncio.Event(), shared)


async def test_a_request_must_fit_the_budget_of_its_run_and_the_shared_one(tmp_path: Path) -> None:
    shared = SharedBudget(10, spent_before_usd=1)
    async with opened(tmp_path / "a") as one, opened(tmp_path / "b") as other:  # noqa: SIM117 - closed before it is read
        async with await session_of(one, shared, 3) as small, await session_of(other, shared) as free:
            with pytest.raises(BudgetError, match=r"^the budget of \$3.0000 has no room .* raise budget_usd") as own:
                await Queue(small, "target").reserve(4 * DOLLAR)
            assert own.value.enough_usd == 7
            await Queue(small, "target").reserve(3 * DOLLAR)
            call = await Queue(free, "target").reserve(6 * DOLLAR)
            assert (shared.used_usd, shared.limit_usd) == (10, 10)
            waits = asyncio.create_task(Queue(free, "judge").reserve(1 * DOLLAR))
            await asyncio.sleep(0.01)
            assert not waits.done()
            free.settle(call, 2 * DOLLAR)
            await waits
            assert shared.used_usd == 7
            with pytest.raises(
                BudgetError, match=r"\$10.00 that several sessions share .*larger limit_usd, such as 20,"
            ) as both:
                await Queue(free, "target").reserve(8 * DOLLAR)
            assert both.value.enough_usd is None
    assert await spent_usd([tmp_path / "a", tmp_path / "b", tmp_path / "not-begun"]) == 6


async def test_what_one_session_frees_goes_to_all_that_wait_in_turn(tmp_path: Path) -> None:
    shared, order = SharedBudget(100), list[str]()

    async def call(name: str, budget: Budget, queue: Queue) -> None:
        reserved = await queue.reserve(10 * DOLLAR)
        order.append(name)
        await asyncio.sleep(0.002)
        budget.settle(reserved, 0)

    async with (
        opened(tmp_path / "a") as one,
        opened(tmp_path / "b") as other,
        await session_of(one, shared) as first,
        await session_of(other, shared) as second,
    ):
        held = await Queue(first, "judge").reserve(100 * DOLLAR)
        queues = Queue(first, "target"), Queue(second, "target")
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(call("first", first, queues[0]))
            await asyncio.sleep(0.01)
            for _ in range(5):
                group.create_task(call("second", second, queues[1]))
            await asyncio.sleep(0.01)
            assert not order
            first.settle(held, 70 * DOLLAR)
    assert shared.used_usd == 70
    assert len(order) == 25
    assert order[:10].count("second") >= 4


async def test_a_session_that_cannot_send_keeps_no_other_waiting_for_money(tmp_path: Path) -> None:
    shared = SharedBudget(10)
    async with (
        opened(tmp_path / "a") as one,
        opened(tmp_path / "b") as other,
        await session_of(one, shared) as large,
        await session_of(other, shared) as small,
    ):
        call = await Queue(small, "target").reserve(8 * DOLLAR)
        first = Queue(large, "target")
        waits = asyncio.create_task(first.reserve(9 * DOLLAR))
        await asyncio.sleep(0.01)
        next_one = asyncio.create_task(Queue(small, "target").reserve(1 * DOLLAR))
        await asyncio.sleep(0.01)
        assert not next_one.done()  # the large one comes first
        first.slots = 0  # as when its endpoint is down
        small.settle(call, 0)
        await asyncio.wait_for(next_one, 1)
        waits.cancel()


async def test_roles_without_a_known_price_are_rejected(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    async with ScriptedEndpoint(played) as endpoint:
        runtime = Runtime(shared_budget=SharedBudget(1))
        with pytest.raises(ConfigError, match=r"^the budget that several sessions share needs a price for every model"):
            await generate(config(endpoint.url, tasks), tmp_path / "run", runtime=runtime)
        assert not endpoint.asked


async def all_of(runs: Sequence[Path], url: str, budget_usd: float) -> list[Summary]:
    """A session for each of the runs, at once, with what they all have spent before."""
    shared = SharedBudget(budget_usd, await spent_usd(runs))
    runtime = Runtime(shared_budget=shared, sleep=lambda seconds: asyncio.sleep(seconds / 50))
    tasks = runs[0].with_name("tasks.jsonl")
    given = [config(url, tasks, seed=number, **priced(concurrency=4)) for number, _ in enumerate(runs)]
    return await asyncio.gather(*(generate(one, run, runtime=runtime) for one, run in zip(given, runs, strict=True)))


@pytest.mark.process
@pytest.mark.parametrize("trial", range(max(1, TRIALS // 2)))
async def test_the_bill_of_all_sessions_stays_within_their_budget_also_when_they_are_killed(
    trial: int, tmp_path: Path
) -> None:
    chance = random.Random(trial)
    provider, budget = Provider(chance), chance.uniform(0.2, 0.4)
    write_tasks(tmp_path / "tasks.jsonl", questions(40))
    runs = [tmp_path / name for name in ("a", "b", "c")]
    sent, kill_after = asyncio.Event(), chance.randint(10, 100)
    async with ScriptedEndpoint(provider.answer) as endpoint:
        endpoint.on_sent = lambda _request: sent.set() if len(endpoint.asked) >= kill_after else None
        command = "import sys; from tests.pipeline.test_shared_budget import begin; begin(*sys.argv[1:])"
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", command, str(tmp_path), endpoint.url, str(budget)
        )
        ended, moment = asyncio.create_task(child.wait()), asyncio.create_task(sent.wait())
        await asyncio.wait([ended, moment], return_when=asyncio.FIRST_COMPLETED)
        moment.cancel()
        if not ended.done():
            child.kill()
        await ended
        await endpoint.clients_gone()
        assert 0 < provider.picodollars / PICODOLLARS <= await spent_usd(runs) <= budget
        summaries = await all_of(runs, endpoint.url, budget)
    assert provider.picodollars / PICODOLLARS <= await spent_usd(runs) <= budget
    poor = [one.stopped_by for one in summaries if isinstance(one.stopped_by, BudgetError)]
    assert all("that several sessions share" in str(error) for error in poor)
    assert poor or all(one.progress.done for one in summaries)


def begin(folder: str, url: str, budget_usd: str) -> None:
    """What is killed: a process with three sessions."""
    runs = [Path(folder) / name for name in ("a", "b", "c")]
    asyncio.run(all_of(runs, url, float(budget_usd)))


class _Held:
    """An account on disk that takes reservations and never finishes to settle one."""

    async def reserve(self, call: Call) -> None:
        """See `Spending`."""

    async def settle(self, call: Call, cost: int) -> None:
        """See `Spending`."""
        await asyncio.Event().wait()


async def test_a_session_that_is_cut_off_as_it_ends_leaves_no_money_reserved() -> None:
    shared = SharedBudget(100)

    async def session() -> None:
        async with Budget(
            cast("Spending", _Held()), Spent(0, 0, 0, 0, 0), None, Progress(), asyncio.Event(), shared
        ) as budget:
            for _ in range(2):
                budget.settle(await Queue(budget, "target").reserve(30 * DOLLAR), 1 * DOLLAR)

    task = asyncio.create_task(session())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(BudgetError, match=r"\$60.00 are spent, \$0.0000 are reserved"):
        shared.reserve(50 * DOLLAR, lambda: None)
    assert shared.reserve(40 * DOLLAR, lambda: None)
