"""Runs that keep to one limit and one budget by a coordinator."""

import asyncio
from pathlib import Path

import pytest

from clairgen.errors import BudgetError
from clairgen.pipeline.generate import Options, Summary, generate
from clairgen.pipeline.progress import Progress
from clairgen.task_shard import LeasedShard
from tests.coordination.coordinated import AT, Coordinated
from tests.runs import config, played, questions, write_tasks
from tests.scripted import ScriptedEndpoint

FREE = {"price_per_million": {"input": 0, "output": 0}}
LIMITED = {"requests_per_minute": 6000, "concurrency": 6}


async def test_shards_are_given_out_once_each_and_make_all_pairs(tmp_path: Path) -> None:
    served = Coordinated(tmp_path / "runs")
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(40))
    async with ScriptedEndpoint(played) as endpoint:
        settings = config(endpoint.url, tasks, target=LIMITED)

        async def shard() -> Summary:
            options = Options(shard=LeasedShard(3), coordinator=AT)
            return await generate(settings, tmp_path / "shards/{shard}", options, runtime=served.runtime())

        made = await asyncio.gather(*[shard() for _ in range(3)])
        assert {str(one.shard) for one in made} == {"1/3", "2/3", "3/3"}
        assert sum(one.statuses["clair"]["made"] for one in made) == 40
    overview = await served.overview()
    assert {one["state"] for one in overview["shards"]} == {"done"}
    assert {one["state"] for one in overview["members"]} == {"ended"}
    print(overview, served.asked)


async def test_the_bill_of_all_is_within_the_budget_of_the_group(tmp_path: Path) -> None:
    served = Coordinated(tmp_path / "runs")
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(60))
    async with ScriptedEndpoint(played) as endpoint:
        settings = config(endpoint.url, tasks, budget_usd=0.2, target=FREE, stronger=FREE)

        async def shard() -> Summary:
            options = Options(shard=LeasedShard(2), coordinator=AT)
            return await generate(settings, tmp_path / "shards/{shard}", options, runtime=served.runtime())

        made = await asyncio.gather(*[shard() for _ in range(2)])
        billed = 1e-6 * (200 * 10 + 30 * 30) * sum(one["model"] == "reviser-model" for one in endpoint.asked)
    print([str(one.stopped_by) for one in made], billed, await served.overview())
