"""Runs that keep to one limit and one budget by a coordinator."""

import asyncio
import itertools
import re
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clairgen.config.models import RunConfig
from clairgen.coordination.leased_limits import LeasedLimits
from clairgen.coordination.wire import EndpointLimit, RateShare
from clairgen.errors import BudgetError, ConfigError, NothingLeftError
from clairgen.inference.announced_limits import RateLimits
from clairgen.inference.shared_limits import ConfiguredLimits
from clairgen.pipeline.coordinated import location_of
from clairgen.pipeline.generate import Options, Summary, generate
from clairgen.service.coordinator import member_groups
from clairgen.store import RunDirectory, reading
from clairgen.task_shard import LeasedShard, TaskShard, named_shard
from tests.clocks import FakeClock
from tests.coordination.coordinated import AT, Coordinated
from tests.runs import config, played, questions, write_tasks
from tests.scripted import ScriptedEndpoint

FREE = {"price_per_million": {"input": 0, "output": 0}}
LIMITED = {"requests_per_minute": 6000, "concurrency": 6}
REVISER_PICODOLLARS = 10**6 * (200 * 10 + 30 * 30)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Coordinated]:
    async with Coordinated(tmp_path / "runs") as opened:
        yield opened


def shard_of(served: Coordinated, folder: Path, count: int) -> Callable[[RunConfig], Awaitable[Summary]]:
    options = Options(shard=LeasedShard(count), coordinator=AT)
    return lambda settings: generate(settings, folder / "shards/{shard}", options, runtime=served.runtime())


async def test_shards_are_given_out_once_each_and_make_all_pairs_within_the_slots_of_one(
    tmp_path: Path, served: Coordinated
) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(40))
    async with ScriptedEndpoint(played) as endpoint:
        settings, shard = config(endpoint.url, tasks, target=LIMITED), shard_of(served, tmp_path, 3)
        made = await asyncio.gather(*[shard(settings) for _ in range(3)])
        assert {str(one.shard) for one in made} == {"1/3", "2/3", "3/3"}
        assert {one.run for one in made} == {tmp_path / "shards" / str(number) for number in (1, 2, 3)}
        assert sum(one.statuses["clair"]["made"] for one in made) == 40
        with pytest.raises(NothingLeftError, match="all 3 shards are done"):
            await shard(settings)
    overview = await served.overview()
    assert {one["state"] for one in overview["shards"]} == {"done"}
    assert {one["state"] for one in overview["members"]} == {"ended"}
    assert overview["endpoints"][0]["endpoint"] == f"target-model at {endpoint.url}"
    assert len(served.asked) < 40  # some for each of them, and not one for each request


async def test_clocks_of_day_that_step_by_an_hour_change_nothing(
    tmp_path: Path, served: Coordinated, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = itertools.cycle((0, 3600, -3600))

    def wall_clock() -> float:
        return time.time() + next(steps)

    monkeypatch.setattr(member_groups, "now", lambda: datetime.fromtimestamp(wall_clock(), UTC).isoformat())
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(20))
    async with ScriptedEndpoint(played) as endpoint:
        settings = config(endpoint.url, tasks, target=FREE, stronger=FREE, reviser=LIMITED)
        runtime = replace(served.runtime(), wall_clock=wall_clock)
        options = Options(shard=LeasedShard(2), coordinator=AT, budget_usd=1.0)
        made = await asyncio.gather(
            *[generate(settings, tmp_path / "shards/{shard}", options, runtime=runtime) for _ in range(2)]
        )
    assert [one.stopped_by for one in made] == [None, None]
    assert sum(one.statuses["clair"]["made"] for one in made) == 20
    overview = await served.overview()
    assert overview["spent_usd"] == overview["allotted_usd"] == pytest.approx(20 * REVISER_PICODOLLARS / 10**12)


async def test_a_limit_that_no_coordinator_can_divide_is_refused_with_a_sentence(
    tmp_path: Path, served: Coordinated
) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(2))
    for role in ({"requests_per_minute": 1e13}, {"tokens_per_minute": 1e300}):
        settings = config("http://127.0.0.1:9/v1", tasks, target=role)
        with pytest.raises(
            ConfigError, match=r"no coordinator can divide \w+ of target-model at http://127.0.0.1:9/v1: .* leave"
        ):
            await generate(settings, tmp_path / "run", Options(coordinator=AT), runtime=served.runtime())


def test_of_a_limit_of_few_requests_a_day_each_member_can_use_its_part() -> None:
    limit = EndpointLimit(endpoint="paid", requests_per_minute=0.035)
    clock = FakeClock()
    limits = LeasedLimits([limit], clock, clock, lambda: None)
    configured = ConfiguredLimits(RateLimits(0.035), 1, None, 9)
    limiter = limits.join("paid", "paid", [configured], lambda _: None).limits.rate_limiter
    for rate, is_closed in ((0.035 / 16, False), (1e-12, True)):
        limits.apply([RateShare(endpoint="paid", requests_per_minute=rate)], clock() + 9)
        assert limiter.is_closed is is_closed


