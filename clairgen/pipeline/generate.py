"""`generate`: make the pairs of a run that are not made yet. Run it again at any time; only what is missing is requested."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from clairgen.config.file import config_yaml
from clairgen.config.models import RunConfig
from clairgen.config.prices import check_budget, with_prices
from clairgen.config.role import Role
from clairgen.coordination.coordinator_client import CoordinatorAddress
from clairgen.coordination.membership import Membership
from clairgen.copies import COPY_SECONDS
from clairgen.errors import ConfigError, DrainedError, RunError, RunStoppedError, StoreError, UserError
from clairgen.inference.factory import check_keys, with_revisions
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.batch_lane.batch_roles import roles_with_batches
from clairgen.pipeline.budget_limit import NamedBudget, settle_limit
from clairgen.pipeline.config_changes import PreparedRun, prepare
from clairgen.pipeline.coordinated import (
    coordinated,
    joined,
    named_alone,
    reason_to_stop,
    require_direct,
    settle_membership,
    shard_to_make,
    with_shard,
)
from clairgen.pipeline.copy_takeover import check_copy, storage_of
from clairgen.pipeline.detaching import Detach, batches_that_go_on, check_detach, leaving, note_batches_of_others
from clairgen.pipeline.failures import Stop
from clairgen.pipeline.import_pairs import open_imports
from clairgen.pipeline.import_state import ImportState, import_states
from clairgen.pipeline.ingest import IngestState
from clairgen.pipeline.make_pair import FiltersInForce, MakeContext, make_pair
from clairgen.pipeline.pair_measures import PairMeasures
from clairgen.pipeline.plans import PlannedRecipe, plan_recipes, roles_used
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.refilter import filter_again, settle_run_filters, unsettle_run_filters, unsettle_votes
from clairgen.pipeline.run_copy import keeping
from clairgen.pipeline.run_shard import settle_shard, shard_of_session
from clairgen.pipeline.session import DRAIN_SECONDS, TASKS_QUEUED, Session, session
from clairgen.records import Task
from clairgen.sources import check_source
from clairgen.store import RunDirectory, Store, reading
from clairgen.task_shard import LeasedShard, TaskShard
from clairgen.wording import one_line_repr


@dataclass(frozen=True, slots=True)
class Summary:
    """How a session of `generate` left its run.

    `statuses` counts the run's pairs by recipe and status, `imports` says how far pairs from elsewhere were imported, by their
    name, `stopped_by` is the error that stopped it before the end, `shard` which one the run is, if it is one, and `batches` says
    which of its batches go on at a provider.
    """

    run: Path
    tasks: IngestState
    statuses: dict[str, dict[str, int]]
    dropped: dict[str, dict[str, int]]
    failures: list[tuple[str, str, int, str]]
    imports: dict[str, ImportState]
    progress: Progress
    stopped_by: RunStoppedError | UserError | None
    shard: TaskShard | None = None
    batches: str = ""

    @property
    def failed(self) -> int:
        """Pairs of the run that could not be made."""
        return sum(counts.get("failed", 0) for counts in self.statuses.values())

    def __repr__(self) -> str:
        stopped = [f"stopped by {type(self.stopped_by).__name__}"] if self.stopped_by is not None else []
        return one_line_repr(self, self.run, *pairs_in_words(self.statuses, self.dropped), *stopped)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a session; see the flags of `clairgen generate`.

    `budget_usd` sets the run's budget and `no_budget` lifts it; with neither, the budget that was named last holds.
    `drain_seconds` is how long requests in flight may take once the session is to stop; then they are cut off. `detach` ends
    the session once all that is left waits in batches. `shard` is which part of the tasks a new run has, which it remembers;
    `limit` counts the tasks of all shards. With a `coordinator` the session keeps to its part of limits and of one budget over
    many machines, and `shard` may be one that the coordinator picks; with `takes_over` a named one is taken from its holder at
    once, which is known to have ended. `copy_to` is where a copy of the run is kept, brought up to it every `copy_every` seconds;
    a folder that has no run yet is restored from it first. `no_copy` lets a run that has a copy go on without it, although
    another machine may have gone on with the copy. `jobs` is how many other processes
    measure pairs at once where they come fast, 0 for none, None for one for each core but one.
    """

    limit: int | None = None
    retry_failed: bool = False
    skip_bad_lines: bool = False
    accept_changes: bool = False
    reuse: tuple[Path | str, ...] = ()
    log_texts: bool = False
    drain_seconds: float = DRAIN_SECONDS
    budget_usd: float | None = None
    no_budget: bool = False
    detach: Detach = False
    shard: TaskShard | LeasedShard | None = None
    coordinator: CoordinatorAddress | None = None
    takes_over: bool = False
    copy_to: Path | str | None = None
    copy_every: float = COPY_SECONDS
    no_copy: bool = False
    jobs: int | None = None


