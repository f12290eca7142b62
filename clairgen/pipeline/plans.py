"""Plans: what the asks of each recipe are made of, and what a changed configuration means for a run."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from clairgen.config.file import config_yaml
from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.config.role import Role
from clairgen.errors import ConfigError, RunError
from clairgen.filters.settings import FilterSettings
from clairgen.keys import canonical_json, sampling_facts
from clairgen.pipeline.ingest import Reading, ingest, last_reading, same_source, source_facts
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.refilter import TOKENIZER, refilter
from clairgen.recipes.recipe import Recipe, RecipeContext
from clairgen.recipes.registry import recipe_named
from clairgen.store import Plan, Store
from clairgen.templates import load_template
from clairgen.version import __version__


@dataclass(frozen=True, slots=True)
class PlannedRecipe:
    """A recipe of a run with what it works with, and its plan as the store keeps it."""

    recipe: Recipe
    context: RecipeContext
    plan: Plan


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the plan that a recipe's pairs were made by and the one that is asked for now."""

    recipe: str
    what: str


def plan_recipes(config: RunConfig, roles: Mapping[str, Role]) -> list[PlannedRecipe]:
    """The recipes of a configuration.

    ConfigError for an unknown recipe, an option that it does not take, a missing role or a template that does not fit.
    """
    return [_planned(config, choice, roles) for choice in config.recipes]


def roles_asked(config: RunConfig) -> dict[str, Role]:
    """Of the configured roles, those that some recipe asks. ConfigError for an unknown recipe."""
    asked = {role for choice in config.recipes for role in recipe_named(choice.name).asks(config, choice)}
    return {name: role for name, role in config.models.items() if name in asked}


def _planned(config: RunConfig, choice: RecipeChoice, roles: Mapping[str, Role]) -> PlannedRecipe:
    recipe = recipe_named(choice.name)
    for option in sorted(choice.model_fields_set - {"name"} - recipe.options):
        raise ConfigError(f"the recipe {recipe.name!r} takes no `{option}`; leave it out")
    asked = recipe.asks(config, choice)
    for role in asked:
        if role not in roles:
            raise ConfigError(
                f"the recipe {recipe.name!r} asks a {role!r}, which `models` does not have; add models.{role}"
            )
    templates = {
        role: load_template(choice.template or name, recipe.slots[role]) for role, name in recipe.templates.items()
    }
    context = RecipeContext(
        choice,
        templates,
        asked,
        config.seed,
        recorded=recipe.reads_answers and not any(role.startswith("other-") for role in asked),
        certain=frozenset(role for role in asked if roles[role].temperature == 0),
    )
    return PlannedRecipe(recipe, context, Plan(recipe.name, _facts(config, context, roles), recipe.revises))


def changes(before: Mapping[str, Plan], planned: list[PlannedRecipe]) -> list[Change]:
    """What differs between the plans of a run and those asked for now; a recipe that is new to the run is no change."""
    return [
        Change(entry.recipe.name, what)
        for entry in planned
        if entry.recipe.name in before
        for what in differences(before[entry.recipe.name].facts, entry.plan.facts)
    ]


def differences(before: Mapping[str, Any], now: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """What differs between two nested mappings, a sentence each that begins with the dotted place."""
    for key in sorted(before.keys() | now.keys()):
        here = f"{place}.{key}" if place else key
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, here)
        elif canonical_json(old) != canonical_json(new):
            yield f"{here} changed from {_shown(old)} to {_shown(new)}"


def role_facts(role: Role, seed: int) -> dict[str, Any]:
    """All that a role's own settings put into its asks."""
    return {
        "model": role.model,
        "revision": role.revision,
        "system": role.system,
        **sampling_facts(role.sampling(seed)),
    }


def _facts(config: RunConfig, context: RecipeContext, roles: Mapping[str, Role]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name in context.roles:
        facts[f"models.{name}"] = role_facts(roles[name], config.seed)
    for name, template in context.templates.items():
        facts[f"template of the {name}"] = template.content_hash
    if context.recorded:
        facts["tasks"] = config.tasks.model_dump(mode="json", include={"answers", "scores"}, exclude_none=True)
    if context.recorded or any(role.startswith("judge") for role in context.roles):
        facts["seed"] = config.seed  # it draws the order in which a judge is shown two answers, and which two
    options = context.choice.model_dump(mode="json", exclude={"name", "template"}, exclude_defaults=True)
    return facts | {f"recipes.{context.choice.name}.{option}": value for option, value in options.items()}


def _shown(value: Any) -> str:  # noqa: ANN401 - any JSON value
    text = "nothing" if value is None else canonical_json(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


_CONFIGURED_FILTERS = "configured_filters"
_ASKS = re.compile(
    r"^(recipes|seed|tasks|filters|tokenizer|"
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
    await store.facts.record_templates(template for entry in planned for template in entry.context.templates.values())
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
    configured = await store.facts.get(_CONFIGURED_FILTERS)
    in_force = await store.filter_sets.in_force()
    unchanged = configured is not None and FilterSettings.from_record(configured) == config.filters
    if in_force is not None and unchanged and await store.facts.get(TOKENIZER) == config.tokenizer:
        return in_force[0], FilterSettings.from_record(in_force[1])
    if in_force is not None:
        progress.note("the filters or the tokenizer changed: all pairs are filtered anew; no model is asked for that")
    filters = config.filters if in_force is None or not unchanged else FilterSettings.from_record(in_force[1])
    number = await refilter(store, filters, config.tokenizer)
    await store.facts.put(TOKENIZER, config.tokenizer)
    await store.facts.put(_CONFIGURED_FILTERS, config.filters.model_dump_json())
    return number, filters


async def _note_harmless_changes(store: Store, config: RunConfig, progress: Progress) -> None:
    before = await store.facts.configuration()
    now = config_yaml(config)
    if before is not None and before != now:
        harmless = [what for what in differences(yaml.safe_load(before), yaml.safe_load(now)) if not _ASKS.match(what)]
        for what in harmless:
            progress.note(f"{what}: no new asks")
    await store.facts.record_configuration(now)
