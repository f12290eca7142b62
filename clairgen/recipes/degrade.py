"""Degraded: the rejected answer is made from the chosen one (CLAIR the other way round)."""

from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, always, answer_of, as_user, unparsed
from clairgen.records import Pair, Task
from clairgen.templates import transcript


async def degraded(task: Task, ask: Ask, context: RecipeContext) -> Pair:
    """y_w = Stronger(x); y_l = Reviser(degrade x, y_w). The reviser replies with the changed text alone, so nothing is parsed."""
    chosen = await ask("stronger", task.messages)
    degrade = context.templates["reviser"]
    prompt = degrade.fill(task=transcript(task.messages), good_solution=chosen.text)
    rejected = unparsed(await ask("reviser", as_user(prompt), template=degrade))
    return Pair(task.id, DEGRADED.name, answer_of(chosen), answer_of(rejected))


DEGRADED = Recipe(
    name="degraded",
    make=degraded,
    roles=always("stronger", "reviser"),
    summary="a stronger model answers, the reviser makes that answer slightly worse",
    templates={"reviser": "degrade"},
    slots={"reviser": frozenset({"task", "good_solution"})},
    options=frozenset({"template"}),
)
