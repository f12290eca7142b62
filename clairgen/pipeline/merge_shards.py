"""Makes one run of shards: everything that was paid for, under the same ids, as if one machine had made it all.

A few shards are merged in one transaction, so that a merge that was killed is run again; what was merged before adds nothing. Of
the metadata, filters, tokenizer and source come from the first shard, the budget is the sum of the shards' budgets, and the
rest is the run's own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from clairgen.errors import RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.installed import __version__
from clairgen.metrics.contrast import DEFAULT_TOKENIZER
from clairgen.pipeline.budget_limit import BudgetLimit, remembered_limit, remembered_row
from clairgen.pipeline.config_changes import CONFIGURED_FILTERS
from clairgen.pipeline.ingest import IngestState, ingest_state, state_row
from clairgen.pipeline.refilter import UNSETTLED, filter_again, refilter, settle_run_filters, unsettled_rows
from clairgen.pipeline.run_shard import MERGED
from clairgen.store import (
    SHARDS_AT_ONCE,
    MergedShard,
    MergeRecord,
    RunDirectory,
    ShardFacts,
    ShardToMerge,
    Store,
    merging,
    reading,
    require_all_tasks,
    require_same_plans,
    require_same_run,
    run_shard,
    runs_inside,
    shard_facts,
    writing,
)
from clairgen.store.metadata import SHARD, TOKENIZER, same_source
from clairgen.task_shard import TaskShard
from clairgen.wording import counted


@dataclass(frozen=True, slots=True)
class MergeSummary:
    """What a merge came to: what each shard added, by its folder, and how many tasks the run has and still lacks."""

    run: Path
    shards: Mapping[Path, MergedShard]
    tasks: int
    lacking: int
    statuses: dict[str, dict[str, int]]
    dropped: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class _Shard:
    """What a shard's database says of it."""

    directory: RunDirectory
    run_id: str
    shard: TaskShard
    facts: ShardFacts
    state: IngestState
    in_force: tuple[int, str] | None
    configured_filters: str | None
    budget: BudgetLimit


def _run_directories(paths: Sequence[Path]) -> list[RunDirectory]:
    """The run directories among `paths`, and those in the folders that are none. Raises RunError for one without any."""
    found: dict[Path, RunDirectory] = {}
    for path in paths:
        for folder in runs_inside(path) or [path]:
            RunDirectory(folder).require()
            found.setdefault(folder.resolve(), RunDirectory(folder))
    return list(found.values())


async def merge_shards(
    paths: Sequence[Path], run: Path | str, *, tell: Callable[[str], None] = lambda _: None
) -> MergeSummary:
    """Merge shards, or all that are in a folder, into the run `run`, which is made if it is new.

    `tell` is given a sentence on each shard. Raises RunError for a folder that is no shard, for shards whose plans or tasks
    differ from those of the run, and for one that a process is writing.
    """
    directory, shards = RunDirectory(Path(run)), _run_directories(paths)
    shards = [shard for shard in shards if shard.path.resolve() != directory.path.resolve()]
    if not shards:
        raise RunError(f"{directory.path} cannot be merged into itself; name the folders of shards, and another --run")
    described = [await _described(shard) for shard in shards]
    for other in described[1:]:
        require_same_run(described[0].facts, other.facts)
    directory.create()
    merged: dict[Path, MergedShard] = {}
    with directory.locked():
        async with writing(directory) as store:
            await _prepare(store, directory, described[0])
        for group in _groups(described):
            for shard, one in zip(group, await _merge(directory, group), strict=True):
                merged[shard.directory.path] = one
                tell(_sentence(shard, one, directory))
        async with writing(directory) as store:
            await _settle_filters(store)
            lacking = await _lacking(store, described[0].state)
            if (yaml := await store.metadata.configuration()) is not None:
                directory.save_config(yaml)
            return MergeSummary(
                directory.path,
                merged,
                await store.tasks.count(),
                lacking,
                await store.pairs.statuses(),
                await store.pairs.dropped(),
            )


async def _described(directory: RunDirectory) -> _Shard:
    """What a shard says of itself. Raises RunError for a run that is none, or has not read its tasks to the end."""
    async with reading(directory) as store:
        shard, state, run_id = await run_shard(store), await ingest_state(store), await store.metadata.get("run_id")
        if shard is None or run_id is None:
            raise RunError(
                f"{directory.path} is no shard, but a run of its own; only what generate --shard made can be merged (for "
                "the answers of another run, give clairgen generate --reuse)"
            )
        facts = await shard_facts(directory.path, store)
        require_all_tasks(facts)
        assert state is not None, "all its tasks were read"  # noqa: S101 - as was just required
        if found := [one for one in await store.batches.all(open_only=True) if one.requests]:
            raise RunError(
                f"{directory.path} has {counted(len(found), 'open batch', 'open batches')} at a provider, whose answers would be "
                f"requested again; run its generate until they are collected, or clairgen batches {directory.path} --cancel"
            )
        return _Shard(
            directory,
            run_id,
            shard,
            facts,
            state,
            await store.filter_sets.in_force(),
            await store.metadata.get(CONFIGURED_FILTERS),
            await remembered_limit(store),
        )


async def _lacking(store: Store, read: IngestState) -> int:
    """How many tasks of the source, which a shard has `read`, the run lacks; with none it has read all of it itself."""
    state = await ingest_state(store)
    if state is not None and state.complete:
        return 0
    lacking = read.rows - read.duplicates - read.bad_rows - await store.tasks.count()
    if not lacking:
        await store.metadata.put(*state_row(read))
    return lacking


