"""The registry of recipes: the paper's four, the variants that it left to future work, others', and those of plugins."""

from clairgen.plugins import Registry
from clairgen.recipes.best_of_n import BEST_OF_N
from clairgen.recipes.clair import CLAIR
from clairgen.recipes.clair_best_of_n import CLAIR_BEST_OF_N
from clairgen.recipes.clair_by_critique import CLAIR_BY_CRITIQUE
from clairgen.recipes.degrade import DEGRADED
from clairgen.recipes.delta import DELTA
from clairgen.recipes.feedback_edit import FEEDBACK_EDIT
from clairgen.recipes.judge_off_policy import JUDGE_OFF_POLICY
from clairgen.recipes.judge_on_policy import JUDGE_ON_POLICY
from clairgen.recipes.recipe import Recipe
from clairgen.recipes.rubric import RUBRIC
from clairgen.recipes.stronger_preferred import STRONGER_PREFERRED

RECIPES = Registry(
    Recipe,
    "clairgen.recipes",
    (
        *(CLAIR, JUDGE_ON_POLICY, JUDGE_OFF_POLICY, STRONGER_PREFERRED),
        *(CLAIR_BY_CRITIQUE, CLAIR_BEST_OF_N, FEEDBACK_EDIT, DEGRADED),
        *(DELTA, BEST_OF_N, RUBRIC),
    ),
)
"""Every recipe by its name."""


def recipe_named(name: str) -> Recipe:
    """The recipe of this name; ConfigError, with the most similar name, if there is none."""
    return RECIPES.named(name)
