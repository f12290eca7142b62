"""The shards in a folder, read as one run: what a merged run would have, in its order, without a copy of it.

Pairs come from all shards side by side, in the order of their tasks, and filters that compare pairs look at all of them. Only
what an export and lint read is there: anything else of such a store is an AttributeError, and never what one of the shards says.
"""

import contextlib
import heapq
import json
import resource
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from clairgen.errors import RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.pipeline import RunFilters
from clairgen.records import StoredPair, Task, Variant
from clairgen.store.advice import Advice, AdviceNumbers
from clairgen.store.completions import Completions, Thoughts
from clairgen.store.directory import RunDirectory, runs_inside
from clairgen.store.metadata import SHARD, SOURCE, TOKENIZER, FilterSets, Metadata, Plan
from clairgen.store.pairs import Pairs
from clairgen.store.revisions import HUMAN_REVISION, Revision, Revisions
from clairgen.store.scores import Scores
from clairgen.store.store import Store, reading
from clairgen.store.tasks import Tasks
from clairgen.store.votes import RecordedVote, Vote, Votes
from clairgen.task_shard import TaskShard
from clairgen.wording import counted

_PAIRS_IN_MEMORY: Final = 8192
_FILES_OF_A_SHARD: Final = 3
Placed = tuple[int, StoredPair]
"""A pair and its position in the order of tasks."""


@dataclass(frozen=True, slots=True)
class ShardStores:
    """The stores of the shards in `folder`, by their run directories, and one store of them all; `missing` are not there."""

    folder: Path
    shards: dict[Path, Store]
    together: Store
    missing: tuple[TaskShard, ...] = ()


@asynccontextmanager
async def reading_shards(folder: Path) -> AsyncIterator[ShardStores]:
    """The shards in a folder as one run, each as it is at one moment.

    Raises RunError for a folder with anything that is no shard, with a shard twice, or with shards of several runs: of other
    numbers of shards, other recipes, plans or tasks, or other filters.
    """
    runs = runs_inside(folder)
    _allow_files(len(runs) * _FILES_OF_A_SHARD)
    async with AsyncExitStack() as stack:
        shards = {path: await stack.enter_async_context(reading(RunDirectory(path), snapshot=True)) for path in runs}
        described = {path: await _described(path, store) for path, store in shards.items()}
        missing = _missing(folder, {path: one.shard for path, one in described.items()})
        first, *others = described
        for other in others:
            _require_same(first, described[first], other, described[other])
        yield ShardStores(folder, shards, _together(list(shards.values())), missing)


def shards_in_words(stores: ShardStores) -> str:
    """How many shards there are, and which are not in the folder."""
    found = counted(len(stores.shards), "shard")
    if not stores.missing:
        return f"all {found}" if len(stores.shards) > 1 else found
    return f"{found}, without {', '.join(map(str, stores.missing))}, not in {stores.folder}"


@dataclass(frozen=True, slots=True)
class _Described:
    """Which shard a run is, and what has to be the same in all of them."""

    shard: TaskShard
    plans: dict[str, Any]
    tasks: tuple[Any, ...]
    filters: tuple[Any, ...]


async def _described(path: Path, store: Store) -> _Described:
    shard, source = await store.metadata.get(SHARD), json.loads(await store.metadata.get(SOURCE) or "null")
    if shard is None:
        raise RunError(
            f"{path} is no shard, but a run of its own; name it alone, or take it out of the folder of shards"
        )
    if source is None or not source["complete"]:
        raise RunError(
            f"{path} has not read all its tasks: it was stopped before it began; run its generate again, or leave it out"
        )
    in_force = await store.filter_sets.in_force()
    return _Described(
        TaskShard.parse(shard),
        {name: dict(plan.facts) for name, plan in (await store.metadata.plans()).items() if name != HUMAN_REVISION},
        ({**source["source"], "touched": None}, source["rows"], source["duplicates"], source["bad_rows"]),
        (
            FilterSettings.from_record(in_force[1]) if in_force else None,
            await store.filter_sets.version(in_force[0]) if in_force else None,
            await store.metadata.get(TOKENIZER),
        ),
    )


