"""The shards in a folder: which they are, which are missing, and that they can be taken together as one run."""

import json
import resource
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clairgen.config.differences import differences, sentence
from clairgen.errors import RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.store.directory import RunDirectory, runs_inside
from clairgen.store.metadata import SHARD, SOURCE, TOKENIZER, Plan, same_source
from clairgen.store.store import Store, reading
from clairgen.task_shard import TaskShard

_FILES_OF_A_SHARD: Final = 3
_OTHER_FILES: Final = 256


@dataclass(frozen=True, slots=True)
class ShardFolder:
    """The run directories of the shards in a folder, in the shards' order; `missing` are those that are not there."""

    path: Path
    shards: Mapping[TaskShard, Path]
    missing: tuple[TaskShard, ...] = ()


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """What all shards of a run have in common, as one of them says it.

    `filters` are those in force, None before there are any; `source` is how far the tasks were read, None before that began.
    """

    path: Path
    plans: Mapping[str, Plan]
    source: Mapping[str, Any] | None
    filters: FilterSettings | None
    filters_version: int | None
    tokenizer: str | None

    @property
    def has_all_tasks(self) -> bool:
        """Whether the tasks were read to the end."""
        return self.source is not None and bool(self.source["complete"])

    def is_filtered_as(self, other: "ShardFacts") -> bool:
        """Whether filters find the same in a pair of one and in the same pair of the other."""
        return (self.filters, self.filters_version, self.tokenizer) == (
            other.filters,
            other.filters_version,
            other.tokenizer,
        )


async def run_shard(store: Store) -> TaskShard | None:
    """The shard that a run is; None for a run of all tasks."""
    value = await store.metadata.get(SHARD)
    return None if value is None else TaskShard.parse(value)


async def shard_folder(path: Path) -> ShardFolder:
    """The shards in a folder. Raises RunError as `folder_of` does."""
    found = []
    for run in runs_inside(path):
        async with reading(RunDirectory(run)) as store:
            found.append((run, await run_shard(store)))
    return folder_of(path, found)


def folder_of(path: Path, runs: Iterable[tuple[Path, TaskShard | None]]) -> ShardFolder:
    """A folder, by the runs in it and what each is.

    Raises RunError for a run that is no shard, for one shard twice, and for shards of several numbers of shards.
    """
    found: dict[TaskShard, Path] = {}
    for run, shard in runs:
        if shard is None:
            raise RunError(f"{run} is no shard, but a run of its own; name it alone, or take it out of {path}")
        if (other := found.setdefault(shard, run)) is not run:
            raise RunError(f"{other} and {run} are both shard {shard}; take one of them out of {path}")
    counts = sorted({shard.count for shard in found})
    if len(counts) > 1:
        raise RunError(f"{path} has shards of {' and of '.join(map(str, counts))}; give each run a folder of its own")
    ordered = {shard: found[shard] for shard in sorted(found, key=lambda one: one.number)}
    every = (TaskShard(number, count) for count in counts for number in range(1, count + 1))
    return ShardFolder(path, ordered, tuple(shard for shard in every if shard not in found))


@asynccontextmanager
async def reading_all(runs: Sequence[Path]) -> AsyncIterator[dict[Path, Store]]:
    """The stores of several runs for reading, each as it is at one moment, by their run directories."""
    allow_open_files(len(runs))
    async with AsyncExitStack() as stack:
        yield {run: await stack.enter_async_context(reading(RunDirectory(run), snapshot=True)) for run in runs}


async def shard_facts(path: Path, store: Store) -> ShardFacts:
    """What a shard says of itself."""
    in_force = await store.filter_sets.in_force()
    return ShardFacts(
        path,
        await store.metadata.plans(),
        json.loads(await store.metadata.get(SOURCE) or "null"),
        FilterSettings.from_record(in_force[1]) if in_force else None,
        await store.filter_sets.version(in_force[0]) if in_force else None,
        await store.metadata.get(TOKENIZER),
    )


def require_all_tasks(one: ShardFacts) -> None:
    """Raise RunError for a shard that has not read its tasks to the end."""
    if not one.has_all_tasks:
        raise RunError(
            f"{one.path} has not read all its tasks: it was stopped before it began; run its generate again, or leave it out"
        )


def require_same_run(one: ShardFacts, other: ShardFacts) -> None:
    """Raise RunError where two shards are not of one run: other plans, or other tasks."""
    require_same_plans(one.plans, other.plans, one.path, other.path)
    if one.source is None or other.source is None:
        return
    keys = ("rows", "duplicates", "bad_rows") if one.has_all_tasks and other.has_all_tasks else ()
    is_same = same_source(one.source["source"], other.source["source"])
    if not is_same or any(one.source[key] != other.source[key] for key in keys):
        raise RunError(
            f"{other.path} has other tasks than {one.path}: its source was another one, or has changed; only shards of one "
            "source go together"
        )


def require_same_plans(one: Mapping[str, Plan], other: Mapping[str, Plan], name: Path, name_of_other: Path) -> None:
    """Raise RunError unless the plans of two shards, of these names, are the same."""
    before, now = ({recipe: dict(plan.facts) for recipe, plan in plans.items()} for plans in (one, other))
    if changed := "; ".join(map(sentence, differences(before, now))):
        raise RunError(
            f"{name_of_other} was made by other plans than {name} ({changed}); only shards of one configuration go together"
        )


def require_same_filters(one: ShardFacts, other: ShardFacts) -> None:
    """Raise RunError where the pairs of two shards were filtered otherwise, so that they cannot be counted together."""
    if not one.is_filtered_as(other):
        raise RunError(
            f"{other.path} has other filters in force than {one.path}; apply the same to both with clairgen filter, or merge the "
            "shards, which applies those of one to all"
        )


def allow_open_files(shards: int) -> None:
    """Raise the limit of open files of this process if those of so many shards do not fit.

    Raises RunError where it may not be raised so far.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = shards * _FILES_OF_A_SHARD + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise RunError(
            f"so many shards take {wanted:,} open files, and {hard:,} are allowed (ulimit -n); merge some of them"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