async def _prepare(store: Store, run: RunDirectory, shard: _Shard) -> None:
    """Make a run that shards can be merged into. Raises RunError for one that has tasks of its own."""
    await store.metadata.initialize(__version__)
    if await store.metadata.get(SHARD) is not None:
        raise RunError(f"--run {run.path} is a shard itself; name a new folder for the merged run")
    if await store.tasks.last_position() and not await store.metadata.with_prefix(MERGED):
        raise RunError(f"--run {run.path} is a run of its own; name a new folder for the merged run")
    if plans := await store.metadata.plans():
        made = {recipe: plan for recipe, plan in plans.items() if plan.imported_from is None}
        require_same_plans(made, shard.facts.plans, run.path, shard.directory.path)
    state = await ingest_state(store)
    if state is not None and not same_source(state.source, shard.state.source):
        raise RunError(f"{shard.directory.path} has other tasks than {run.path}; merge only shards of one source")
    if await store.filter_sets.in_force() is None and shard.in_force is not None:
        settings = FilterSettings.from_record(shard.in_force[1])
        await refilter(store, settings, shard.facts.tokenizer or DEFAULT_TOKENIZER)
        await store.metadata.put(TOKENIZER, shard.facts.tokenizer or DEFAULT_TOKENIZER)
    if await store.metadata.get(CONFIGURED_FILTERS) is None and shard.configured_filters is not None:
        await store.metadata.put(CONFIGURED_FILTERS, shard.configured_filters)


def _groups(shards: Sequence[_Shard]) -> Iterator[list[_Shard]]:
    """The shards that are merged together: as many as can be, but of one shard in two folders only one."""
    group: list[_Shard] = []
    for shard in shards:
        if len(group) == SHARDS_AT_ONCE or shard.run_id in {one.run_id for one in group}:
            yield group
            group = []
        group.append(shard)
    yield group


async def _merge(run: RunDirectory, shards: Sequence[_Shard]) -> list[MergedShard]:
    """Merge shards, while nobody writes them."""
    async with reading(run) as store:
        known = {shard.run_id: await store.metadata.get(f"{MERGED}{shard.run_id}") for shard in shards}
        meta = await _meta(store, shards[0], [shard for shard in shards if known[shard.run_id] is None])
        to_merge = [
            ShardToMerge(
                shard.directory.database,
                _record(shard, known[shard.run_id]),
                f"{MERGED}{shard.run_id}",
                await _same_findings(run.path, store, shard),
            )
            for shard in shards
        ]
    with ExitStack() as stack:
        for shard in shards:
            stack.enter_context(shard.directory.locked())
        async with merging(run.database) as merger:
            return await merger.merge(to_merge, meta)


def _record(shard: _Shard, known: str | None) -> MergeRecord:
    """What was merged of a shard before, as the run has it, with where it is now."""
    record = MergeRecord(str(shard.shard), "") if known is None else MergeRecord.from_json(known)
    return replace(record, path=str(shard.directory.path))


async def _same_findings(run: Path, store: Store, shard: _Shard) -> tuple[int, int] | None:
    """The filter sets in force in a shard and in the run; None where they may find other things in the same pair."""
    in_force = await store.filter_sets.in_force()
    if in_force is None or shard.in_force is None:
        return None
    is_same = shard.facts.is_filtered_as(await shard_facts(run, store))
    return (shard.in_force[0], in_force[0]) if is_same else None


async def _meta(store: Store, first: _Shard, new: Sequence[_Shard]) -> dict[str, str]:
    """The metadata that is committed with shards: how far the source is read with them, and the budget of all shards.

    `new` are those of which nothing was merged before.
    """
    state = await ingest_state(store)
    in_force = await store.filter_sets.in_force()
    rows = unsettled_rows(FilterSettings.from_record(in_force[1])) if in_force is not None else []
    meta = {key: value for _, (key, value) in rows}
    if state is None:
        meta |= [state_row(IngestState(first.state.source))]
    if new:
        budget, others = await remembered_limit(store), await store.metadata.with_prefix(MERGED)
        limits = [*(shard.budget.limit_usd for shard in new), *([budget.limit_usd] if others else [])]
        known = [limit for limit in limits if limit is not None]
        total = sum(known) if len(known) == len(limits) else None
        limit = BudgetLimit(total, new[-1].budget.configured_usd)
        meta |= [remembered_row(limit)] if limit != budget else []
    return meta


async def _settle_filters(store: Store) -> None:
    """Apply the filters that look at the whole run, and all of them to pairs that came without findings."""
    in_force = await store.filter_sets.in_force()
    if in_force is None:
        return
    number, settings = in_force[0], FilterSettings.from_record(in_force[1])
    unsettled = await store.metadata.get(UNSETTLED)
    if await store.pairs.uncovered(number):
        await refilter(store, settings, await store.metadata.get(TOKENIZER) or DEFAULT_TOKENIZER)
    else:
        await filter_again(store, number, settings)
        await settle_run_filters(store, number, settings)
    await store.metadata.settle(UNSETTLED, unsettled)


def _sentence(shard: _Shard, merged: MergedShard, run: RunDirectory) -> str:
    """What a shard added, and what of it the run has with other content."""
    added = merged.added
    said = (
        f"{shard.directory.path}: shard {shard.shard}, {counted(added['tasks'], 'new task')}, "
        f"{counted(added['pairs'], 'new pair')}, {counted(added['completions'], 'new answer')}"
    )
    for what, differing in (("answer", merged.completions), ("pair", merged.pairs)):
        if differing.count:
            have = "is" if differing.count == 1 else "are"
            said += (
                f"; {counted(differing.count, what)} {have} in {run.path} with another content, such as {differing.first}, and "
                "stay there as they are"
            )
    return said
