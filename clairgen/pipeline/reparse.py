"""A newer parser over stored answers: the recipe runs again, and every ask finds its answer in the store."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from clairgen.config.file import parse_config
from clairgen.config.models import RunConfig
from clairgen.config.role import Role
from clairgen.errors import DrainedError, RunError
from clairgen.filters.pipeline import FilterPipeline
from clairgen.filters.settings import FilterSettings
from clairgen.metrics.contrast import DEFAULT_TOKENIZER
from clairgen.pipeline.completions import CompletionClient
from clairgen.pipeline.make_pair import Keeper, Noting
from clairgen.pipeline.plans import PlannedRecipe, plan_recipes
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.refilter import TOKENIZER, settle_near_duplicates
from clairgen.records import StoredPair
from clairgen.store import RunDirectory, Store, writing


@dataclass(frozen=True, slots=True)
class Reparsed:
    """What a newer parser changed: pairs read again, pairs that came out otherwise, and those that had no chosen answer."""

    read: int
    changed: int
    recovered: int


async def reparse(run: Path | str, *, every: bool = False) -> Reparsed:
    """Make pairs again, from stored answers alone, that an older parser made; or `every` pair that a parser made."""
    directory = RunDirectory(Path(run))
    directory.require()
    with directory.locked():
        async with writing(directory) as store:
            in_force = await store.filter_sets.in_force()
            configuration = await store.facts.configuration()
            if in_force is None or configuration is None:
                raise RunError(f"{run} has no pairs yet; run generate first")
            settings = FilterSettings.from_record(in_force[1])
            keeper = Keeper(
                store, FilterPipeline(settings), in_force[0], await store.facts.get(TOKENIZER) or DEFAULT_TOKENIZER
            )
            done = await _reparse(parse_config(configuration, "the run's configuration"), keeper, every=every)
            await settle_near_duplicates(store, in_force[0], settings)
            return done


async def _reparse(config: RunConfig, keeper: Keeper, *, every: bool) -> Reparsed:
    store = keeper.store
    roles = await _roles_as_asked(store, config)
    stop = asyncio.Event()
    stop.set()  # whatever is not in the store stays unasked
    ask = CompletionClient(store, roles, {}, seed=config.seed, reused={}, stop=stop, progress=Progress())
    read = changed = recovered = 0
    for entry in plan_recipes(config, roles):
        version = entry.recipe.parser_version
        async for stored in store.pairs.made(entry.recipe.name):
            if version is None or (stored.pair.parser_version in (version, None) and not every):
                continue
            chosen_before = stored.pair.chosen
            chosen = await _made_again(stored, entry, ask, keeper)
            read += 1
            changed += chosen != (chosen_before.text if chosen_before else None)
            recovered += chosen is not None and chosen_before is None
    return Reparsed(read, changed, recovered)


async def _made_again(stored: StoredPair, entry: PlannedRecipe, ask: CompletionClient, keeper: Keeper) -> str | None:
    """The chosen text of a pair that is made again; of the stored one if an answer that it takes now was never asked."""
    before = stored.pair.chosen
    task = await keeper.store.tasks.find(stored.task.id)
    noting = Noting(ask)
    try:
        pair = await entry.recipe.make(task, noting, entry.context)
    except DrainedError:
        return before.text if before else None
    await keeper.keep(pair, stored.task.messages, noting.keys, revises=entry.recipe.revises)
    return pair.chosen.text if pair.chosen else None


async def _roles_as_asked(store: Store, config: RunConfig) -> dict[str, Role]:
    """The roles with the revisions that were recorded, so that weights on this machine need not be there any more."""
    plans = await store.facts.plans()
    revisions = {
        place.removeprefix("models."): facts.get("revision")
        for plan in plans.values()
        for place, facts in plan.facts.items()
        if place.startswith("models.")
    }
    return {
        name: role.model_copy(update={"revision": revisions.get(name, role.revision)})
        for name, role in config.models.items()
    }
