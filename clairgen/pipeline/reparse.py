"""A newer parser over stored completions: the recipe runs again, and every request finds its completion in the store."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from clairgen.config.file import parse_config
from clairgen.config.models import RunConfig
from clairgen.config.role import Role
from clairgen.errors import DrainedError, RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.long_texts import close_workers
from clairgen.metrics.contrast import DEFAULT_TOKENIZER
from clairgen.pipeline.completion_client import CompletionClient
from clairgen.pipeline.make_pair import FiltersInForce, RecordingAsk, save_pair
from clairgen.pipeline.pair_measures import PairMeasures
from clairgen.pipeline.plans import PlannedRecipe, plan_recipes
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.refilter import filter_again, settle_run_filters, unsettle_run_filters, unsettle_votes
from clairgen.records import Pair, StoredPair, Undecided
from clairgen.store import RunDirectory, Store, writing
from clairgen.store.metadata import TOKENIZER


@dataclass(frozen=True, slots=True)
class ReparseSummary:
    """What a newer parser changed: pairs read again, those with another chosen answer, and those that had none before."""

    read: int
    changed: int
    recovered: int


async def reparse(run: Path | str, *, every: bool = False) -> ReparseSummary:
    """Make the pairs of an older parser again from stored completions alone; with `every`, those of this parser too."""
    directory = RunDirectory(Path(run))
    directory.require()
    with directory.locked():
        async with writing(directory) as store:
            in_force = await store.filter_sets.in_force()
            configuration = await store.metadata.configuration()
            if configuration is None and await store.metadata.plans():
                raise RunError(f"the pairs of {run} are imported; there is no reply of a model to parse")
            if in_force is None or configuration is None:
                raise RunError(f"{run} has no pairs yet; run generate first")
            settings = FilterSettings.from_record(in_force[1])
            tokenizer = await store.metadata.get(TOKENIZER) or DEFAULT_TOKENIZER
            filters = FiltersInForce(in_force[0], PairMeasures(settings, tokenizer, jobs=0))
            config = parse_config(configuration, "the run's configuration")
            await unsettle_run_filters(store, settings)
            await unsettle_votes(store, settings)
            try:
                summary = await _reparse(store, config, filters, every=every)
            finally:
                await close_workers()
            await filter_again(store, in_force[0], settings)
            await settle_run_filters(store, in_force[0], settings)
            return summary


async def _reparse(store: Store, config: RunConfig, filters: FiltersInForce, *, every: bool) -> ReparseSummary:
    roles = await _roles_as_planned(store, config)
    stop = asyncio.Event()
    stop.set()  # nothing is requested that is not in the store
    ask = CompletionClient(store, roles, {}, seed=config.seed, reused={}, stop=stop, progress=Progress())
    read = changed = recovered = 0
    for entry in plan_recipes(config, roles):
        version = entry.recipe.parser_version
        async for stored in store.pairs.made(entry.recipe.name):
            if version is None or (stored.outcome.parser_version in (version, None) and not every):
                continue
            again = await _made_again(store, stored, entry, ask, filters)
            read += 1
            changed += _chosen_text(again) != _chosen_text(stored.outcome)
            recovered += isinstance(again, Pair) and isinstance(stored.outcome, Undecided)
    return ReparseSummary(read, changed, recovered)


async def _made_again(
    store: Store, stored: StoredPair, entry: PlannedRecipe, ask: CompletionClient, filters: FiltersInForce
) -> Pair | Undecided:
    """What the recipe makes of a task now; what is stored, if it would need a completion that was never requested."""
    task = await store.tasks.find(stored.task.id)
    recording = RecordingAsk(ask)
    try:
        _, outcome = await entry.make(task, recording)
    except DrainedError:
        return stored.outcome
    revises = entry.recipe.revises
    return await save_pair(store, filters, outcome, stored.task.messages, recording.keys, revises=revises)


def _chosen_text(outcome: Pair | Undecided) -> str | None:
    return outcome.chosen.text if isinstance(outcome, Pair) else None


async def _roles_as_planned(store: Store, config: RunConfig) -> dict[str, Role]:
    """The roles with the revisions of the recorded plans, so that local weights need not be on this machine any more."""
    plans = await store.metadata.plans()
    revisions = {
        key.removeprefix("models."): facts.get("revision")
        for plan in plans.values()
        for key, facts in plan.facts.items()
        if key.startswith("models.")
    }
    return {
        name: role.model_copy(update={"revision": revisions.get(name, role.revision)})
        for name, role in config.models.items()
    }
