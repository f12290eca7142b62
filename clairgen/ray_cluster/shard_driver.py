"""Drives the shards of a run, wherever their processes are: starts all, adds up what they do, drains them, awaits their ends."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Protocol

from clairgen.errors import DRAINED, FAILED, USER
from clairgen.keys import digest
from clairgen.pipeline.progress import Counters, Money, Progress, RoleCounters
from clairgen.ray_cluster.shard_process import ShardEnd, ShardJob, ShardState
from clairgen.task_shard import TaskShard
from clairgen.wording import counted

_POLL_SECONDS: Final = 2.0
_SECONDS_TO_ANSWER: Final = 30.0
_SECONDS_TO_NOTE: Final = 30.0


class RemoteShard(Protocol):
    """A shard's process somewhere; see `ShardProcess`. Its node may be lost, and it goes on on another one."""

    async def run(self) -> ShardEnd:
        """Wait until it ends."""

    async def state(self) -> ShardState | None:
        """Where it is, once it is somewhere; None while it cannot be reached."""

    async def reconfigure(self, configuration: str) -> None:
        """Let it go on with another configuration, if it can be reached."""

    async def drain(self) -> None:
        """Let it finish what is in flight; raises TimeoutError if it cannot be reached."""

    def kill(self) -> None:
        """End it at once, wherever it is or waits to be; whoever waits for its end gets one."""


class ShardsProgress(Progress):
    """The sums of all shards' counters; those of sessions that were killed count as long as others go on from them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._states: dict[TaskShard, ShardState] = {}
        self._reached_at: dict[TaskShard, float] = {}
        self._former: dict[TaskShard, list[Counters]] = {}

    def update(self, shard: TaskShard, state: ShardState) -> None:
        """Take in where a shard is."""
        before = self._states.get(shard)
        self._states[shard], self._reached_at[shard] = state, self._clock()
        if before is None:
            return
        if before.node != state.node:
            self.note(f"shard {shard} goes on on {state.node}; it was on {before.node}")
        if before.counters is not None and (state.counters is None or state.counters.seconds < before.counters.seconds):
            self._former.setdefault(shard, []).append(_ended(before.counters))

    def has_begun(self, shard: TaskShard) -> bool:
        """Whether a shard has been on a node."""
        return shard in self._states

    def silent_seconds(self, shard: TaskShard) -> float:
        """Since when a shard that has been on a node could not be reached."""
        return self._clock() - self._reached_at[shard]

    def counters(self, seconds: float) -> Counters:
        """The sums as they stand now."""
        last = [state.counters for state in self._states.values() if state.counters is not None]
        former = [one for several in self._former.values() for one in several]
        every = [*former, *last]
        roles = sorted({name for one in every for name in one.roles})
        return Counters(
            seconds,
            sum(one.pairs_to_make for one in last) + sum(one.done for one in former),
            _summed([one.made for one in every]),
            _summed([one.failed for one in every]),
            {name: _role([one.roles[name] for one in every if name in one.roles]) for name in roles},
            _money([one.money for one in last]),
        )


@dataclass(slots=True)
class Configuration:
    """The configuration of all shards, as YAML, which may change while they are made."""

    yaml: str


async def run_shards(
    jobs: Sequence[ShardJob],
    start: Callable[[ShardJob], RemoteShard],
    configuration: Configuration,
    progress: ShardsProgress,
    stop: asyncio.Event,
    *,
    poll_seconds: float = _POLL_SECONDS,
) -> dict[TaskShard, ShardEnd]:
    """Start all shards and wait until each has ended; the ends of all.

    Once `stop` is set they drain. It is set here when one fails for a reason that the others would meet as well.
    """
    shards = {job.shard: start(job) for job in jobs}
    ends: dict[TaskShard, ShardEnd] = {}

    async def finish(shard: TaskShard, remote: RemoteShard) -> None:
        async with _background(_follow(shard, remote, configuration, progress, poll_seconds)):
            try:
                ends[shard] = end = await remote.run()
                await _look(shard, remote, progress)
            finally:
                remote.kill()
        if ends_all(end):
            stop.set()
        else:
            _note_end(progress, shard, end, len(jobs) - len(ends))

    async def drain() -> None:
        await stop.wait()
        while True:
            await asyncio.gather(*(_drained(remote) for shard, remote in shards.items() if shard not in ends))
            await asyncio.sleep(poll_seconds)

    async with _background(drain()), _background(_note_waits(progress, shards, ends)):
        try:
            async with asyncio.TaskGroup() as group:
                for shard, remote in shards.items():
                    group.create_task(finish(shard, remote))
        finally:
            for remote in shards.values():
                remote.kill()
    return ends


def ends_all(end: ShardEnd) -> bool:
    """Whether a shard ended for a reason that concerns all: the user's mistake, endpoints that cannot serve, crashes."""
    return end.is_crash or (end.code not in (0, FAILED, DRAINED) and not end.has_reached_its_budget)


