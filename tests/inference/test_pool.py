"""Several endpoints of a role: requests are spread by weight, whether or not all slots are taken."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from tests.bench.harness import completion_client, question
from tests.scripted import Reply, ScriptedEndpoint, said

pytestmark = pytest.mark.slow

REQUESTS = 300


def slowly(request: dict[str, Any]) -> Reply:
    return Reply(said("x").body, delay_seconds=random.uniform(0.01, 0.03))


async def ask_all(run: Path, *urls: str, workers: int, **role: Any) -> None:  # noqa: ANN401 - any field of a role
    numbers = iter(range(REQUESTS))
    async with completion_client(run, *urls, **role) as ask, asyncio.TaskGroup() as group:

        async def worker() -> None:
            for number in numbers:
                await ask("target", question(number))

        for _ in range(workers):
            group.create_task(worker())


@pytest.mark.parametrize(("workers", "concurrency"), [(12, 64), (64, 8)], ids=["slots are free", "all are taken"])
async def test_requests_are_spread_by_weight(workers: int, concurrency: int, tmp_path: Path) -> None:
    async with ScriptedEndpoint(slowly) as heavy, ScriptedEndpoint(slowly) as light:
        await ask_all(tmp_path, heavy.url, light.url, workers=workers, weights=[3, 1], concurrency=concurrency)
        share = len(heavy.asked) / REQUESTS
    assert len(heavy.asked) + len(light.asked) == REQUESTS
    assert share == pytest.approx(0.75, abs=4 * (0.75 * 0.25 / REQUESTS) ** 0.5)


async def test_without_weights_all_endpoints_get_the_same_share(tmp_path: Path) -> None:
    async with ScriptedEndpoint(slowly) as one, ScriptedEndpoint(slowly) as other:
        await ask_all(tmp_path, one.url, other.url, workers=12, concurrency=64)
        share = len(one.asked) / REQUESTS
    assert share == pytest.approx(0.5, abs=4 * (0.25 / REQUESTS) ** 0.5)


async def test_a_light_endpoint_is_filled_while_the_heavy_one_is_down(tmp_path: Path) -> None:
    async with ScriptedEndpoint(slowly) as gone:
        down = gone.url
    async with ScriptedEndpoint(slowly) as light:
        await ask_all(tmp_path, down, light.url, workers=64, weights=[9, 1], concurrency=8)
        assert len(light.asked) == REQUESTS
        assert light.most_in_flight == 8
