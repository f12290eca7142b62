"""CLAIR with the best of several revisions, chosen by a judge (future work of the paper)."""

from collections.abc import Sequence
from dataclasses import replace

from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.parsing.revision import PARSER_VERSION
from clairgen.recipes.judge import JUDGE_SLOTS, judged, judges_of, orders_shown
from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, answer_of, require_sampling
from clairgen.recipes.reviser import REVISER_SLOTS, revised
from clairgen.records import Pair, Task, Undecided


async def clair_best_of_n(task: Task, ask: Ask, context: RecipeContext) -> Pair | Undecided:
    """y_l = M(x); y_i = Reviser(x, y_l), i = 1..n; y_w is the best so far after each next one is judged against it.

    A tie, or a verdict that cannot be read, keeps the best so far. Revisions that cannot be parsed are skipped.
    """
    rejected = answer_of(await ask("target", task.messages))
    best = await revised(task, CLAIR_BEST_OF_N.name, rejected, ask, context)
    for number in range(1, context.choice.samples):
        other = await revised(task, CLAIR_BEST_OF_N.name, rejected, ask, context, sample=number)
        best = await _better(task, best, other, number, ask, context)
    return best


async def _better(
    task: Task, best: Pair | Undecided, other: Pair | Undecided, number: int, ask: Ask, context: RecipeContext
) -> Pair | Undecided:
    if isinstance(best, Undecided):
        return other
    if isinstance(other, Undecided):
        return best
    verdict = await judged(task, best.recipe, (best.chosen, other.chosen), ask, context, number)
    judgements = (*best.judgements, *(replace(one, round=number) for one in verdict.judgements))
    chose_other = isinstance(verdict, Pair) and verdict.judgements and verdict.chosen == other.chosen
    better = other if chose_other else best
    return replace(better, judgements=judgements)


def _roles(config: RunConfig, _choice: RecipeChoice) -> Sequence[str]:
    require_sampling(config, "reviser", "clair-best-of-n", "different revisions")
    return ["target", "reviser", *judges_of(config)]


CLAIR_BEST_OF_N = Recipe(
    name="clair-best-of-n",
    make=clair_best_of_n,
    roles=_roles,
    summary="the target answers, the reviser improves that answer several times, a judge keeps the best revision",
    revises=True,
    templates={"reviser": "revise", "judge": "judge"},
    slots={"reviser": REVISER_SLOTS, "judge": JUDGE_SLOTS},
    options=frozenset({"order", "samples", "check"}),
    parser_version=PARSER_VERSION,
    calls=lambda choice, role: {"target": 1, "reviser": choice.samples}.get(
        role, (choice.samples - 1) * orders_shown(choice)
    ),
)
