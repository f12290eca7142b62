"""Rubric judging: every answer is scored criterion by criterion, and the best total is preferred to the worst.

UltraFeedback (arXiv 2310.01377) has a judge score several aspects of each answer; the weighted mean over the criteria of a
rubric is the explicit aggregation of Rubrics as Rewards (arXiv 2507.17746).
"""

from collections.abc import Sequence
from itertools import chain

from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.errors import ConfigError
from clairgen.parsing.rubric_reply import RUBRIC_PARSER_VERSION
from clairgen.recipes.judge import judges_of
from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, answer_of, require_sampling, together
from clairgen.recipes.rubric_scores import RUBRIC_SLOTS, rubric_scores
from clairgen.recipes.scoring import paired_by_scores, require_possible_margin
from clairgen.records import Pair, Task, Undecided


async def rubric(task: Task, ask: Ask, context: RecipeContext) -> Pair | Undecided:
    """y_i = M(x), i = 1..n; s(y) = sum_c w_c s_c(y) / sum_c w_c; y_w has the highest s(y_i), y_l the lowest, unless
    another `margin_rule` is given.

    s_c(y) is the judge's score for criterion c, as a share of its scale; with several judges s(y) is the mean of theirs. With
    `answers: others` y_i is M_i(x), the answer of another model.
    """
    if context.choice.answers == "others":
        others = [role for role in context.roles if role.startswith("other-")]
        drawn = await together(*(ask(role, task.messages) for role in others))
    else:
        samples = range(context.choice.samples)
        drawn = await together(*(ask("target", task.messages, sample=sample) for sample in samples))
    answers = [answer_of(one) for one in drawn]
    scores = tuple(
        chain.from_iterable(await together(*(rubric_scores(task, answer, ask, context) for answer in answers)))
    )
    return paired_by_scores(task, RUBRIC.name, answers, scores, context.choice.min_margin, context.choice.margin_rule)


def _roles(config: RunConfig, choice: RecipeChoice) -> Sequence[str]:
    require_possible_margin(choice, "rubric")
    if choice.answers == "others":
        others = sorted(role for role in config.models if role.startswith("other-"))
        if len(others) < 2:
            raise ConfigError(
                "the recipe 'rubric' with `answers: others` compares the answers of two other models or more; give models.others"
            )
        if "samples" in choice.model_fields_set:
            raise ConfigError("`samples` counts answers of the target; with `answers: others` each model answers once")
        return [*others, *judges_of(config)]
    require_sampling(config, "target", "rubric", "different answers of the target")
    return ["target", *judges_of(config)]


RUBRIC = Recipe(
    name="rubric",
    make=rubric,
    roles=_roles,
    summary="several answers are scored by the criteria of a rubric, the best one is preferred to the worst",
    templates={"judge": "rubric"},
    slots={"judge": RUBRIC_SLOTS},
    options=frozenset({"template", "samples", "answers", "margin_rule", "min_margin"}),
    parser_version=RUBRIC_PARSER_VERSION,
    calls=lambda choice, _role: 1 if choice.answers == "others" else choice.samples,
    by_rubric=True,
)
