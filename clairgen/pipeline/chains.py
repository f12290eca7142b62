"""Chains: every pair of every task is made in its own coroutine; no stage waits for another task."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

QUEUED_CHAINS = 64
"""Chains beyond those that all roles can have in flight, so that no place waits for a chain to begin."""


async def run_chains(
    work: AsyncIterator[Any], chain: Callable[[Any], Awaitable[None]], *, width: int, stop: asyncio.Event
) -> None:
    """Run `chain` over `work`, at most `width` at a time; once `stop` is set no new one is begun and the rest are awaited."""
    free = asyncio.Semaphore(width)

    async def one(item: Any) -> None:  # noqa: ANN401 - whatever the chain takes
        try:
            await chain(item)
        finally:
            free.release()

    async with asyncio.TaskGroup() as group:
        async for item in work:
            await free.acquire()
            if stop.is_set():
                break
            group.create_task(one(item))
