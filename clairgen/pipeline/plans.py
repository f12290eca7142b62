"""Plans: what the requests of each recipe are made of, and what a changed configuration means for a run."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from clairgen.config.file import config_yaml
from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.config.renamed import with_new_names
from clairgen.config.role import Role
from clairgen.errors import ConfigError, RunError
from clairgen.filters.settings import FilterSettings
from clairgen.keys import sampling_facts
from clairgen.pipeline.differences import Difference, differences, may_change_requests, sentence
from clairgen.pipeline.ingest import IngestState, ingest, ingest_state, same_source, source_facts
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.refilter import TOKENIZER, refilter
from clairgen.recipes.recipe import Recipe, RecipeContext
from clairgen.recipes.registry import recipe_named
from clairgen.store import Plan, Store
from clairgen.templates import load_template
from clairgen.version import __version__

_CONFIGURED_FILTERS = "configured_filters"
_TEMPLATE = "template of the "
_DEFAULTS_OF_A_ROLE = {
    name: value
    for name, field in Role.model_fields.items()
    if not field.is_required() and (value := field.get_default(call_default_factory=True)) is not None
}


@dataclass(frozen=True, slots=True)
class PlannedRecipe:
    """A recipe of a run with its context, and its plan as the store keeps it."""

    recipe: Recipe
    context: RecipeContext
    plan: Plan


@dataclass(frozen=True, slots=True)
class PlanChange:
    """A difference between the plan that a recipe's pairs were made by and its plan under a configuration."""

    recipe: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run that is up to its configuration: its tasks, and the filter set in force."""

    ingest: IngestState
    filter_set: int
    filters: FilterSettings


def plan_recipes(config: RunConfig, roles: Mapping[str, Role]) -> list[PlannedRecipe]:
    """The recipes of a configuration.

    ConfigError for an unknown recipe, an option that it does not take, a missing role or a template that does not fit.
    """
    return [_planned(config, choice, roles) for choice in config.recipes]


def roles_used(config: RunConfig) -> dict[str, Role]:
    """Of the configured roles, those that some recipe uses. ConfigError for an unknown recipe."""
    used = {role for choice in config.recipes for role in recipe_named(choice.name).roles(config, choice)}
    return {name: role for name, role in config.models.items() if name in used}


def role_facts(role: Role, seed: int) -> dict[str, Any]:
    """All that a role's own settings put into its requests."""
    return {
        "model": role.model,
        "revision": role.revision,
        "system": role.system,
        **sampling_facts(role.sampling(seed)),
    }


def changes(before: Mapping[str, Plan], planned: list[PlannedRecipe]) -> list[PlanChange]:
    """What differs between the plans of a run and those of a configuration; a recipe that is new to the run is no change."""
    return [
        PlanChange(entry.recipe.name, difference)
        for entry in planned
        if entry.recipe.name in before
        for difference in differences(before[entry.recipe.name].facts, entry.plan.facts)
    ]


async def accepted_changes(
    store: Store, planned: list[PlannedRecipe], note: Callable[[str], None], *, other_tasks: bool, accepted: bool
) -> set[str]:
    """The recipes whose requests changed, once that is accepted; notes say what it means. Raises RunError until then."""
    found = changes(await store.metadata.plans(), planned)
    named = await _templates_by_hash(store, planned)
    statuses = await store.pairs.statuses()
    recipes_by_change = defaultdict[str, list[str]](list)
    for change in found:
        if pairs := _pairs(change.recipe, statuses.get(change.recipe, {})):
            recipes_by_change[_in_words(change.difference, named)].append(pairs)
    meanings = [
        f"{change} (made again, with new requests where they differ: {', '.join(pairs)})"
        for change, pairs in recipes_by_change.items()
    ]
    if other_tasks:
        meanings.append(
            "the tasks changed: prompts that the run does not have yet are added, those it has stay, and pairs of recorded "
            "answers are made again where the answers or their scores changed"
        )
    if meanings and not accepted:
        raise RunError(
            f"the configuration differs from the one this run was made with ({'; '.join(meanings)}); every answer so far is "
            "kept; pass --accept-changes to continue with it, or name another --run"
        )
    for meaning in meanings:
        note(meaning)
    return {change.recipe for change in found}


