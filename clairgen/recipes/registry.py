"""The registry of recipes, and names that recipes had before."""

from collections.abc import Mapping

from rapidfuzz import process

from clairgen.errors import ConfigError
from clairgen.recipes.clair import CLAIR
from clairgen.recipes.clair_best_of_n import CLAIR_BEST_OF_N
from clairgen.recipes.clair_by_critique import CLAIR_BY_CRITIQUE
from clairgen.recipes.degrade import DEGRADED
from clairgen.recipes.judge_off_policy import JUDGE_OFF_POLICY
from clairgen.recipes.judge_on_policy import JUDGE_ON_POLICY
from clairgen.recipes.recipe import Recipe
from clairgen.recipes.stronger_preferred import STRONGER_PREFERRED

RECIPES = {
    recipe.name: recipe
    for recipe in (
        CLAIR,
        JUDGE_ON_POLICY,
        JUDGE_OFF_POLICY,
        STRONGER_PREFERRED,
        CLAIR_BY_CRITIQUE,
        CLAIR_BEST_OF_N,
        DEGRADED,
    )
}
"""Every recipe by its name: the paper's four, and the variants that it left to future work."""

RENAMED: Mapping[str, str] = {"worsened": "degraded"}
"""Old names of recipes, which configurations and command lines may still have, with the current ones."""


def current_name(name: str) -> str:
    """The current name of a recipe that may be written with an old name."""
    return RENAMED.get(name, name)


def recipe_named(name: str) -> Recipe:
    """The recipe of this name, current or old; ConfigError, with the nearest name, for an unknown one."""
    name = current_name(name)
    if name in RECIPES:
        return RECIPES[name]
    near = process.extractOne(name, list(RECIPES), score_cutoff=60)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(RECIPES)}"
    raise ConfigError(f"there is no recipe {name!r}; {hint}")
