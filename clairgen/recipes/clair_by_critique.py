"""CLAIR with several requests as the reviser: draft, critique, revise (future work of the paper)."""

from clairgen.parsing.revision import PARSER_VERSION
from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, always, answer_of
from clairgen.recipes.reviser import REVISER_SLOTS, criticism, revised
from clairgen.records import Pair, Task, Undecided


async def clair_by_critique(task: Task, ask: Ask, context: RecipeContext) -> Pair | Undecided:
    """y_l = M(x); c = Reviser(criticize x, y_l); y_w = Reviser(x, y_l, c)."""
    rejected = answer_of(await ask("target", task.messages))
    found = await criticism("reviser", task, rejected, ask, context, template="critique")
    return await revised(task, CLAIR_BY_CRITIQUE.name, rejected, ask, context, criticism=found)


CLAIR_BY_CRITIQUE = Recipe(
    name="clair-by-critique",
    make=clair_by_critique,
    roles=always("target", "reviser"),
    summary="the target answers, the reviser criticizes that answer and then revises it by the criticism",
    revises=True,
    templates={"reviser": "revise-by-critique", "critique": "critique"},
    slots={"reviser": REVISER_SLOTS | {"criticism"}, "critique": REVISER_SLOTS},
    options=frozenset({"check"}),
    parser_version=PARSER_VERSION,
    calls=lambda _choice, role: 2 if role == "reviser" else 1,
)
