import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from clairgen.config.models import Role
from clairgen.embedded.server import EmbeddedServers
from clairgen.inference.factory import Runtime, open_pools, with_revisions
from clairgen.inference.transport import HttpTransport
from clairgen.pipeline.completions import CompletionClient
from clairgen.pipeline.progress import Progress
from clairgen.records import Message, SampleRange
from clairgen.store import RunDirectory, writing
from tests.scripted import Reply, ScriptedEndpoint, said

QUESTION = (Message("user", "Spell the word garden backwards."),)


@asynccontextmanager
async def asker(folder: Path, role: Role) -> AsyncIterator[CompletionClient]:
    run = RunDirectory(folder)
    run.create()
    stop = asyncio.Event()
    roles = with_revisions({"target": role})
    transport = HttpTransport()
    async with writing(run) as store, EmbeddedServers(log=run.log) as servers:
        pools = await open_pools(roles, transport, servers, Runtime(), stop)
        yield CompletionClient(store, roles, pools, seed=0, reused={}, stop=stop, progress=Progress())
        for pool in pools.values():
            await pool.close()
        await transport.close()


async def test_samples_of_one_prompt_are_asked_apart_and_each_once(tmp_path: Path) -> None:
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


async def test_who_asks_for_the_same_waits_for_the_one_fetch(tmp_path: Path) -> None:
    slow = ScriptedEndpoint(lambda _: Reply(said("x").body, delay_seconds=0.1))
    async with slow as endpoint, asker(tmp_path, Role(model="m", endpoints=[endpoint.url])) as ask:
        answers = await asyncio.gather(*(ask("target", QUESTION) for _ in range(20)))
    assert len(endpoint.asked) == 1
    assert len(set(answers)) == 1


async def test_who_waits_asks_himself_when_the_one_who_fetches_is_cancelled(tmp_path: Path) -> None:
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
