"""The shards in a folder read as one store: what a merged run would have, in its order, without a copy of it.

Pairs come from all shards side by side, in the order of their tasks, and filters that compare pairs look at all of them. Only
what an export and lint read is there: anything else of such a store is an AttributeError, and never what one of the shards says.
"""

import contextlib
import heapq
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.pipeline import RunFilters
from clairgen.records import StoredPair, Task, Variant
from clairgen.store.advice import Advice, AdviceNumbers
from clairgen.store.completions import Completions, Thoughts
from clairgen.store.directory import runs_inside
from clairgen.store.filter_sets import FilterSets
from clairgen.store.metadata import SOURCE, TOKENIZER, Metadata, Plan
from clairgen.store.pairs import Pairs, summed_counts
from clairgen.store.revisions import HUMAN_REVISION, Revision, Revisions
from clairgen.store.scores import Scores
from clairgen.store.shard_folder import (
    ShardFolder,
    folder_of,
    reading_all,
    require_all_tasks,
    require_same_filters,
    require_same_run,
    run_shard,
    shard_facts,
)
from clairgen.store.store import Store
from clairgen.store.tasks import Tasks
from clairgen.store.votes import RecordedVote, Vote, Votes
from clairgen.task_shard import shards_named
from clairgen.wording import counted

_PAIRS_IN_MEMORY: Final = 8192
Placed = tuple[int, StoredPair]
"""A pair and its position in the order of tasks."""


@dataclass(frozen=True, slots=True)
class ShardStores:
    """The stores of the shards in a folder, by their run directories, and one store of them all."""

    folder: ShardFolder
    shards: Mapping[Path, Store]
    together: Store


@asynccontextmanager
async def reading_shards(folder: Path) -> AsyncIterator[ShardStores]:
    """The shards in a folder as one run, each as it is at one moment.

    Raises RunError for a folder with anything that is no shard, with a shard twice, or with shards of several runs: of other
    numbers of shards, other recipes, plans or tasks, or other filters.
    """
    async with reading_all(runs_inside(folder)) as stores:
        found = folder_of(folder, [(path, await run_shard(store)) for path, store in stores.items()])
        shards = {path: stores[path] for path in found.shards.values()}
        first, *others = [await shard_facts(path, store) for path, store in shards.items()]
        for one in (first, *others):
            require_all_tasks(one)
        for other in others:
            require_same_run(first, other)
            require_same_filters(first, other)
        yield ShardStores(found, shards, _together(list(shards.values())))


def shards_in_words(stores: ShardStores) -> str:
    """How many shards there are, and which are not in the folder."""
    found = counted(len(stores.shards), "shard")
    if not (missing := stores.folder.missing):
        return f"all {found}" if len(stores.shards) > 1 else found
    return f"{found}, without {shards_named(missing)}, not in {stores.folder.path}"


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
        return summed_counts([await store.pairs.statuses(limit) for store in self._shards])

    async def made_with_ids(self, ids: Iterable[str]) -> AsyncIterator[StoredPair]:
        wanted = dict.fromkeys(ids)
        for store in self.nearest:
            async for stored in store.pairs.made_with_ids(list(wanted)):
                yield stored
                del wanted[stored.id]
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