@contextlib.asynccontextmanager
async def _background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do `work` while the block runs."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _follow(
    shard: TaskShard, remote: RemoteShard, configuration: Configuration, progress: ShardsProgress, seconds: float
) -> None:
    while True:
        if (state := await _look(shard, remote, progress)) is not None:
            wanted = configuration.yaml
            if state.configuration != digest(wanted):  # also after another node began with that of the job
                await remote.reconfigure(wanted)
        await asyncio.sleep(seconds)


async def _note_waits(
    progress: ShardsProgress, shards: Iterable[TaskShard], ends: Mapping[TaskShard, ShardEnd]
) -> None:
    """Note what shards wait for, each time that this changes."""
    said: list[str] = []
    while True:
        await asyncio.sleep(_SECONDS_TO_NOTE)
        found = list(_waits(progress, shards, ends))
        for sentence in found:
            if sentence not in said:
                progress.note(sentence)
        said = found


def _waits(progress: ShardsProgress, shards: Iterable[TaskShard], ends: Mapping[TaskShard, ShardEnd]) -> Iterator[str]:
    left = [shard for shard in shards if shard not in ends]
    waiting = [shard for shard in left if not progress.has_begun(shard)]
    lost = [shard for shard in left if shard not in waiting and progress.silent_seconds(shard) > _SECONDS_TO_NOTE]
    if waiting:
        yield f"{counted(len(waiting), 'shard')} of {left[0].count} wait for room on the cluster (--shard-cpus)"
    if lost:
        yield (
            f"{counted(len(lost), 'shard')} of {left[0].count} cannot be reached, such as {lost[0]}: if its node is lost, it "
            "goes on as soon as another one has room for it (--shard-cpus), or a new one joins"
        )


async def _look(shard: TaskShard, remote: RemoteShard, progress: ShardsProgress) -> ShardState | None:
    if (state := await remote.state()) is not None:
        progress.update(shard, state)
    return state


async def _drained(remote: RemoteShard) -> None:
    """Drain a shard; one that waits for a node, or whose node is lost, has nothing in flight and ends at once."""
    try:
        await asyncio.wait_for(remote.drain(), _SECONDS_TO_ANSWER)
    except TimeoutError:
        remote.kill()


def _note_end(progress: ShardsProgress, shard: TaskShard, end: ShardEnd, left: int) -> None:
    others = f"{counted(left, 'shard')} left"
    if end.code in (0, FAILED):
        progress.note(f"shard {shard} is made; {others}")
    elif end.code == USER:
        progress.note(f"shard {shard} has reached its budget; {others}")


def _ended(counters: Counters) -> Counters:
    """The counters of a session that was killed, of which nothing is in flight any more."""
    roles = {name: replace(role, in_flight=0, waiting=0) for name, role in counters.roles.items()}
    return replace(counters, roles=roles)


def _summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return dict(sum((Counter(one) for one in counts), Counter[str]()))


def _role(several: Sequence[RoleCounters]) -> RoleCounters:
    costs = [one.cost_usd for one in several if one.cost_usd is not None]
    sums = {
        name: sum(getattr(one, name) for one in several)
        for name in ("sent", "answered", "stored", "failed", "prompt_tokens", "completion_tokens")
    }
    return RoleCounters(
        **sums,
        failed_attempts=_summed([one.failed_attempts for one in several]),
        cost_usd=sum(costs) if costs else None,
        in_flight=sum(one.in_flight for one in several),
        waiting=sum(one.waiting for one in several),
    )


def _money(several: Sequence[Money]) -> Money:
    budgets = [one.budget_usd for one in several if one.budget_usd is not None]
    names = [field.name for field in fields(Money) if not field.name.startswith("shared_")]
    sums = {name: sum(getattr(one, name) for one in several) for name in names if name != "budget_usd"}
    return Money(**sums, budget_usd=sum(budgets) if budgets else None)
