"""`generate`: make the pairs of a run that are not made yet. Run it again after anything; only what is missing is asked."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from clairgen.config.file import config_yaml
from clairgen.config.models import RunConfig
from clairgen.config.prices import check_budget, with_prices
from clairgen.errors import DrainedError, RunError, RunStoppedError, StoreError
from clairgen.filters.pipeline import FilterPipeline
from clairgen.inference.factory import check_keys, with_revisions
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.completions import CompletionClient
from clairgen.pipeline.ingest import Reading
from clairgen.pipeline.make_pair import Keeper, Maker
from clairgen.pipeline.plans import PlannedRecipe, Prepared, plan_recipes, prepare, roles_asked
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.refilter import settle_near_duplicates, unsettle_near_duplicates
from clairgen.pipeline.session import DRAIN_SECONDS, TASKS_QUEUED, Session, session
from clairgen.records import Task
from clairgen.sources import check_source
from clairgen.store import RunDirectory, Store, reading


@dataclass(frozen=True, slots=True)
class Summary:
    """How a session of `generate` left its run.

    `statuses` counts the run's pairs by recipe and status, `stopped_by` is why it stopped before the end, if it did.
    """

    run: Path
    tasks: Reading
    statuses: dict[str, dict[str, int]]
    dropped: dict[str, dict[str, int]]
    failures: list[tuple[str, str, int, str]]
    progress: Progress
    stopped_by: RunStoppedError | StoreError | None

    @property
    def failed(self) -> int:
        """Pairs of the run that could not be made."""
        return sum(counts.get("failed", 0) for counts in self.statuses.values())


@dataclass(frozen=True, slots=True)
class Options:
    """How a session differs from a plain one; see the flags of `clairgen generate`.

    `drain_seconds` is how long what is in flight may take once the session is to stop; then it is cut off.
    """

    limit: int | None = None
    retry_failed: bool = False
    skip_bad_lines: bool = False
    accept_changes: bool = False
    reuse: tuple[Path, ...] = ()
    log_texts: bool = False
    drain_seconds: float = DRAIN_SECONDS


async def generate(
    config: RunConfig,
    run: Path | str,
    options: Options | None = None,
    *,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
    runtime: Runtime | None = None,
) -> Summary:
    """Make all pairs of `config` in the run directory `run` that are not made yet.

    Set `stop` to end early: what is in flight is finished and kept, as far as `options.drain_seconds` allow. `progress` is
    updated while it goes. Raises UserError for what the user has to mend; why the run stopped otherwise stands in the summary.
    """
    options, progress, stop, runtime = (
        options or Options(),
        progress or Progress(),
        stop or asyncio.Event(),
        runtime or Runtime(),
    )
    roles = with_prices(with_revisions(roles_asked(config)))
    planned = plan_recipes(config, roles)
    check_keys(roles, runtime.environment)
    if config.budget_usd is not None:
        check_budget(roles)
    check_source(config.tasks)
    directory = RunDirectory(Path(run))
    directory.create()
    async with session(
        directory, progress, stop, runtime, log_texts=options.log_texts, drain_seconds=options.drain_seconds
    ) as held:
        store = held.store
        reused = {
            str(path): await held.stack.enter_async_context(_other_run(path, directory)) for path in options.reuse
        }
        prepared = await prepare(
            store,
            config,
            planned,
            progress,
            skip_bad_lines=options.skip_bad_lines,
            accept_changes=options.accept_changes,
            stop=stop,
        )
        directory.save_config(config_yaml(config))
        if options.retry_failed:
            await store.pairs.retry_failed()
        progress.pairs_to_make = await _pending(store, planned, options.limit)
        ledger = await held.budget(config.budget_usd)
        held.log_start(roles, recipes=[choice.name for choice in config.recipes], budget_usd=config.budget_usd)
        stopped_by = None
        if progress.pairs_to_make:
            await unsettle_near_duplicates(store, prepared.filters)
            asker = await held.completion_client(roles, ledger, seed=config.seed, reused=reused)
            async with held.log.counting(progress):
                stopped_by = await _run(held, asker, planned, prepared, config, options)
        progress.log_event("ended", stopped_by=type(stopped_by).__name__ if stopped_by else None)
        if not isinstance(stopped_by, StoreError):
            await settle_near_duplicates(store, prepared.filter_set, prepared.filters)
        return await _summary(directory, store, prepared, progress, stopped_by)


async def _run(
    held: Session,
    asker: CompletionClient,
    planned: Sequence[PlannedRecipe],
    prepared: Prepared,
    config: RunConfig,
    options: Options,
) -> RunStoppedError | StoreError | None:
    """Run the chains; why they stopped before the end, if they did."""
    store, progress, stop = held.store, held.progress, held.stop
    recipes = {entry.recipe.name: entry for entry in planned}
    keeper = Keeper(store, FilterPipeline(prepared.filters), prepared.filter_set, config.tokenizer)
    maker = Maker(keeper, asker, recipes, stop, progress)
    in_flight = len(recipes) * asker.capacity + TASKS_QUEUED
    await held.run_tasks(
        _work(store, list(recipes), options.limit),
        maker.make,
        in_flight=in_flight,
        what="pairs were still in the making",
    )
    if stop.is_set() and maker.stopped_by is None and progress.done < progress.pairs_to_make:
        return DrainedError()
    return maker.stopped_by


async def _work(store: Store, recipes: Sequence[str], limit: int | None) -> AsyncIterator[tuple[Task, str]]:
    async for pending in store.tasks.pending(recipes, limit):
        for recipe in pending.recipes:
            yield pending.task, recipe


async def _pending(store: Store, planned: Sequence[PlannedRecipe], limit: int | None) -> int:
    statuses = await store.pairs.statuses(limit)
    return sum(statuses.get(entry.recipe.name, {}).get("pending", 0) for entry in planned)


@asynccontextmanager
async def _other_run(path: Path, run: RunDirectory) -> AsyncIterator[Store]:
    """The store of a run to reuse answers of."""
    other = RunDirectory(path)
    if other.path.resolve() == run.path.resolve():
        raise RunError(f"--reuse {path} is the run itself, whose answers are always used; name another run")
    async with reading(other) as store:
        yield store


async def _summary(
    directory: RunDirectory,
    store: Store,
    prepared: Prepared,
    progress: Progress,
    stopped_by: RunStoppedError | StoreError | None,
) -> Summary:
    return Summary(
        run=directory.path,
        tasks=prepared.reading,
        statuses=await store.pairs.statuses(),
        dropped=await store.pairs.dropped(),
        failures=await store.pairs.failures(),
        progress=progress,
        stopped_by=stopped_by,
    )
