"""The shards in a folder, read as one run: which they are, and that they can be taken together."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clairgen.errors import RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.pipeline.merge_shards import require_same_plans
from clairgen.pipeline.run_shard import run_shard
from clairgen.store import Plan, RunDirectory, Store, reading, runs_inside
from clairgen.task_shard import TaskShard


@dataclass(frozen=True, slots=True)
class ShardFolder:
    """The shards of a run in a folder, in their order; `missing` are those that are not there."""

    path: Path
    shards: Mapping[TaskShard, RunDirectory]
    missing: tuple[TaskShard, ...]


@dataclass(frozen=True, slots=True)
class SharedFacts:
    """What all shards of a run have in common: plans, and the filters in force, None before there are any."""

    plans: Mapping[str, Plan]
    filters: FilterSettings | None


async def shard_folder(path: Path) -> ShardFolder:
    """The shards in a folder. Raises RunError for a run that is no shard, for one shard twice, and for shards of two counts."""
    found: dict[TaskShard, RunDirectory] = {}
    for directory in map(RunDirectory, runs_inside(path)):
        async with reading(directory) as store:
            shard = await run_shard(store)
        if shard is None:
            raise RunError(
                f"{directory.path} is no shard, but a run of its own; name it alone, or take it out of {path}"
            )
        if (other := found.setdefault(shard, directory)) is not directory:
            raise RunError(f"{other.path} and {directory.path} are both shard {shard}; take one of them out of {path}")
    counts = sorted({shard.count for shard in found})
    if len(counts) != 1:
        raise RunError(f"{path} has shards of {' and of '.join(map(str, counts))}; give each run a folder of its own")
    ordered = {shard: found[shard] for shard in sorted(found, key=lambda one: one.number)}
    every = (TaskShard(number, counts[0]) for number in range(1, counts[0] + 1))
    return ShardFolder(path, ordered, tuple(shard for shard in every if shard not in found))


async def shared_facts(stores: Mapping[Path, Store]) -> SharedFacts:
    """What shards have in common, by their folders. Raises RunError where their plans or their filters differ.

    One that has not begun, and so has no plans, is left out.
    """
    first: tuple[Path, SharedFacts] | None = None
    for path, store in stores.items():
        if not (plans := await store.metadata.plans()):
            continue
        in_force = await store.filter_sets.in_force()
        filters = None if in_force is None else FilterSettings.from_record(in_force[1])
        if first is None:
            first = path, SharedFacts(plans, filters)
            continue
        require_same_plans(first[1].plans, plans, first[0], path)
        if filters != first[1].filters:
            raise RunError(
                f"{path} has other filters in force than {first[0]}, so their pairs cannot be counted together; apply the same "
                "to both with clairgen filter, or merge the shards, which applies those of one to all"
            )
    return SharedFacts({}, None) if first is None else first[1]
