"""Delta learning (arXiv 2507.06187): the answer of a strong model is preferred to that of a weak one, without a judge."""

from collections.abc import Sequence

from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.errors import ConfigError
from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, answer_of
from clairgen.records import Pair, Task


async def delta(task: Task, ask: Ask, _context: RecipeContext) -> Pair:
    """y_w = Strong(x); y_l = Weak(x), as for Olmo 3 and SmolLM3.

    What counts is the difference in quality between the two, which may both be weaker than the model to be trained. That one
    is not asked, unlike for `stronger-preferred`, and nobody compares the answers, unlike for `judge-off-policy`.
    """
    chosen = await ask("strong", task.messages)
    rejected = await ask("weak", task.messages)
    return Pair(task.id, DELTA.name, answer_of(chosen), answer_of(rejected))


def _roles(config: RunConfig, _choice: RecipeChoice) -> Sequence[str]:
    strong, weak = config.models.get("strong"), config.models.get("weak")
    if strong is not None and strong == weak:
        raise ConfigError(
            "the recipe 'delta' prefers a strong model's answer to a weak one's, and models.strong and models.weak are the same; "
            "give two models"
        )
    return ["strong", "weak"]


DELTA = Recipe(
    name="delta",
    make=delta,
    roles=_roles,
    summary="a strong and a weak model answer; the strong one's answer is preferred without a judge",
)