async def test_the_bill_of_all_is_within_the_budget_of_the_group_and_a_larger_one_makes_the_rest(
    tmp_path: Path, served: Coordinated
) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(60))

    def billed() -> int:
        return REVISER_PICODOLLARS * [one["model"] for one in endpoint.asked].count("reviser-model")

    async with ScriptedEndpoint(played) as endpoint:
        shard = shard_of(served, tmp_path, 2)
        settings = config(endpoint.url, tasks, budget_usd=0.1, target=FREE, stronger=FREE)
        made = await asyncio.gather(*[shard(settings) for _ in range(2)])
        assert all(isinstance(one.stopped_by, BudgetError) for one in made)
        assert "the budget of $0.1000 of the group" in str(made[0].stopped_by)
        assert 0.07 * 10**12 < billed() <= 0.1 * 10**12
        settings = settings.model_copy(update={"budget_usd": 1.0})
        made = await asyncio.gather(*[shard(settings) for _ in range(2)])
        assert [one.stopped_by for one in made] == [None, None]
        assert sum(one.statuses["clair"]["made"] for one in made) == 60
        assert billed() == 60 * REVISER_PICODOLLARS
    overview = await served.overview()
    assert (overview["budget_usd"], overview["spent_usd"], overview["allotted_usd"]) == (
        1.0,
        60 * REVISER_PICODOLLARS / 10**12,
        60 * REVISER_PICODOLLARS / 10**12,
    )
    shown = (await served.http.get("/groups")).text
    assert "allotted of $1.00" in shown
    assert f"<h2>{overview['group']}</h2>" in shown
    metrics = (await served.http.get("/metrics")).text
    assert f'clairgen_group_budget_usd{{group="{overview["group"]}"}} 1.0' in metrics
    assert f'clairgen_group_members{{group="{overview["group"]}",state="ended"}} 2.0' in metrics
    async with reading(RunDirectory(tmp_path / "shards/1")) as store:
        assert await store.metadata.get("budget") is None  # the budget of all is not that of a shard


async def test_what_cannot_be_given_is_refused_before_anything_is_asked(tmp_path: Path, served: Coordinated) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(2))
    settings = config("http://127.0.0.1:9/v1", tasks)
    cases: list[tuple[str, Any, str]] = [
        ("run", Options(shard=LeasedShard(2), coordinator=AT), "write its number into --run as {shard}"),
        ("run", Options(shard=LeasedShard(2)), "takes a shard from a coordinator; name it with --coordinator URL"),
        ("run/{shard}", Options(coordinator=AT), "no shard was asked for"),
        ("run", Options(coordinator=AT, no_budget=True), r"the budget is the group's; leave it out"),
    ]
    by_batch = settings.models["target"].model_copy(update={"delivery": "batch"})
    batches = settings.model_copy(update={"models": settings.models | {"target": by_batch}})
    with pytest.raises(ConfigError, match="whose batches only one run directory can collect"):
        await generate(batches, tmp_path / "{shard}", Options(shard=LeasedShard(2), coordinator=AT))
    for run, options, sentence in cases:
        with pytest.raises(ConfigError, match=re.escape(sentence)):
            await generate(settings, tmp_path / run, options, runtime=served.runtime())
    alone = config("http://127.0.0.1:9/v1", tasks, target={"endpoints": ["registered"]})
    with pytest.raises(ConfigError, match=r"models\.target is served by those who registered with a coordinator"):
        await generate(alone, tmp_path / "alone")


def test_a_shard_of_a_coordinator_is_asked_for_by_name_or_where_no_scheduler_says_which() -> None:
    assert named_shard("lease/8", {"JOB_COMPLETION_INDEX": "1"}, is_coordinated=True) == LeasedShard(8)
    assert named_shard("auto/8", {}, is_coordinated=True) == LeasedShard(8)
    assert named_shard("auto/8", {"JOB_COMPLETION_INDEX": "1"}, is_coordinated=True) == TaskShard(2, 8)
    for text, is_coordinated in (("lease/8", False), ("auto/8", False), ("lease/0", True), ("lease", True)):
        with pytest.raises(ConfigError):
            named_shard(text, {}, is_coordinated=is_coordinated)


def test_a_copy_in_the_place_of_a_lost_run_is_at_another_place_even_with_its_inode(tmp_path: Path) -> None:
    run, kept = RunDirectory(tmp_path / "run"), tmp_path / "kept"
    run.path.mkdir()
    run.database.write_bytes(b"as it was")
    place = location_of(run)
    run.database.write_bytes(b"with more in it")
    assert location_of(run) == place
    kept.hardlink_to(run.database)
    shutil.rmtree(run.path)
    run.path.mkdir()
    run.database.hardlink_to(kept)
    assert location_of(run) != place
