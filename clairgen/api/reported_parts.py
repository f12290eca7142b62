"""Opens what a report is about: a run, or the shards in a folder as one run, with the figures of many pairs in columns."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from clairgen.errors import RequestFailedError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.installed import has_analysis_extra
from clairgen.long_texts import Workers, usable_cores
from clairgen.reporting.recipe_report import ReportedPart
from clairgen.store import (
    Plan,
    RunDirectory,
    ShardFolder,
    Store,
    reading,
    reading_all,
    require_same_filters,
    require_same_run,
    runs_inside,
    shard_facts,
    shard_folder,
    write_columns,
)
from clairgen.task_shard import shards_named
from clairgen.wording import counted

FEWEST_PAIRS_IN_COLUMNS: Final = 50_000
"""Below this a report without columns takes a few seconds, and a run's folder stays as it is."""
_SLOW_PAIRS: Final = 1_000_000
"""From here on a report without columns takes half a minute or more."""
_TIME_LIMIT_SECONDS: Final = 24 * 3600.0


@asynccontextmanager
async def reported_parts(
    path: Path, *, reads_columns: bool, tell: Callable[[str], None], fewest_pairs: int = FEWEST_PAIRS_IN_COLUMNS
) -> AsyncIterator[tuple[dict[str, Plan], list[ReportedPart]]]:
    """The run in a folder, or its shards in their order, and the plans that they have in common; each as it is at one moment.

    With `reads_columns` the figures of at least `fewest_pairs` are in columns, which are brought up to date first, shards side
    by side. `tell` is given what the figures of shards are without, in sentences. Raises RunError for a folder without a run, and
    for shards that cannot be taken together.
    """
    folder = await shard_folder(path) if runs_inside(path) else None
    directories = [RunDirectory(path)] if folder is None else [RunDirectory(run) for run in folder.shards.values()]
    in_columns = reads_columns and await _is_worth_columns(directories, fewest_pairs, tell)
    if in_columns and len(directories) > 1:
        await _write_columns(directories, tell)
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(reading_all([directory.path for directory in directories]))
        plans = await _shared_plans(stores)
        parts = []
        for directory in directories:
            store, columns = stores[directory.path], None
            if in_columns:
                columns = await stack.enter_async_context(store.segments.updated(directory, store.pairs.cost_usd))
                if columns is not None and columns.note is not None:
                    tell(columns.note)
            parts.append(ReportedPart(store, columns))
        if folder is not None:
            await _tell_of_shards(folder, parts, tell)
        yield plans, parts


async def _shared_plans(stores: Mapping[Path, Store]) -> dict[str, Plan]:
    """The plans of shards that are of one run and equally filtered; one that has not begun, and has none, is left out."""
    facts = [await shard_facts(path, store) for path, store in stores.items()]
    begun = [one for one in facts if one.plans]
    for other in begun[1:]:
        require_same_run(begun[0], other)
        require_same_filters(begun[0], other)
    return dict(sorted({name: plan for one in begun for name, plan in one.plans.items()}.items()))


async def _is_worth_columns(
    directories: Sequence[RunDirectory], fewest_pairs: int, tell: Callable[[str], None]
) -> bool:
    pairs = 0
    for directory in directories:
        async with reading(directory) as store:
            pairs += sum(counts.get("made", 0) for counts in (await store.pairs.statuses()).values())
    if has_analysis_extra():
        return pairs >= fewest_pairs
    if pairs >= _SLOW_PAIRS:
        tell(
            f"the figures of {counted(pairs, 'pair')} are read one by one; every report but the first takes a fraction of that "
            "time with: pip install 'clairgen[analysis]'"
        )
    return False


async def _write_columns(directories: Sequence[RunDirectory], tell: Callable[[str], None]) -> None:
    """Bring the columns of several runs up to date, as many at once as there are cores.

    Those whose process failed or was killed are left to this one, which needs them next and says what is wrong with a run.
    """
    workers = Workers(time_limit_seconds=_TIME_LIMIT_SECONDS, most=min(usable_cores(), len(directories)))

    async def write(directory: RunDirectory) -> None:
        with suppress(RequestFailedError, RuntimeError, OSError):
            if (note := await workers.run(write_columns, directory.path)) is not None:
                tell(note)

    try:
        async with asyncio.TaskGroup() as tasks:
            for directory in directories:
                tasks.create_task(write(directory))
    finally:
        await workers.close()


async def _tell_of_shards(folder: ShardFolder, parts: Sequence[ReportedPart], tell: Callable[[str], None]) -> None:
    """Say which shards are missing, and what can be known only of the merged run."""
    if missing := folder.missing:
        tell(
            f"{folder.path} is without {counted(len(missing), 'shard')}: {shards_named(missing)}; the figures are those of the "
            "rest"
        )
    in_force = [await part.store.filter_sets.in_force() for part in parts]
    if any(FilterSettings.from_record(found[1]).compares_pairs for found in in_force if found is not None):
        tell(
            "a filter that compares pairs with each other, such as near_duplicate, has compared only those of the same "
            f"shard, and may drop more once the shards are merged: clairgen merge {folder.path} --run RUN"
        )
