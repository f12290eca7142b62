"""Delta learning (arXiv 2507.06187): the answer of a strong model is preferred to that of a weak one, without a judge."""

from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, always, answer_of
from clairgen.records import Pair, Task


async def delta(task: Task, ask: Ask, _context: RecipeContext) -> Pair:
    """y_w = Strong(x); y_l = Weak(x), as for Olmo 3 and SmolLM3.

    What counts is the difference in quality between the two, which may both be weaker than the model to be trained. That one
    is not asked, unlike for `stronger-preferred`, and nobody compares the answers, unlike for `judge-off-policy`.
    """
    chosen = await ask("strong", task.messages)
    rejected = await ask("weak", task.messages)
    return Pair(task.id, DELTA.name, answer_of(chosen), answer_of(rejected))


DELTA = Recipe(
    name="delta",
    make=delta,
    roles=always("strong", "weak"),
    summary="a strong and a weak model answer; the strong one's answer is preferred without a judge",
)
