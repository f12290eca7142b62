"""Plans: what the requests of each recipe of a configuration are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.config.role import Role
from clairgen.errors import ConfigError
from clairgen.keys import sampling_facts
from clairgen.recipes.recipe import Recipe, RecipeContext
from clairgen.recipes.registry import recipe_named
from clairgen.store import Plan
from clairgen.templates import load_template

TEMPLATE_FACT = "template of the "
"""How the key of a fact begins that is a template's content hash; the role follows."""


@dataclass(frozen=True, slots=True)
class PlannedRecipe:
    """A recipe of a run with its context, and its plan as the store keeps it."""

    recipe: Recipe
    context: RecipeContext
    plan: Plan


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
        facts[f"{TEMPLATE_FACT}{name}"] = template.content_hash
    if context.recorded:
        facts["tasks"] = config.task_source.model_dump(mode="json", include={"answers", "scores"}, exclude_none=True)
    if context.recorded or any(role.startswith("judge") for role in context.roles):
        facts["seed"] = config.seed  # it draws the order in which a judge is shown two answers, and which two
    options = context.choice.model_dump(mode="json", exclude={"name", "template"}, exclude_defaults=True)
    return facts | {f"recipes.{recipe.name}.{option}": value for option, value in options.items()}
