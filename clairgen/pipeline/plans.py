"""Plans: what the asks of each recipe are made of, and what a changed configuration means for a run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clairgen.config.models import RecipeChoice, Role, RunConfig
from clairgen.errors import ConfigError
from clairgen.keys import canonical_json, sampling_facts
from clairgen.recipes.recipe import Kit, Recipe
from clairgen.recipes.registry import recipe_named
from clairgen.store import Plan
from clairgen.templates import load_template


@dataclass(frozen=True, slots=True)
class PlannedRecipe:
    """A recipe of a run with what it works with, and its plan as the store keeps it."""

    recipe: Recipe
    kit: Kit
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
    kit = Kit(
        choice,
        templates,
        asked,
        config.seed,
        recorded=recipe.reads_answers and not any(role.startswith("other-") for role in asked),
        certain=frozenset(role for role in asked if roles[role].temperature == 0),
    )
    return PlannedRecipe(recipe, kit, Plan(recipe.name, _facts(config, kit, roles), recipe.revises))


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


def _facts(config: RunConfig, kit: Kit, roles: Mapping[str, Role]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name in kit.roles:
        facts[f"models.{name}"] = role_facts(roles[name], config.seed)
    for name, template in kit.templates.items():
        facts[f"template of the {name}"] = template.content_hash
    if kit.recorded:
        facts["tasks"] = config.tasks.model_dump(mode="json", include={"answers", "scores"}, exclude_none=True)
    if kit.recorded or any(role.startswith("judge") for role in kit.roles):
        facts["seed"] = config.seed  # it draws the order in which a judge is shown two answers, and which two
    options = kit.choice.model_dump(mode="json", exclude={"name", "template"}, exclude_defaults=True)
    return facts | {f"recipes.{kit.choice.name}.{option}": value for option, value in options.items()}


def _shown(value: Any) -> str:  # noqa: ANN401 - any JSON value
    text = "nothing" if value is None else canonical_json(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
