"""`generate`: make the pairs of a run that are not made yet. Run it again after anything; only what is missing is asked."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from clairgen.config import Role, RunConfig
from clairgen.config_file import config_yaml
from clairgen.embedded.launch import EmbeddedServers
from clairgen.endpoint.opening import World, check_keys, open_pools, with_revisions
from clairgen.endpoint.pool import Pool
from clairgen.errors import DrainedError, RunError, RunStoppedError, StoreError
from clairgen.filters.sift import Sieve
from clairgen.pipeline.asking import Asker
from clairgen.pipeline.chains import run_chains
from clairgen.pipeline.ingest import Reading
from clairgen.pipeline.keeping import Keeper
from clairgen.pipeline.ledger import Ledger
from clairgen.pipeline.making import Maker
from clairgen.pipeline.plans import PlannedRecipe, plan_recipes, roles_asked
from clairgen.pipeline.preparing import Prepared, prepare
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.run_log import RunLog
from clairgen.pipeline.sifting import settle_near_duplicates, unsettle_near_duplicates
from clairgen.prices import check_budget, with_prices
from clairgen.records import Task
from clairgen.store import RunDirectory, Store, reading, writing
from clairgen.tasks import check_source
from clairgen.version import __version__

_QUEUED_CHAINS = 64


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
    drain_seconds: float = 60.0


async def generate(
    config: RunConfig,
    run: Path | str,
    options: Options | None = None,
    *,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
    world: World | None = None,
) -> Summary:
    """Make all pairs of `config` in the run directory `run` that are not made yet.

    Set `stop` to end early: what is in flight is finished and kept, as far as `options.drain_seconds` allow. `progress` is
    updated while it goes. Raises UserError for what the user has to mend; why the run stopped otherwise stands in the summary.
    """
    options, progress, stop, world = (
        options or Options(),
        progress or Progress(),
        stop or asyncio.Event(),
        world or World(),
    )
    roles = with_prices(with_revisions(roles_asked(config)))
    planned = plan_recipes(config, roles)
    check_keys(roles, world.environment)
    if config.budget_usd is not None:
        check_budget(roles)
    check_source(config.tasks)
    directory = RunDirectory(Path(run))
    directory.create()
    with directory.locked():
        async with AsyncExitStack() as stack:
            log = RunLog(directory.events)
            stack.callback(log.close)
            progress.tell, progress.tell_texts = log.event, options.log_texts
            store = await stack.enter_async_context(writing(directory))
            reused = {str(path): await stack.enter_async_context(_other_run(path, directory)) for path in options.reuse}
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
            ledger = Ledger(store.spending, await store.spending.total(), config.budget_usd, progress, stop)
            await stack.enter_async_context(ledger)
            _tell_start(config, roles, progress)
            stopped_by = None
            if progress.pairs_to_make:
                await unsettle_near_duplicates(store, prepared.filters)
                pools = await _open_pools(stack, roles, directory, world, stop, progress)
                asker = Asker(
                    store, roles, pools, seed=config.seed, reused=reused, stop=stop, progress=progress, ledger=ledger
                )
                async with log.counting(progress):
                    stopped_by = await _run(
                        store, asker, planned, prepared, config, options, pools, progress, stop, world
                    )
            progress.tell("ended", stopped_by=type(stopped_by).__name__ if stopped_by else None)
            if not isinstance(stopped_by, StoreError):
                await settle_near_duplicates(store, prepared.filter_set, prepared.filters)
            return await _summary(directory, store, prepared, progress, stopped_by)


async def _run(
    store: Store,
    asker: Asker,
    planned: Sequence[PlannedRecipe],
    prepared: Prepared,
    config: RunConfig,
    options: Options,
    pools: Mapping[str, Pool],
    progress: Progress,
    stop: asyncio.Event,
    world: World,
) -> RunStoppedError | StoreError | None:
    """Run the chains; why they stopped before the end, if they did."""
    recipes = {entry.recipe.name: entry for entry in planned}
    keeper = Keeper(store, Sieve(prepared.filters), prepared.filter_set, config.tokeniser)
    maker = Maker(keeper, asker, recipes, stop, progress)
    width = len(recipes) * sum(pool.capacity for pool in pools.values()) + _QUEUED_CHAINS
    cut_off = await run_chains(
        _work(store, list(recipes), options.limit),
        maker.make,
        width=width,
        stop=stop,
        drained_within=lambda: world.sleep(options.drain_seconds),
    )
    if cut_off:
        progress.note(
            f"{cut_off} pairs were still in the making after {options.drain_seconds:g} s and were cut off; "
            "what was asked for them and not answered may be billed, and is asked again when you go on"
        )
    if stop.is_set() and maker.stopped_by is None and progress.done < progress.pairs_to_make:
        return DrainedError()
    return maker.stopped_by


def _tell_start(config: RunConfig, roles: Mapping[str, Role], progress: Progress) -> None:
    """Say what the session is about, and what money it does not count."""
    progress.tell(
        "started",
        version=__version__,
        recipes=[choice.name for choice in config.recipes],
        models={name: {"model": role.model, "endpoints": role.endpoints} for name, role in roles.items()},
        pairs_to_make=progress.pairs_to_make,
        budget_usd=config.budget_usd,
    )
    for name, role in roles.items():
        if role.api_key_env is not None and role.price_per_million is None:
            progress.note(
                f"no price is known for models.{name} ({role.model}), so its dollars are not counted; give it price_per_million"
            )


async def _work(store: Store, recipes: Sequence[str], limit: int | None) -> AsyncIterator[tuple[Task, str]]:
    async for pending in store.tasks.pending(recipes, limit):
        for recipe in pending.recipes:
            yield pending.task, recipe


async def _pending(store: Store, planned: Sequence[PlannedRecipe], limit: int | None) -> int:
    statuses = await store.pairs.statuses(limit)
    return sum(statuses.get(entry.recipe.name, {}).get("pending", 0) for entry in planned)


async def _open_pools(
    stack: AsyncExitStack,
    roles: Mapping[str, Role],
    directory: RunDirectory,
    world: World,
    stop: asyncio.Event,
    progress: Progress,
) -> dict[str, Pool]:
    transport = world.transport()
    stack.push_async_callback(transport.close)
    servers = await stack.enter_async_context(EmbeddedServers(log=directory.log))
    pools = await open_pools(
        roles, transport, servers, world, stop, lambda sentence: progress.note(sentence, quotes=True)
    )
    for pool in pools.values():
        stack.push_async_callback(pool.close)
    return pools


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
