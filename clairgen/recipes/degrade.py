"""Worsened: a losing answer made from a winning one (CLAIR the other way round)."""

from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, always, answer_of, as_user
from clairgen.records import Pair, Task
from clairgen.templates import transcript


async def worsened(task: Task, ask: Ask, context: RecipeContext) -> Pair:
    """y_w = Stronger(x); y_l = Reviser(worsen x, y_w). The reviser answers with the changed text alone: nothing is parsed."""
    chosen = await ask("stronger", task.messages)
    worsen = context.templates["reviser"]
    prompt = worsen.fill(task=transcript(task.messages), good_solution=chosen.text)
    rejected = await ask("reviser", as_user(prompt), template=worsen)
    return Pair(task.id, WORSENED.name, answer_of(chosen), answer_of(rejected))


WORSENED = Recipe(
    name="worsened",
    make=worsened,
    asks=always("stronger", "reviser"),
    summary="a stronger model answers, the reviser minimally worsens that answer",
    templates={"reviser": "worsen"},
    slots={"reviser": frozenset({"task", "good_solution"})},
    options=frozenset({"template"}),
)
