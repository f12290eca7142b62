"""A session: one command's hold on a run while it asks models. Lock, log, store, account and pools, let go of in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from clairgen.config.models import Role
from clairgen.embedded.server import EmbeddedServers
from clairgen.inference.factory import Runtime, open_pools
from clairgen.pipeline.budget import Budget
from clairgen.pipeline.completions import CompletionClient
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.run_log import RunLog
from clairgen.store import RunDirectory, Store, writing
from clairgen.version import __version__

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


@dataclass(frozen=True, slots=True)
class Session:
    """What a command that asks models works with; `stack` closes what was opened in it when the session ends."""

    directory: RunDirectory
    store: Store
    log: RunLog
    progress: Progress
    stop: asyncio.Event
    runtime: Runtime
    stack: AsyncExitStack
    drain_seconds: float

    async def ledger(self, budget_usd: float | None) -> Budget:
        """The account of the run's money, kept until the session ends."""
        spending = self.store.spending
        ledger = Budget(spending, await spending.total(), budget_usd, self.progress, self.stop)
        return await self.stack.enter_async_context(ledger)

    async def asker(
        self, roles: Mapping[str, Role], ledger: Budget, *, seed: int, reused: Mapping[str, Store] | None = None
    ) -> CompletionClient:
        """The session's `ask`: embedded servers are started, and a pool is opened for every role."""
        transport = self.runtime.transport()
        self.stack.push_async_callback(transport.close)
        servers = await self.stack.enter_async_context(EmbeddedServers(log=self.directory.log))
        pools = await open_pools(
            roles, transport, servers, self.runtime, self.stop, lambda said: self.progress.note(said, quotes=True)
        )
        for pool in pools.values():
            self.stack.push_async_callback(pool.close)
        return CompletionClient(
            self.store,
            roles,
            pools,
            seed=seed,
            reused=reused or {},
            stop=self.stop,
            progress=self.progress,
            ledger=ledger,
        )

    async def run_chains(
        self,
        work: AsyncIterator[Any],
        chain: Callable[[Any], Awaitable[None]],
        *,
        width: int,
        what: str,
    ) -> None:
        """Run chains over `work`; once the session is to stop, for `drain_seconds` more. `what` names what was then cut off."""
        cut_off = await run_chains(
            work, chain, width=width, stop=self.stop, drained_within=lambda: self.runtime.sleep(self.drain_seconds)
        )
        if cut_off:
            self.progress.note(
                f"{cut_off} {what} after {self.drain_seconds:g} s and were cut off; what was asked for them and not answered "
                "may be billed, and is asked again when you go on"
            )

    def tell_start(self, roles: Mapping[str, Role], **facts: object) -> None:
        """Say what the session is about, and what money it does not count."""
        self.progress.tell(
            "started",
            version=__version__,
            models={name: {"model": role.model, "endpoints": role.endpoints} for name, role in roles.items()},
            pairs_to_make=self.progress.pairs_to_make,
            **facts,
        )
        for name, role in roles.items():
            if role.api_key_env is not None and role.price_per_million is None:
                self.progress.note(
                    f"no price is known for models.{name} ({role.model}), so its dollars are not counted; "
                    "give it price_per_million"
                )


@asynccontextmanager
async def session(
    directory: RunDirectory,
    progress: Progress,
    stop: asyncio.Event,
    runtime: Runtime,
    *,
    log_texts: bool = False,
    drain_seconds: float = DRAIN_SECONDS,
) -> AsyncIterator[Session]:
    """Hold the run in `directory`: locked, logged, its store open for writing. Raises RunError if another process holds it."""
    with directory.locked():
        async with AsyncExitStack() as stack:
            log = RunLog(directory.events)
            stack.callback(log.close)
            progress.tell, progress.tell_texts = log.event, log_texts
            store = await stack.enter_async_context(writing(directory))
            yield Session(directory, store, log, progress, stop, runtime, stack, drain_seconds)
