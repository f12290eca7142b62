"""CLAIR (Section 3.1): a stronger model minimally revises the target's own answer."""

from clairgen.parsing.revision import PARSER_VERSION
from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, always, answer_of
from clairgen.recipes.reviser import REVISER_SLOTS, revised
from clairgen.records import Pair, Task, Undecided


async def clair(task: Task, ask: Ask, context: RecipeContext) -> Pair | Undecided:
    """y_l = M(x); y_w = Reviser(x, y_l)   (eq. 1)."""
    rejected = await ask("target", task.messages)
    return await revised(task, CLAIR.name, answer_of(rejected), ask, context)


CLAIR = Recipe(
    name="clair",
    make=clair,
    roles=always("target", "reviser"),
    summary="the target answers, the reviser minimally improves that answer",
    revises=True,
    templates={"reviser": "revise"},
    slots={"reviser": REVISER_SLOTS},
    options=frozenset({"template", "check"}),
    parser_version=PARSER_VERSION,
)
