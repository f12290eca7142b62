"""Plans: what the requests of each recipe of a configuration are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.config.renamed import RENAMED
from clairgen.config.role import Role
from clairgen.errors import ConfigError
from clairgen.keys import sampling_facts
from clairgen.recipes.own_turns import with_own_turns
from clairgen.recipes.recipe import Ask, Recipe, RecipeContext
from clairgen.recipes.registry import RECIPES, recipe_named
from clairgen.records import Pair, Task, Undecided
from clairgen.store import HUMAN_REVISION, Plan
from clairgen.templates import load_template

TEMPLATE_FACT = "template of the "
"""How the key of a fact begins that is a template's content hash; the role follows."""


@dataclass(frozen=True, slots=True)
class PlannedRecipe:
    """A recipe of a run with its context, and its plan as the store keeps it.

    `own_turns` is whether the target first answers the earlier turns of a conversation itself.
    """

    recipe: Recipe
    context: RecipeContext
    plan: Plan
    own_turns: bool = False

    async def make(self, task: Task, ask: Ask) -> tuple[Task, Pair | Undecided]:
        """What the recipe makes of a task, after the task as it was answered: with the conversation before its last turn.

        Raises RequestFailedError when this task has to fail, RunStoppedError when the run stops.
        """
        if self.own_turns:
            task = await with_own_turns(task, ask)
        return task, await self.recipe.make(task, ask, self.context)


def plan_recipes(config: RunConfig, roles: Mapping[str, Role]) -> list[PlannedRecipe]:
    """The recipes of a configuration.

    ConfigError for an unknown recipe, an option that it does not take, a missing role, a template that does not fit, or a rubric
    that nobody uses.
    """
    planned = [_planned(config, choice, roles) for choice in config.recipes]
    if config.rubric and not any(entry.recipe.by_rubric for entry in planned):
        raise ConfigError(
            "`rubric` is there, and no recipe scores by it; add the recipe 'rubric' or, of 'best-of-n', `by: rubric`, or leave "
            "it out"
        )
    return planned


def roles_used(config: RunConfig) -> dict[str, Role]:
    """Of the configured roles, those that some recipe uses. ConfigError for an unknown recipe."""
    used = {role for choice in config.recipes for role in _roles_of(config, choice)}
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
    for option in sorted(choice.model_fields_set - {"name", "as_name"} - recipe.options):
        raise ConfigError(f"the recipe {recipe.name!r} has no option `{option}`; leave it out")
    used = _roles_of(config, choice)
    recipe = recipe.under(choice) or recipe
    if choice.called != recipe.name:
        recipe = _called(recipe, choice.called)
    for role in used:
        if role not in roles:
            raise ConfigError(
                f"the recipe {recipe.name!r} needs a {role!r}, which `models` does not have; add models.{role}"
            )
    templates = {
        role: load_template(choice.template or name, recipe.slots[role]) for role, name in recipe.templates.items()
    }
    rubric = tuple(config.rubric) if recipe.by_rubric else ()
    if recipe.by_rubric and not rubric:
        raise ConfigError(
            f"the recipe {recipe.name!r} scores answers by a rubric, which the configuration does not have; give `rubric` a list "
            "of criteria, each with a name and a description"
        )
    context = RecipeContext(
        choice,
        templates,
        used,
        config.seed,
        recorded=recipe.reads_answers and not any(role.startswith("other-") for role in used),
        deterministic=frozenset(role for role in used if roles[role].temperature == 0),
        rubric=rubric,
    )
    plan = Plan(recipe.name, _facts(config, recipe, context, roles), recipe.revises)
    return PlannedRecipe(recipe, context, plan, own_turns=config.assistant_turns == "own")


def _roles_of(config: RunConfig, choice: RecipeChoice) -> list[str]:
    """The roles that a recipe asks, and the target where it is to have the earlier turns of conversations."""
    used = list(recipe_named(choice.name).roles(config, choice))
    return ["target", *used] if config.assistant_turns == "own" and "target" not in used else used


def _called(recipe: Recipe, name: str) -> Recipe:
    """The recipe under another name, which its pairs have too. ConfigError for the name that another recipe has or had."""
    if name in RECIPES or name in RENAMED.recipes or name == HUMAN_REVISION:
        raise ConfigError(f"`as: {name}` is the name of another recipe; choose another name")

    async def make(task: Task, ask: Ask, context: RecipeContext) -> Pair | Undecided:
        return replace(await recipe.make(task, ask, context), recipe=name)

    return replace(recipe, name=name, make=make)


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
    if config.assistant_turns != "given":
        facts["tasks.assistant_turns"] = config.assistant_turns
    if context.rubric:
        facts["rubric"] = [criterion.name for criterion in context.rubric]
        for criterion in context.rubric:
            fields = criterion.model_dump(mode="json", exclude={"name"})
            facts |= {f"rubric.{criterion.name}.{key}": value for key, value in fields.items()}
    if recipe.name != context.choice.name:
        facts[f"recipes.{recipe.name}"] = context.choice.name
    options = context.choice.model_dump(mode="json", exclude={"name", "as_name", "template"}, exclude_defaults=True)
    return facts | {f"recipes.{recipe.name}.{option}": value for option, value in options.items()}
