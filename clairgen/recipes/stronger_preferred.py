"""Stronger Preferred (Section 3.2): a stronger model's own answer is preferred to the target's."""

from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, always, answer_of
from clairgen.records import Pair, Task


async def stronger_preferred(task: Task, ask: Ask, _context: RecipeContext) -> Pair:
    """y_l = M(x); y_w = Stronger(x)   (eq. 4)."""
    rejected = await ask("target", task.messages)
    chosen = await ask("stronger", task.messages)
    return Pair(task.id, STRONGER_PREFERRED.name, answer_of(chosen), answer_of(rejected))


STRONGER_PREFERRED = Recipe(
    name="stronger-preferred",
    make=stronger_preferred,
    roles=always("target", "stronger"),
    summary="the target and a stronger model answer; the stronger one's answer is preferred",
)