async def generate(
    config: RunConfig,
    run: Path | str,
    options: Options | None = None,
    *,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
    runtime: Runtime | None = None,
) -> Summary:
    """Make all pairs of `config` in the run directory `run` that are not made yet; `{shard}` in it is the shard's number.

    Set `stop` to end early: requests in flight are finished and kept, as far as `options.drain_seconds` allow. `progress` is
    updated meanwhile. Raises UserError for what the user has to correct, and NothingLeftError where a coordinator has no shard
    left; the summary says why the run stopped otherwise.
    """
    options, progress, stop, runtime = (
        options or Options(),
        progress or Progress(),
        stop or asyncio.Event(),
        runtime or Runtime(),
    )
    roles = with_prices(with_revisions(roles_used(config)))
    planned = plan_recipes(config, roles)
    if isinstance(options.shard, LeasedShard):
        require_direct(options.shard, roles)
    async with coordinated(options.coordinator, config, roles, planned, progress.note, stop, runtime) as member:
        shard = await shard_to_make(member, options.shard, config, planned, run, takes_over=options.takes_over)
        options = replace(
            options, shard=shard, copy_to=options.copy_to and with_shard(str(options.copy_to), shard, "--copy-to")
        )
        return await _generate(
            config, roles, planned, Path(with_shard(str(run), shard, "--run")), options, progress, stop, runtime, member
        )


async def _generate(
    config: RunConfig,
    roles: Mapping[str, Role],
    planned: list[PlannedRecipe],
    run: Path,
    options: Options,
    progress: Progress,
    stop: asyncio.Event,
    runtime: Runtime,
    member: Membership | None,
) -> Summary:
    """Make a run's pairs, as a `member` of a coordinated group or alone."""
    check_keys(roles, runtime.environment)
    check_detach(options.detach, roles)
    named = named_budget(config, options)
    named.check()
    if config.tasks is not None:
        check_source(config.tasks)
    imports = await asyncio.to_thread(open_imports, config)
    directory = RunDirectory(run)
    storage = await storage_of(options.copy_to, directory, progress, no_copy=options.no_copy)
    of_group, named = named, named_alone(named, member)
    if named.names_one and not directory.database.exists():
        check_budget(roles)
    directory.create()
    async with session(
        directory,
        progress,
        stop,
        runtime,
        log_texts=options.log_texts,
        drain_seconds=options.drain_seconds,
    ) as held:
        store, stopping = held.store, Stop(stop)
        await check_copy(held, storage, no_copy=options.no_copy)
        shard = await shard_of_session(store, directory.path, named_part(options), config)
        if shard is not None and options.shard is None:
            progress.note(f"the run is shard {shard}, and goes on as that")
        await settle_shard(store, shard)
        limit = await settle_limit(store, named, progress)
        if limit.limit_usd is not None:
            check_budget(roles)
        open_batches = await store.batches.all(open_only=True)
        roles_with_batches(roles, open_batches, directory)  # before this configuration becomes the run's
        reused = {str(path): await held.stack.enter_async_context(other_run(path, directory)) for path in options.reuse}
        held = await joined(held, member, of_group)
        await note_batches_of_others(reused, progress)
        prepared = await prepare(
            store,
            config,
            planned,
            progress,
            skip_bad_lines=options.skip_bad_lines,
            accept_changes=options.accept_changes,
            stop=stop,
            imports=imports,
        )
        directory.save_config(config_yaml(config))
        # A command that is refused takes the copy from nobody, so all that may refuse it comes before.
        copy = await held.stack.enter_async_context(
            keeping(held, storage, options.copy_every, stopping, limit.limit_usd)
        )
        if options.retry_failed:
            await store.pairs.retry_failed()
        progress.pairs_to_make = await _pending(store, planned, options.limit)
        budget = await held.budget(limit.limit_usd, roles, copy.allowance)
        held.log_start(roles, recipes=[entry.recipe.name for entry in planned], budget_usd=limit.limit_usd)
        stopped_by: RunStoppedError | UserError | None = None
        batches = ""
        await copy.ready()
        if progress.pairs_to_make:
            await unsettle_run_filters(store, prepared.filters)
            await unsettle_votes(store, prepared.filters)
        if progress.pairs_to_make or open_batches:
            client = await held.completion_client(
                roles, budget, seed=config.seed, reused=reused, retries_failed=options.retry_failed, all_batches=True
            )
            in_flight = len(planned) * client.capacity + TASKS_QUEUED + client.waiting_for_batches
            measures = PairMeasures(
                prepared.filters, config.tokenizer, jobs=options.jobs, most_elsewhere=in_flight // 2
            )
            async with held.log.counting(progress), measures:
                filters = FiltersInForce(prepared.filter_set, measures)
                context = MakeContext(store, client, filters, progress, stopping, held.traces)
                async with leaving(held, client, stopping, detach=options.detach):
                    await _run(held, planned, context, options.limit, in_flight)
            stopped_by = reason_to_stop(member, context.stop.error)
            batches = await batches_that_go_on(store, client.lane)
        if not isinstance(stopped_by, StoreError):
            await filter_again(store, prepared.filter_set, prepared.filters)
            await settle_run_filters(store, prepared.filter_set, prepared.filters)
        stopped_by = await copy.finish(stopped_by)
        await settle_membership(member, store, is_done=stopped_by is None)
        progress.log_event("ended", stopped_by=type(stopped_by).__name__ if stopped_by else None)
        return await _summary(directory, store, prepared, progress, stopped_by, shard, batches)