def _missing(folder: Path, shards: dict[Path, TaskShard]) -> tuple[TaskShard, ...]:
    counts = sorted({shard.count for shard in shards.values()})
    if len(counts) > 1:
        raise RunError(f"{folder} has shards of {' and of '.join(map(str, counts))}; give each run a folder of its own")
    found: dict[TaskShard, Path] = {}
    for path, shard in shards.items():
        if (other := found.setdefault(shard, path)) is not path:
            raise RunError(f"{other} and {path} are both shard {shard}; take one of them out of {folder}")
    every = (TaskShard(number, counts[0]) for number in range(1, counts[0] + 1))
    return tuple(shard for shard in every if shard not in found)


def _require_same(path: Path, one: _Described, path_of_other: Path, other: _Described) -> None:
    for what, differ, instead in (
        ("recipes or plans", one.plans != other.plans, "name only shards of one configuration"),
        ("tasks", one.tasks != other.tasks, "name only shards of one source"),
        (
            "filters",
            one.filters != other.filters,
            "apply the same to all with clairgen filter, or merge the shards first",
        ),
    ):
        if differ:
            raise RunError(f"{path_of_other} has other {what} than {path}; {instead}")


def _allow_files(needed: int) -> None:
    """Raise the limit of open files of this process as far as it may be, if so many more do not fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed + 256
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise RunError(
            f"so many shards take {wanted:,} open files, and {hard:,} are allowed (ulimit -n); merge some of them"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _together(shards: Sequence[Store]) -> Store:
    """A store of all shards. Its parts have no reader of their own."""
    metadata = _Metadata(shards)
    pairs = _Pairs(shards, metadata)
    parts: dict[str, Any] = dict.fromkeys(part.name for part in fields(Store))
    parts |= {
        "tasks": _Tasks(pairs),
        "completions": _Completions(pairs),
        "pairs": pairs,
        "filter_sets": _FilterSets(shards),
        "metadata": metadata,
        "scores": _Scores(shards),
        "advice": _Advice(shards),
        "votes": _Votes(shards),
        "revisions": _Revisions(shards),
    }
    return Store(**parts)


class _Metadata(Metadata):
    def __init__(self, shards: Sequence[Store]) -> None:
        self._shards = shards

    async def get(self, key: str) -> str | None:
        return await self._shards[0].metadata.get(key) if key in (TOKENIZER, SOURCE) else self._unknown(key)

    def _unknown(self, key: str) -> str | None:
        raise AttributeError(f"shards have no {key} together")

    async def configuration(self) -> str | None:
        return await self._shards[0].metadata.configuration()

    async def templates(self) -> list[tuple[str, str]]:
        return sorted({one for store in self._shards for one in await store.metadata.templates()})

    async def plans(self) -> dict[str, Plan]:
        return {name: plan for store in self._shards for name, plan in (await store.metadata.plans()).items()}


class _FilterSets(FilterSets):
    def __init__(self, shards: Sequence[Store]) -> None:
        self._shards = shards

    async def in_force(self) -> tuple[int, str] | None:
        return await self._shards[0].filter_sets.in_force()


class _Pairs(Pairs):
    """The pairs of all shards; `nearest` has the shards in the order in which to look up what belongs to the last pair."""

    def __init__(self, shards: Sequence[Store], metadata: _Metadata) -> None:
        self._shards = shards
        self._metadata = metadata
        self._last = 0

    @property
    def nearest(self) -> Iterator[Store]:
        yield self._shards[self._last]
        yield from (store for number, store in enumerate(self._shards) if number != self._last)

    async def made(self, recipe: str, lost_by: Sequence[str] | None = None) -> AsyncIterator[StoredPair]:
        over_the_run = await self._over_the_run(recipe)
        page = max(1, _PAIRS_IN_MEMORY // len(self._shards))
        among = lost_by if over_the_run is None else None  # what compares pairs has to see all of them
        streams = [store.pairs.placed(recipe, among, page) for store in self._shards]
        # Edits have positions of their own in each shard, and are merged shard after shard.
        async for number, stored in _one_by_one(streams) if recipe == HUMAN_REVISION else _in_order(streams):
            self._last = number
            if over_the_run is not None:
                prompt = stored.task.messages
                findings = over_the_run.settle(stored.outcome, stored.contrast, stored.findings, prompt=prompt)
                yield replace(stored, findings=findings)
            else:
                yield stored

    async def left_out(self, recipe: str, lost_by: Sequence[str]) -> dict[str, int]:
        if await self._over_the_run(recipe) is not None:
            return {}  # `made` gives them all
        found = Counter[str]()
        for store in self._shards:
            found.update(await store.pairs.left_out(recipe, lost_by))
        return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))

    async def _over_the_run(self, recipe: str) -> RunFilters | None:
        """The filters in force that compare the pairs of a recipe with each other; None if none do."""
        plan, in_force = (await self._metadata.plans())[recipe], await self._shards[0].filter_sets.in_force()
        settings = FilterSettings.from_record(in_force[1]) if in_force is not None else None
        if settings is None or not settings.compares_pairs:
            return None
        return RunFilters(settings.of(recipe), revises=plan.revises)

    async def statuses(self, limit: int | None = None) -> dict[str, dict[str, int]]:
        found = defaultdict[str, Counter[str]](Counter)
        for store in self._shards:
            for recipe, counts in (await store.pairs.statuses(limit)).items():
                found[recipe] += Counter(counts)
        return {recipe: dict(counts) for recipe, counts in found.items()}

    async def made_with_ids(self, ids: Iterable[str]) -> AsyncIterator[StoredPair]:
        wanted = list(ids)
        for store in self.nearest:
            async for stored in store.pairs.made_with_ids(wanted):
                yield stored
                wanted.remove(stored.id)
            if not wanted:
                return


class _Tasks(Tasks):
    def __init__(self, pairs: _Pairs) -> None:
        self._pairs = pairs

    async def find(self, task_id: str) -> Task:
        for store in self._pairs.nearest:
            with contextlib.suppress(KeyError):
                return await store.tasks.find(task_id)
        raise KeyError(task_id)


class _Completions(Completions):
    def __init__(self, pairs: _Pairs) -> None:
        self._pairs = pairs

    async def thoughts(self, key: str) -> Thoughts | None:
        for store in self._pairs.nearest:
            if (found := await store.completions.thoughts(key)) is not None:
                return found
        return None


class _Scores(Scores):
    def __init__(self, shards: Sequence[Store]) -> None:
        self._shards = shards

    async def criteria(self, recipe: str) -> list[str]:
        return list(dict.fromkeys([name for store in self._shards for name in await store.scores.criteria(recipe)]))


class _Advice(Advice):
    def __init__(self, shards: Sequence[Store]) -> None:
        self._shards = shards

    async def numbers(self) -> list[AdviceNumbers]:
        counts = Counter[tuple[str, Variant, str]]()
        for one in [one for store in self._shards for one in await store.advice.numbers()]:
            counts[one.recipe, one.objective, one.by] += one.pairs
        found = [AdviceNumbers(*key, count) for key, count in counts.items()]
        by_name = sorted(found, key=lambda one: one.by)
        return sorted(sorted(by_name, key=lambda one: one.objective.value, reverse=True), key=lambda one: one.recipe)


class _Votes(Votes):
    def __init__(self, shards: Sequence[Store]) -> None:
        self._shards = shards

    async def all(self, recipes: Sequence[str]) -> list[RecordedVote]:
        return [one for store in self._shards for one in await store.votes.all(recipes)]

    async def majorities(self, recipe: str | None = None) -> dict[str, Vote | None]:
        return {pair: vote for store in self._shards for pair, vote in (await store.votes.majorities(recipe)).items()}


class _Revisions(Revisions):
    def __init__(self, shards: Sequence[Store]) -> None:
        self._shards = shards

    async def all(self) -> list[Revision]:
        return [one for store in self._shards for one in await store.revisions.all()]


async def _in_order(streams: Sequence[AsyncGenerator[Placed, None]]) -> AsyncIterator[tuple[int, StoredPair]]:
    """The pairs of all streams, each of which is in order, by their positions; with the number of the stream."""
    first = [(number, await anext(stream, None)) for number, stream in enumerate(streams)]
    waiting = [(placed[0], number, placed[1]) for number, placed in first if placed is not None]
    heapq.heapify(waiting)
    while waiting:
        _, number, stored = waiting[0]
        yield number, stored
        if (placed := await anext(streams[number], None)) is None:
            heapq.heappop(waiting)
        else:
            heapq.heapreplace(waiting, (placed[0], number, placed[1]))


async def _one_by_one(streams: Sequence[AsyncGenerator[Placed, None]]) -> AsyncIterator[tuple[int, StoredPair]]:
    for number, stream in enumerate(streams):
        async for _, stored in stream:
            yield number, stored