def has_other_tasks(state: IngestState | None, source: Mapping[str, Any]) -> bool:
    """Whether a run that has read all its tasks is given a source of other tasks."""
    return state is not None and state.complete and not same_source(state.source, dict(source))


async def prepare(
    store: Store,
    config: RunConfig,
    planned: list[PlannedRecipe],
    progress: Progress,
    *,
    skip_bad_lines: bool,
    accept_changes: bool,
    stop: asyncio.Event,
) -> PreparedRun:
    """Update the store to a configuration: tasks, templates, plans, pending pairs and filters.

    Raises RunError for a change of requests that was not accepted, and what `ingest` raises; a change takes effect only once
    all tasks are read.
    """
    await store.metadata.initialize(__version__)
    state = await ingest_state(store)
    source = source_facts(config.tasks, config.seed, state.source if state else None)
    changed = await accepted_changes(
        store, planned, progress.note, other_tasks=has_other_tasks(state, source), accepted=accept_changes
    )
    state = await ingest(
        store,
        config.tasks,
        config.seed,
        source,
        skip_bad_lines=skip_bad_lines,
        stop=stop,
        compared_by=await _comparing_recorded(store, planned),
        needs_scores=config.compares_by_scores,
    )
    await store.metadata.record_templates(
        template for entry in planned for template in entry.context.templates.values()
    )
    for entry in planned:
        await store.tasks.add_pending_pairs(entry.recipe.name)
        await store.metadata.record_plan(entry.plan, changed=entry.recipe.name in changed)
    filter_set, filters = await _filters_in_force(store, config, progress)
    await _note_harmless_changes(store, config, progress)
    return PreparedRun(state, filter_set, filters)


def _planned(config: RunConfig, choice: RecipeChoice, roles: Mapping[str, Role]) -> PlannedRecipe:
    recipe = recipe_named(choice.name)
    for option in sorted(choice.model_fields_set - {"name"} - recipe.options):
        raise ConfigError(f"the recipe {recipe.name!r} has no option `{option}`; leave it out")
    used = recipe.roles(config, choice)
    for role in used:
        if role not in roles:
            raise ConfigError(
                f"the recipe {recipe.name!r} needs a {role!r}, which `models` does not have; add models.{role}"
            )
    templates = {
        role: load_template(choice.template or name, recipe.slots[role]) for role, name in recipe.templates.items()
    }
    context = RecipeContext(
        choice,
        templates,
        used,
        config.seed,
        recorded=recipe.reads_answers and not any(role.startswith("other-") for role in used),
        deterministic=frozenset(role for role in used if roles[role].temperature == 0),
    )
    return PlannedRecipe(recipe, context, Plan(recipe.name, _facts(config, recipe, context, roles), recipe.revises))


def _facts(config: RunConfig, recipe: Recipe, context: RecipeContext, roles: Mapping[str, Role]) -> dict[str, Any]:
    """What the requests of a recipe are made of. Runs keep these facts, so other keys would be changes of every run."""
    facts: dict[str, Any] = {}
    for name in context.roles:
        facts[f"models.{name}"] = role_facts(roles[name], config.seed)
    for name, template in context.templates.items():
        facts[f"{_TEMPLATE}{name}"] = template.content_hash
    if context.recorded:
        facts["tasks"] = config.tasks.model_dump(mode="json", include={"answers", "scores"}, exclude_none=True)
    if context.recorded or any(role.startswith("judge") for role in context.roles):
        facts["seed"] = config.seed  # it draws the order in which a judge is shown two answers, and which two
    options = context.choice.model_dump(mode="json", exclude={"name", "template"}, exclude_defaults=True)
    return facts | {f"recipes.{recipe.name}.{option}": value for option, value in options.items()}


