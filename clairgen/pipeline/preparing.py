"""Before the first ask: tasks read in, plans compared and recorded, filters in force; what changed is said, never mixed."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from clairgen.config.file import config_yaml
from clairgen.config.models import RunConfig
from clairgen.errors import RunError
from clairgen.filters.settings import FilterSettings
from clairgen.pipeline.ingest import Reading, ingest, last_reading, same_source, source_facts
from clairgen.pipeline.plans import PlannedRecipe, changes, differences
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.refilter import TOKENISER, sift_all
from clairgen.store import Store
from clairgen.version import __version__

_CONFIGURED_FILTERS = "configured_filters"
_ASKS = re.compile(
    r"^(recipes|seed|tasks|filters|tokeniser|"
    r"models\.[\w-]+( changed|\.(model|revision|system|temperature|top_p|max_tokens|stop|seed|extra)))\b"
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the chains need to know of the run."""

    reading: Reading
    filter_set: int
    filters: FilterSettings


async def prepare(
    store: Store,
    config: RunConfig,
    planned: list[PlannedRecipe],
    progress: Progress,
    *,
    skip_bad_lines: bool,
    accept_changes: bool,
    stop: asyncio.Event,
) -> Prepared:
    """Bring the store up to the configuration.

    Raises RunError for a change of asks that was not accepted, and what `ingest` raises; a change takes effect only once
    the tasks are read in.
    """
    await store.facts.found_run(__version__)
    known = await last_reading(store)
    source = source_facts(config.tasks, config.seed, known.source if known else None)
    changed = await _accepted_changes(
        store, planned, progress, other_tasks=other_tasks(known, source), accepted=accept_changes
    )
    reading = await ingest(store, config.tasks, config.seed, source, skip_bad_lines=skip_bad_lines, stop=stop)
    await store.facts.record_templates(template for entry in planned for template in entry.kit.templates.values())
    for entry in planned:
        await store.tasks.expect(entry.recipe.name)
        await store.facts.record_plan(entry.plan, changed=entry.recipe.name in changed)
    filter_set, filters = await _settle_filters(store, config, progress)
    await _note_harmless_changes(store, config, progress)
    return Prepared(reading, filter_set, filters)


def other_tasks(known: Reading | None, source: Mapping[str, Any]) -> bool:
    """Whether a run that has its tasks is given others now."""
    return known is not None and known.complete and not same_source(known.source, dict(source))


async def _accepted_changes(
    store: Store, planned: list[PlannedRecipe], progress: Progress, *, other_tasks: bool, accepted: bool
) -> set[str]:
    """Say what changed and what it means; the recipes whose asks changed. Without the user's word nothing is mixed."""
    found = changes(await store.facts.plans(), planned)
    statuses = await store.pairs.statuses()
    made = {recipe: counts.get("made", 0) + counts.get("failed", 0) for recipe, counts in statuses.items()}
    meanings = [
        f"{change.what}: {made.get(change.recipe, 0)} pairs of {change.recipe} are made again, with new asks where they differ"
        for change in found
        if made.get(change.recipe)
    ]
    if other_tasks:
        meanings.append("the tasks changed: prompts that the run does not have yet are added, those it has stay")
    if meanings and not accepted:
        raise RunError(
            f"the configuration differs from the one this run was made with ({'; '.join(meanings)}); every answer so far is "
            "kept; pass --accept-changes to go on so, or name another --run"
        )
    for meaning in meanings:
        progress.note(meaning)
    return {change.recipe for change in found}


async def _settle_filters(store: Store, config: RunConfig, progress: Progress) -> tuple[int, FilterSettings]:
    """The filter set in force: the configuration's, unless `clairgen filter` has set another since it last changed."""
    configured = config.filters.model_dump_json()
    in_force = await store.filter_sets.in_force()
    unchanged = await store.facts.get(_CONFIGURED_FILTERS) == configured
    if in_force is not None and unchanged and await store.facts.get(TOKENISER) == config.tokeniser:
        return in_force[0], FilterSettings.model_validate_json(in_force[1])
    if in_force is not None:
        progress.note("the filters or the tokeniser changed: all pairs are sifted anew; no model is asked for that")
    filters = config.filters if in_force is None or not unchanged else FilterSettings.model_validate_json(in_force[1])
    number = await sift_all(store, filters, config.tokeniser)
    await store.facts.put(TOKENISER, config.tokeniser)
    await store.facts.put(_CONFIGURED_FILTERS, configured)
    return number, filters


async def _note_harmless_changes(store: Store, config: RunConfig, progress: Progress) -> None:
    before = await store.facts.configuration()
    now = config_yaml(config)
    if before is not None and before != now:
        harmless = [what for what in differences(yaml.safe_load(before), yaml.safe_load(now)) if not _ASKS.match(what)]
        for what in harmless:
            progress.note(f"{what}: no new asks")
    await store.facts.record_configuration(now)
