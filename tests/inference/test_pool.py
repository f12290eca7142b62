"""Several endpoints of a role: asks are spread by weight, whether or not all places are taken."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from tests.bench.harness import asker, question
from tests.scripted import Reply, ScriptedEndpoint, said

ASKS = 600


def slowly(request: dict[str, Any]) -> Reply:
    return Reply(said("x").body, delay_seconds=random.uniform(0.01, 0.03))


async def ask_all(run: Path, *urls: str, chains: int, **role: Any) -> None:  # noqa: ANN401 - any field of a role
    numbers = iter(range(ASKS))
    async with asker(run, *urls, **role) as ask, asyncio.TaskGroup() as group:

        async def chain() -> None:
            for number in numbers:
                await ask("target", question(number))

        for _ in range(chains):
            group.create_task(chain())


@pytest.mark.parametrize(("chains", "concurrency"), [(12, 64), (64, 8)], ids=["places are free", "all are taken"])
async def test_asks_are_spread_by_weight(chains: int, concurrency: int, tmp_path: Path) -> None:
    async with ScriptedEndpoint(slowly) as heavy, ScriptedEndpoint(slowly) as light:
        await ask_all(tmp_path, heavy.url, light.url, chains=chains, weights=[3, 1], concurrency=concurrency)
        share = len(heavy.asked) / ASKS
    assert len(heavy.asked) + len(light.asked) == ASKS
    assert share == pytest.approx(0.75, abs=4 * (0.75 * 0.25 / ASKS) ** 0.5)


async def test_without_weights_all_take_alike(tmp_path: Path) -> None:
    async with ScriptedEndpoint(slowly) as one, ScriptedEndpoint(slowly) as other:
        await ask_all(tmp_path, one.url, other.url, chains=12, concurrency=64)
        share = len(one.asked) / ASKS
    assert share == pytest.approx(0.5, abs=4 * (0.25 / ASKS) ** 0.5)


async def test_a_light_endpoint_is_filled_while_the_heavy_one_is_down(tmp_path: Path) -> None:
    async with ScriptedEndpoint(slowly) as gone:
        down = gone.url
    async with ScriptedEndpoint(slowly) as light:
        await ask_all(tmp_path, down, light.url, chains=64, weights=[9, 1], concurrency=8)
        assert len(light.asked) == ASKS
        assert light.most_in_flight == 8
