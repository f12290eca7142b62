"""All shards driven at once, over shards that are scripted: their sums, what one end means for the others, and draining."""

import asyncio
from dataclasses import replace

import pytest

from clairgen.errors import DRAINED, ENDPOINTS, USER
from clairgen.keys import digest
from clairgen.pipeline.progress import Counters, Money, Progress
from clairgen.ray_cluster import shard_driver
from clairgen.ray_cluster.shard_driver import Configuration, ShardsProgress, run_shards
from clairgen.ray_cluster.shard_process import ShardEnd, ShardJob, ShardState
from clairgen.task_shard import TaskShard
from tests.clocks import FakeClock

SHARDS = [TaskShard(number, 3) for number in (1, 2, 3)]
JOBS = [ShardJob(shard, "") for shard in SHARDS]
WANTED = "the configuration by now"
BUDGET = ShardEnd(USER, "The budget is reached.", "a")


class Scripted:
    """A shard that ends as it is told to, or when it is drained; one without a node answers nobody."""

    def __init__(self, end: ShardEnd | None, *, has_node: bool = True) -> None:
        self.has_node, self.killed, self.drained = has_node, False, False
        self.configurations: list[str] = []
        self._end, self._told = end, asyncio.Event()

    async def run(self) -> ShardEnd:  # noqa: D102 - see RemoteShard
        if self._end is None:
            await self._told.wait()
        return self._end or ShardEnd(DRAINED, "", "a")

    async def state(self) -> ShardState | None:  # noqa: D102 - see RemoteShard
        return ShardState("a", None, digest("".join(self.configurations[-1:]))) if self.has_node else None

    async def reconfigure(self, configuration: str) -> None:  # noqa: D102 - see RemoteShard
        self.configurations.append(configuration)

    async def drain(self) -> None:  # noqa: D102 - see RemoteShard
        self.drained = True
        if not self.has_node:
            raise TimeoutError
        self._told.set()

    def kill(self) -> None:  # noqa: D102 - see RemoteShard
        self.killed = True
        self._told.set()


async def made(*shards: Scripted, stop: asyncio.Event | None = None) -> tuple[list[int], list[str]]:
    by_shard = dict(zip(SHARDS, shards, strict=True))
    progress = ShardsProgress()
    ends = await run_shards(
        JOBS,
        lambda job: by_shard[job.shard],
        Configuration(WANTED),
        progress,
        stop or asyncio.Event(),
        poll_seconds=0.001,
    )
    assert all(shard.killed for shard in shards)
    return [ends[shard].code for shard in SHARDS], progress.notes


async def test_all_shards_are_made() -> None:
    codes, notes = await made(*(Scripted(ShardEnd(code, "", "a")) for code in (0, 1, 0)))
    assert codes == [0, 1, 0]
    assert notes[-1].endswith("is made; 0 shards left")


@pytest.mark.parametrize(
    "end", [ShardEnd(USER, "Error: no such file", "a"), ShardEnd(ENDPOINTS, "", "a"), ShardEnd(-11, "", "a")]
)
async def test_a_shard_that_fails_for_good_drains_the_others(end: ShardEnd) -> None:
    waiting, running = Scripted(None, has_node=False), Scripted(None)
    codes, _ = await made(Scripted(end), waiting, running)
    assert codes == [end.code, DRAINED, DRAINED]
    assert running.drained


async def test_a_budget_that_is_reached_leaves_the_others_alone() -> None:
    other = Scripted(ShardEnd(0, "", "a"))
    codes, notes = await made(Scripted(BUDGET), other, Scripted(BUDGET))
    assert codes == [USER, 0, USER]
    assert not other.drained
    assert any("has reached its budget" in note for note in notes)


async def test_a_stop_drains_all_and_kills_what_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_driver, "_SECONDS_TO_ANSWER", 0.01)
    stop = asyncio.Event()
    stop.set()
    codes, _ = await made(Scripted(None), Scripted(None), Scripted(None, has_node=False), stop=stop)
    assert codes == [DRAINED] * 3


async def test_a_changed_configuration_is_told_to_each_shard_once() -> None:
    shards = [Scripted(None) for _ in SHARDS]
    stop = asyncio.Event()
    driving = asyncio.create_task(made(*shards, stop=stop))
    await asyncio.sleep(0.05)
    stop.set()
    await driving
    assert [shard.configurations for shard in shards] == [[WANTED]] * 3


async def test_a_cancelled_driver_kills_its_shards() -> None:
    shards = [Scripted(None) for _ in SHARDS]
    driving = asyncio.create_task(made(*shards))
    await asyncio.sleep(0.01)
    driving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await driving
    assert all(shard.killed for shard in shards)


def counted(seconds: float, to_make: int, made: int) -> Counters:
    role = Progress()
    role.role("target").sent = made
    counters = role.counters(seconds)
    return replace(counters, pairs_to_make=to_make, made={"clair": made}, money=Money(spent_usd=made / 10))


def test_the_sums_go_on_over_a_lost_node() -> None:
    progress = ShardsProgress()
    progress.update(SHARDS[0], ShardState("a", counted(9, 10, 4)))
    progress.update(SHARDS[1], ShardState("b", counted(9, 10, 10)))
    progress.update(SHARDS[0], ShardState("b", counted(1, 6, 1)))
    sums = progress.counters(11)
    assert (sums.pairs_to_make, sums.made, sums.done) == (20, {"clair": 15}, 15)
    assert sums.roles["target"].sent == 15
    assert sums.money.spent_usd == pytest.approx(1.1)
    assert progress.notes == ["shard 1/3 goes on on b; it was on a"]


def test_shards_that_wait_for_a_node_are_noted() -> None:
    clock = FakeClock()
    progress = ShardsProgress(clock)
    progress.update(SHARDS[0], ShardState("a", None))
    clock.seconds += 20
    progress.update(SHARDS[1], ShardState("b", None))
    clock.seconds += 20
    assert list(shard_driver._waits(progress, SHARDS, {})) == [
        "1 shard of 3 wait for room on the cluster (--shard-cpus)",
        (
            "1 shard of 3 cannot be reached, such as 1/3: if its node is lost, it goes on as soon as another one has room for it "
            "(--shard-cpus), or a new one joins"
        ),
    ]
    ended = dict.fromkeys(SHARDS, BUDGET)
    assert list(shard_driver._waits(progress, SHARDS, ended)) == []
