"""Judge on-policy (Section 3.2): a judge chooses between two answers of the target."""

from collections.abc import Sequence

from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.parsing.verdict import VERDICT_PARSER_VERSION
from clairgen.recipes.judge import JUDGE_SLOTS, judged, judges_of, orders_shown
from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, answer_of, require_sampling, together
from clairgen.records import Pair, Task, Undecided


async def judge_on_policy(task: Task, ask: Ask, context: RecipeContext) -> Pair | Undecided:
    """y_1, y_2 = M(x), M(x); (y_w, y_l) = Judge(x, y_1, y_2)   (eq. 2)."""
    first, second = await together(*(ask("target", task.messages, sample=sample) for sample in (0, 1)))
    return await judged(task, JUDGE_ON_POLICY.name, (answer_of(first), answer_of(second)), ask, context)


def _roles(config: RunConfig, _choice: RecipeChoice) -> Sequence[str]:
    require_sampling(config, "target", "judge-on-policy", "two different answers of the target")
    return ["target", *judges_of(config)]


JUDGE_ON_POLICY = Recipe(
    name="judge-on-policy",
    make=judge_on_policy,
    roles=_roles,
    summary="the target answers twice, a judge prefers one answer",
    templates={"judge": "judge"},
    slots={"judge": JUDGE_SLOTS},
    options=frozenset({"template", "order"}),
    parser_version=VERDICT_PARSER_VERSION,
    calls=lambda choice, role: 2 if role == "target" else orders_shown(choice),
)