def named_part(options: Options) -> TaskShard | None:
    """The shard that options name. Raises ConfigError for one that is not known before a coordinator gives it."""
    if isinstance(options.shard, LeasedShard):
        raise ConfigError(
            f"which shard --shard {options.shard} is, a coordinator says when the run begins; name one, as i/N"
        )
    return options.shard


def named_budget(config: RunConfig, options: Options) -> NamedBudget:
    """What a configuration and the options of a session say about the budget."""
    return NamedBudget(options.budget_usd, options.no_budget, config.budget_usd)


def pairs_in_words(
    statuses: Mapping[str, Mapping[str, int]], dropped: Mapping[str, Mapping[str, int]]
) -> Iterator[str]:
    """For each recipe how many pairs are kept of those that were made, and how many are failed or still to be made."""
    for recipe, counts in statuses.items():
        made = counts.get("made", 0)
        others = "".join(
            f" + {counts[status]:,} {title}"
            for status, title in (("failed", "failed"), ("pending", "to be made"))
            if counts.get(status)
        )
        yield f"{recipe} {made - sum(dropped.get(recipe, {}).values()):,} kept of {made:,}{others}"


async def _run(
    held: Session, planned: Sequence[PlannedRecipe], context: MakeContext, limit: int | None, in_flight: int
) -> None:
    """Make the pending pairs of the first `limit` tasks, `in_flight` at a time, or stop early and say why in `context.stop`."""

    async def make(work: tuple[Task, PlannedRecipe]) -> None:
        await make_pair(*work, context)

    await held.run_tasks(
        _work(held.store, planned, limit),
        make,
        in_flight=in_flight,
        what="made",
    )
    if held.stop.is_set() and held.progress.done < held.progress.pairs_to_make:
        context.stop.because_of(DrainedError())


async def _work(
    store: Store, planned: Sequence[PlannedRecipe], limit: int | None
) -> AsyncIterator[tuple[Task, PlannedRecipe]]:
    by_name = {entry.recipe.name: entry for entry in planned}
    async for pending in store.tasks.pending(list(by_name), limit):
        for recipe in pending.recipes:
            yield pending.task, by_name[recipe]


async def _pending(store: Store, planned: Sequence[PlannedRecipe], limit: int | None) -> int:
    statuses = await store.pairs.statuses(limit)
    return sum(statuses.get(entry.recipe.name, {}).get("pending", 0) for entry in planned)


@asynccontextmanager
async def other_run(path: Path | str, run: RunDirectory) -> AsyncIterator[Store]:
    """The store of a run whose completions are reused."""
    other = RunDirectory(Path(path))
    if other.path.resolve() == run.path.resolve():
        raise RunError(f"--reuse {path} is the run itself, whose answers are always used; name another run")
    async with reading(other) as store:
        yield store


async def _summary(
    directory: RunDirectory,
    store: Store,
    prepared: PreparedRun,
    progress: Progress,
    stopped_by: RunStoppedError | UserError | None,
    shard: TaskShard | None,
    batches: str,
) -> Summary:
    return Summary(
        run=directory.path,
        tasks=prepared.ingest,
        statuses=await store.pairs.statuses(),
        dropped=await store.pairs.dropped(),
        failures=await store.pairs.failures(),
        imports=await import_states(store),
        progress=progress,
        stopped_by=stopped_by,
        shard=shard,
        batches=batches,
    )
