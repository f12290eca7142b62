"""Chains: every pair of every task is made in its own coroutine; no stage waits for another task."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

QUEUED_CHAINS = 64
"""Chains beyond those that all roles can have in flight, so that no place waits for a chain to begin."""
DRAIN_SECONDS = 60.0
"""How long what is in flight may take once a session is to stop, unless it is told otherwise."""


async def run_chains(
    work: AsyncIterator[Any],
    chain: Callable[[Any], Awaitable[None]],
    *,
    width: int,
    stop: asyncio.Event,
    drained_within: Callable[[], Awaitable[None]],
) -> int:
    """Run `chain` over `work`, at most `width` at a time.

    Once `stop` is set no new one is begun, and the rest are awaited for as long as `drained_within` sleeps; returns how many
    were then cut off.
    """
    free = asyncio.Semaphore(width)
    running: set[asyncio.Task[None]] = set()
    cut_off = 0

    async def one(item: Any) -> None:  # noqa: ANN401 - whatever the chain takes
        try:
            await chain(item)
        finally:
            free.release()

    async def cut_off_what_lasts() -> None:
        nonlocal cut_off
        await stop.wait()
        await drained_within()
        cut_off = sum(task.cancel() for task in running)

    cutting = asyncio.create_task(cut_off_what_lasts(), name="drain")
    try:
        async with asyncio.TaskGroup() as group:
            async for item in work:
                await free.acquire()
                if stop.is_set():
                    break
                task = group.create_task(one(item))
                running.add(task)
                task.add_done_callback(running.discard)
    finally:
        cutting.cancel()
    return cut_off
