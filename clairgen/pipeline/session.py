"""A session: what one command holds of a run while it sends requests (lock, log, store, budget, pools), closed in reverse."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clairgen.config.prices import check_shared_budget, unpriced_sentence
from clairgen.config.role import Role
from clairgen.embedded.gguf import CLASSIFIER
from clairgen.embedded.server import EmbeddedServers
from clairgen.errors import ConfigError, StoreError
from clairgen.inference.factory import open_pools
from clairgen.inference.local_rewards import LocalRewards
from clairgen.inference.pool import Pool
from clairgen.inference.runtime import Runtime, raise_open_file_limit
from clairgen.inference.transport import Transport
from clairgen.installed import __version__
from clairgen.long_texts import close_workers
from clairgen.pipeline.batch_lane.batch_roles import batch_roles, is_batch_of
from clairgen.pipeline.batch_lane.lane import BatchLane
from clairgen.pipeline.budget import Budget
from clairgen.pipeline.completion_client import CompletionClient
from clairgen.pipeline.copy_allowance import CopyAllowance
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.run_log import RunLog
from clairgen.pipeline.traces import Traces, open_traces
from clairgen.store import BatchRecord, RunDirectory, Store, writing
from clairgen.wording import counted

TASKS_QUEUED = 64
"""Tasks started beyond those that all roles can have in flight, so that no slot waits for a task to start."""
_LEAST_FREE_BYTES = 50_000_000  # for a thousand answers of 20 kB, which are first written beside the database
_PLENTY_BYTES = 2_000_000_000  # no disk loses as many in the time after which it is looked at again
_LOOK_AGAIN_SECONDS = 0.25
DRAIN_SECONDS = 60.0
"""Default of how long tasks in flight may take once a session is to stop."""


async def run_tasks(
    work: AsyncIterator[Any],
    task: Callable[[Any], Awaitable[None]],
    *,
    in_flight: int,
    stop: asyncio.Event,
    drained_within: Callable[[], Awaitable[None]],
) -> int:
    """Run `task` over `work`, at most `in_flight` at a time.

    Once `stop` is set no new one is started, and the rest are awaited for as long as `drained_within` sleeps; returns how many
    were then cut off.
    """
    free = asyncio.Semaphore(in_flight)
    running: set[asyncio.Task[None]] = set()
    cut_off = 0

    async def one(item: Any) -> None:  # noqa: ANN401 - whatever the task takes
        try:
            await task(item)
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
                started = group.create_task(one(item))
                running.add(started)
                started.add_done_callback(running.discard)
    finally:
        cutting.cancel()
    return cut_off


class FreeSpace:
    """The space on the disk of a run: looked at before every request, but only now and then while there is plenty."""

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        self._folder = folder
        self._runtime = runtime
        self._plenty_until = -math.inf

    def check(self) -> None:
        """Raise StoreError while so little space is left that the answers in flight may not find room."""
        now = self._runtime.clock()
        if now < self._plenty_until:
            return
        try:
            free = self._runtime.free_bytes(self._folder)
        except OSError as error:
            raise StoreError(
                f"the folder {self._folder} is no longer there or cannot be read ({error.strerror}), so nothing more is sent; if "
                "it was moved or its disk is away, bring it back and run the same command again"
            ) from error
        if free < _LEAST_FREE_BYTES:
            raise StoreError(
                f"only {free / 1e6:,.1f} MB are free on the disk that holds {self._folder}, and answers in flight may need up "
                f"to {_LEAST_FREE_BYTES / 1e6:.0f} MB, so nothing more is sent; free some space and run the same command again"
            )
        if free > _PLENTY_BYTES:
            self._plenty_until = now + _LOOK_AGAIN_SECONDS


@dataclass(frozen=True, slots=True)
class Session:
    """What a command that sends requests works with; `stack` closes what was opened in it when the session ends."""

    directory: RunDirectory
    store: Store
    log: RunLog
    progress: Progress
    stop: asyncio.Event
    runtime: Runtime
    stack: AsyncExitStack
    drain_seconds: float
    traces: Traces | None = None

    async def budget(
        self, limit_usd: float | None, roles: Mapping[str, Role], allowance: CopyAllowance | None = None
    ) -> Budget:
        """The account of the run's money, kept until the session ends.

        Raises ConfigError for roles whose requests have no known maximum cost, if sessions share a budget.
        """
        spending, shared = self.store.spending, self.runtime.shared_budget
        if shared is not None:
            check_shared_budget(roles)
        budget = Budget(spending, await spending.total(), limit_usd, self.progress, self.stop, shared, allowance)
        return await self.stack.enter_async_context(budget)

    async def completion_client(
        self,
        roles: Mapping[str, Role],
        budget: Budget,
        *,
        seed: int,
        reused: Mapping[str, Store] | None = None,
        retries_failed: bool = True,
        all_batches: bool = False,
    ) -> CompletionClient:
        """The session's `ask`: embedded servers are started, and a pool is opened for every role.

        `retries_failed` is whether a request that failed for good in a batch of an earlier session is paid for again,
        `all_batches` whether open batches are taken in also where `roles` has not their role at their endpoint, by another one.
        """
        transport = await self._transport(roles)
        servers = await self.stack.enter_async_context(EmbeddedServers(log=self.directory.log))
        pools = await open_pools(
            roles,
            transport,
            servers,
            self.runtime,
            self.stop,
            lambda sentence: self.progress.note(sentence, quotes=True),
        )
        for pool in pools.values():
            self.stack.push_async_callback(pool.close)
        await asyncio.gather(*(pool.first_look() for pool in pools.values()))
        check_space = FreeSpace(self.directory.path, self.runtime).check
        records = [
            record
            for record in await self.store.batches.all(open_only=True)
            if all_batches or is_batch_of(roles, record)
        ]
        lane = await self._lane(roles, pools, budget, check_space, records, retries_failed=retries_failed)
        return CompletionClient(
            self.store,
            roles,
            pools,
            seed=seed,
            reused=reused or {},
            stop=self.stop,
            progress=self.progress,
            budget=budget,
            check_space=check_space,
            lane=lane,
            traces=self.traces,
        )

    async def _lane(
        self,
        roles: Mapping[str, Role],
        pools: Mapping[str, Pool],
        budget: Budget,
        check_space: Callable[[], None],
        records: Sequence[BatchRecord],
        *,
        retries_failed: bool,
    ) -> BatchLane | None:
        """The batch lane, if a role's requests go into batches or `records` of earlier ones are open.

        ConfigError where those have no role.
        """
        found = batch_roles(roles, pools, records, self.directory, self.store, self.runtime, self.progress)
        if not found:
            return None
        lane = BatchLane(
            self.store,
            found,
            pools,
            self.directory.batches,
            progress=self.progress,
            budget=budget,
            stop=self.stop,
            check_space=check_space,
            retries_failed=retries_failed,
        )
        self.stack.push_async_callback(lane.close)
        await lane.open()
        return lane

    async def _transport(self, roles: Mapping[str, Role]) -> Transport:
        """The session's transport, with the reward models of `classifier:` addresses. UserError for one that cannot be loaded."""
        addresses = [address for role in roles.values() for address in role.endpoints if address.startswith(CLASSIFIER)]
        names = list(dict.fromkeys(address.removeprefix(CLASSIFIER) for address in addresses))
        load = self.runtime.load_reward_model
        if names and load is None:
            raise ConfigError(
                f"{addresses[0]} is scored on this machine, which needs Runtime(load_reward_model=...), such as "
                "clairgen_train.reward_model.load_reward_model"
            )
        models = {name: await asyncio.to_thread(load, name) for name in names if load is not None}
        transport = self.runtime.transport(self.progress.note)
        self.stack.push_async_callback(transport.close)
        if not models:
            return transport
        return await self.stack.enter_async_context(LocalRewards(transport, models, self.progress.note))

    async def run_tasks(
        self,
        work: AsyncIterator[Any],
        task: Callable[[Any], Awaitable[None]],
        *,
        in_flight: int,
        what: str,
    ) -> None:
        """Run `task` over `work`; once the session is to stop, for `drain_seconds` more. `what` is what is done to one."""
        cut_off = await run_tasks(
            work,
            task,
            in_flight=in_flight,
            stop=self.stop,
            drained_within=lambda: self.runtime.sleep(self.drain_seconds),
        )
        if cut_off:
            items, were = counted(cut_off, self.progress.noun), "was" if cut_off == 1 else "were"
            self.progress.note(
                f"{items} {were} still being {what} after {self.drain_seconds:g} s and {were} cut off; "
                "requests that were sent and not answered may be billed, and are sent again when you continue the run"
            )

    def log_start(self, roles: Mapping[str, Role], **facts: object) -> None:
        """Log what the session is about, and note what money it does not count."""
        self.progress.log_event(
            "started",
            version=__version__,
            models={name: {"model": role.model, "endpoints": role.endpoints} for name, role in roles.items()},
            pairs_to_make=self.progress.pairs_to_make,
            **facts,
        )
        unpriced = {
            name: role.model
            for name, role in roles.items()
            if (role.api_key_env is not None or role.headers) and role.price_per_million is None
        }
        if unpriced:
            self.progress.note(unpriced_sentence(unpriced))


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
    raise_open_file_limit()
    with directory.locked():
        async with AsyncExitStack() as stack:
            log = RunLog(directory.events)
            stack.callback(log.close)
            stack.push_async_callback(close_workers)
            progress.log_event, progress.log_texts = log.event, log_texts
            store = await stack.enter_async_context(writing(directory, progress.commit_seconds.add))
            tracing = open_traces(runtime, lambda sentence: progress.note(sentence, quotes=True), with_texts=log_texts)
            traces = await stack.enter_async_context(tracing)
            yield Session(directory, store, log, progress, stop, runtime, stack, drain_seconds, traces)
