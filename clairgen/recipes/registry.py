"""The book of recipes: every recipe by its name."""

from rapidfuzz import process

from clairgen.errors import ConfigError
from clairgen.recipes.clair import CLAIR
from clairgen.recipes.clair_best_of_n import CLAIR_BEST_OF_N
from clairgen.recipes.clair_by_critique import CLAIR_BY_CRITIQUE
from clairgen.recipes.degrade import WORSENED
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
        WORSENED,
    )
}
"""The paper's four, and the variants that it left to future work."""


def recipe_named(name: str) -> Recipe:
    """The recipe of this name; ConfigError, with the nearest name, for one that is not in the book."""
    if name in RECIPES:
        return RECIPES[name]
    near = process.extractOne(name, list(RECIPES), score_cutoff=60)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(RECIPES)}"
    raise ConfigError(f"there is no recipe {name!r}; {hint}")