async def _comparing_recorded(store: Store, planned: list[PlannedRecipe]) -> list[str]:
    """The recipes, also those of earlier configurations, that choose between answers of the data set."""
    earlier = {name for name, plan in (await store.metadata.plans()).items() if "tasks" in plan.facts}
    return sorted(earlier | {entry.recipe.name for entry in planned if entry.context.recorded})


def _pairs(recipe: str, counts: Mapping[str, int]) -> str:
    """What a recipe has made that a change makes again; empty if there is none."""
    made, failed = counts.get("made", 0), counts.get("failed", 0)
    if made:
        return f"{made:,} {'pair' if made == 1 else 'pairs'} of {recipe}"
    return f"{failed:,} failed {'task' if failed == 1 else 'tasks'} of {recipe}" if failed else ""


async def _templates_by_hash(store: Store, planned: list[PlannedRecipe]) -> dict[str, str]:
    """Names of the templates that were used and are to be used."""
    now = {template.content_hash: template.name for entry in planned for template in entry.context.templates.values()}
    return {content_hash: name for name, content_hash in await store.metadata.templates()} | now


def _in_words(difference: Difference, templates: Mapping[str, str]) -> str:
    """A difference as part of a message; templates by their names, which plans do not have."""
    what = ".".join(difference.path)
    if not what.startswith(_TEMPLATE):
        return sentence(difference)
    old, new = (templates.get(value, "another text") for value in (difference.old, difference.new))
    return f"{what}: the text of {new} changed" if old == new else f"{what}: {old} -> {new}"


async def _filters_in_force(store: Store, config: RunConfig, progress: Progress) -> tuple[int, FilterSettings]:
    """The filter set in force: the configuration's, unless `clairgen filter` has set another since it last changed."""
    configured = await store.metadata.get(_CONFIGURED_FILTERS)
    in_force = await store.filter_sets.in_force()
    unchanged = configured is not None and FilterSettings.from_record(configured) == config.filters
    if in_force is not None and unchanged and await store.metadata.get(TOKENIZER) == config.tokenizer:
        return in_force[0], FilterSettings.from_record(in_force[1])
    if in_force is not None and any("made" in counts for counts in (await store.pairs.statuses()).values()):
        tokenizer = await store.metadata.get(TOKENIZER)
        old = FilterSettings.from_record(configured or "{}").model_dump(mode="json")
        before = {"filters": old, "tokenizer": tokenizer}
        now = {"filters": config.filters.model_dump(mode="json"), "tokenizer": config.tokenizer}
        changed = "; ".join(map(sentence, differences(before, now)))
        progress.note(f"{changed} (all pairs are filtered again, without new requests)")
    filters = config.filters if in_force is None or not unchanged else FilterSettings.from_record(in_force[1])
    number = await refilter(store, filters, config.tokenizer)
    await store.metadata.put(TOKENIZER, config.tokenizer)
    await store.metadata.put(_CONFIGURED_FILTERS, config.filters.model_dump_json())
    return number, filters


async def _note_harmless_changes(store: Store, config: RunConfig, progress: Progress) -> None:
    before = await store.metadata.configuration()
    now = config_yaml(config)
    if before is not None and before != now:
        recorded, _ = with_new_names(yaml.safe_load(before), "the run's configuration")
        # A key that the version which recorded it did not have is no change as long as it has its default.
        recorded["models"] = {name: _DEFAULTS_OF_A_ROLE | role for name, role in recorded.get("models", {}).items()}
        for difference in differences(recorded, yaml.safe_load(now)):
            if not may_change_requests(difference) and difference.path != ("budget_usd",):
                progress.note(f"{sentence(difference)} (no new requests)")
    await store.metadata.record_configuration(now)
