"""A run on a Ray cluster, from the first node to the merged run: its replicas of models, its shards, and what they come to."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Final

from clairgen.config.file import config_yaml
from clairgen.config.models import RunConfig
from clairgen.copies.restoring import restore
from clairgen.copies.storage import open_storage
from clairgen.errors import ConfigError
from clairgen.iteration.served_command import vllm_words
from clairgen.pipeline.generate import Options
from clairgen.pipeline.merge_shards import MergeSummary, merge_shards
from clairgen.ray_cluster import OnRay
from clairgen.ray_cluster.equal_shares import share_of, share_sentence
from clairgen.ray_cluster.model_replicas import RemoteReplica, Replicas, Serving, at_replicas
from clairgen.ray_cluster.ray_session import (
    NodeFolder,
    RemoteActor,
    gpus_of_cluster,
    living_nodes,
    start_replica,
    start_shard,
    wait_for_nodes,
)
from clairgen.ray_cluster.shard_driver import Configuration, ShardsProgress, run_shards
from clairgen.ray_cluster.shard_process import ShardEnd, ShardJob
from clairgen.ray_cluster.spread_run import Settled, SpreadRun, copy_of, shard_options
from clairgen.store import RunDirectory, runs_inside
from clairgen.task_shard import TaskShard
from clairgen.wording import counted

_SECONDS_FOR_OTHERS: Final = 60.0
"""How long shards wait for further replicas once the first one serves, since a change has each begin a session anew."""
_POLL_SECONDS: Final = 0.5


async def settled_shards(
    run: SpreadRun, options: Options, on_ray: OnRay, progress: ShardsProgress, stop: asyncio.Event
) -> Settled:
    """What the run keeps, once the nodes that are waited for have joined."""
    if on_ray.nodes is not None:
        await wait_for_nodes(on_ray.nodes, progress.note, stop)
    return run.settled(on_ray.shards, len(living_nodes()), options, on_ray)


async def shards_made(
    config: RunConfig,
    run: SpreadRun,
    settled: Settled,
    options: Options,
    on_ray: OnRay,
    progress: ShardsProgress,
    stop: asyncio.Event,
) -> dict[TaskShard, ShardEnd]:
    """Make all shards of a run, each with what a coordinator leases it of the limits, or its share of them; how each ended."""
    run.keep(settled)
    count, share = settled.shards, config
    if options.coordinator is not None and options.no_budget:
        share = config.model_copy(update={"budget_usd": None})
    if options.coordinator is None:
        share = share_of(config, count, on_ray.vllm)
        budget_usd = options.budget_usd if options.budget_usd is not None else config.budget_usd
        shares = share_sentence(config, count, on_ray.vllm, None if options.no_budget else budget_usd)
        if shares is not None:
            progress.note(shares)
    configuration = Configuration("")
    async with _served(share, run, on_ray, configuration, progress, stop):
        words = shard_options(options, count, on_ray.shard_cpus)
        jobs = [
            ShardJob(shard, configuration.yaml, words, copy_of(options.copy_to, shard))
            for shard in (TaskShard(number, count) for number in range(1, count + 1))
        ]
        folder = NodeFolder(
            run.name,
            kept=str(run.shards) if options.copy_to is None else None,
            local=str(on_ray.local_folder) if on_ray.local_folder is not None else None,
        )

        token = options.coordinator.token if options.coordinator is not None else None

        def start(job: ShardJob) -> RemoteActor:
            return start_shard(job, folder, on_ray.shard_cpus, token)

        return await run_shards(jobs, start, configuration, progress, stop)


async def merged(
    config: RunConfig, run: SpreadRun, shards: Iterable[TaskShard], copy_to: Path | str | None
) -> MergeSummary:
    """Make one run of the shards, which are restored from their copies if they have some."""
    if copy_to is not None:
        _remove_collected(run.shards)
        for shard in shards:
            place = open_storage(str(copy_of(copy_to, shard)))
            await asyncio.to_thread(restore, place, RunDirectory(run.shards / str(shard.number)))
    summary = await merge_shards([run.shards], run.path)
    RunDirectory(run.path).save_config(config_yaml(config))  # that of a shard has its share of the limits
    if copy_to is not None:
        _remove_collected(run.shards)
    return summary


def _remove_collected(folder: Path) -> None:
    for shard in runs_inside(folder):
        shutil.rmtree(shard)


@contextlib.asynccontextmanager
async def _served(
    config: RunConfig,
    run: SpreadRun,
    on_ray: OnRay,
    configuration: Configuration,
    progress: ShardsProgress,
    stop: asyncio.Event,
) -> AsyncIterator[None]:
    """Serve a model by replicas while the block runs, if one is to be; `configuration` names those that serve."""
    configuration.yaml = config_yaml(config)
    if on_ray.vllm is None:
        yield
        return
    at_replicas(config, on_ray.vllm, ())
    count = on_ray.vllm_replicas or int(gpus_of_cluster() // on_ray.vllm_gpus)
    if count == 0:
        raise ConfigError(
            f"Ray's cluster has {counted(int(gpus_of_cluster()), 'GPU')}, and a replica takes {on_ray.vllm_gpus}; let nodes with "
            "GPUs join, or give --vllm-replicas to wait for them"
        )
    replicas = Replicas(on_ray.vllm, on_ray.vllm_gpus, vllm_words(on_ray.vllm_options))
    remotes = [start_replica(replicas, run.name) for _ in range(count)]

    def changed(urls: tuple[str, ...]) -> None:
        configuration.yaml = config_yaml(at_replicas(config, replicas.model, urls))

    serving = Serving(remotes, changed, progress.note)
    following = asyncio.create_task(serving.follow())
    watching = asyncio.create_task(_all_gave_up(remotes, progress, stop))
    try:
        await _first_urls(serving, count, watching, stop)
        yield
        if watching.done():
            raise watching.result()
    finally:
        for task in (following, watching):
            task.cancel()
        await asyncio.gather(following, watching, return_exceptions=True)


async def _first_urls(
    serving: Serving, count: int, giving_up: "asyncio.Task[ConfigError]", stop: asyncio.Event
) -> None:
    """Wait until all replicas serve, or the first has done so for a while. Raises ConfigError if all give up."""
    seconds = 0.0
    while len(serving.urls) < count and seconds < _SECONDS_FOR_OTHERS and not stop.is_set():
        if giving_up.done():
            raise giving_up.result()
        await asyncio.sleep(_POLL_SECONDS)
        seconds += _POLL_SECONDS if serving.urls else 0.0


async def _all_gave_up(replicas: Sequence[RemoteReplica], progress: ShardsProgress, stop: asyncio.Event) -> ConfigError:
    """Wait until no replica is left, and then stop the run; why the first one gave up."""
    reasons: list[str] = []
    for ended in asyncio.as_completed([replica.run() for replica in replicas]):
        reasons.append(await ended)
        progress.note(f"a replica gave up: {reasons[-1]}", quotes=True)
    stop.set()
    return ConfigError(f"no replica of --vllm is left; the first gave up since {reasons[0]}")
