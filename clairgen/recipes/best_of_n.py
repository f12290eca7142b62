"""Best of n: several answers of the target are scored, and the best is preferred to one that a margin rule names."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from clairgen.config.models import REWARD_MODEL, RecipeChoice, RunConfig
from clairgen.errors import ConfigError
from clairgen.parsing.rating import RATING_PARSER_VERSION
from clairgen.parsing.rubric_reply import RUBRIC_PARSER_VERSION
from clairgen.recipes.judge import judges_of
from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, answer_of, require_sampling, together
from clairgen.recipes.rubric_scores import RUBRIC_SLOTS, rubric_scores
from clairgen.recipes.scoring import RATING_SLOTS, paired_by_scores, require_possible_margin, scored
from clairgen.records import Pair, ParseStatus, Task, Undecided


async def best_of_n(task: Task, ask: Ask, context: RecipeContext) -> Pair | Undecided:
    """y_i = M(x), s_i = r(x, y_i), i = 1..n; y_w has the highest s, y_l is the one that the margin rule names.

    Without a reason to prefer one (`preferred`) the pair is undecided, and keeps all scores. An answer without a score, because
    a judge's reply could not be read, is neither y_w nor y_l. With `by: rubric` r is the weighted total of `rubric_scores`.
    """
    choice = context.choice
    score = rubric_scores if choice.by == "rubric" else scored
    drawn = await together(*(ask("target", task.messages, sample=number) for number in range(choice.samples)))
    answers = [answer_of(one) for one in drawn]
    scores = tuple(chain.from_iterable(await together(*(score(task, answer, ask, context) for answer in answers))))
    return paired_by_scores(
        task,
        BEST_OF_N.name,
        answers,
        scores,
        choice.min_margin,
        choice.margin_rule,
        unscored=ParseStatus.MISSING_SCORE,
    )


def _roles(config: RunConfig, choice: RecipeChoice) -> Sequence[str]:
    if choice.by == "scores":
        raise ConfigError("the recipe 'best-of-n' scores new answers, `by: judge`, `by: rubric` or `by: reward-model`")
    if choice.by == REWARD_MODEL and choice.template is not None:
        raise ConfigError("`template` is what a judge of the recipe 'best-of-n' is asked; a reward model takes none")
    require_possible_margin(choice, choice.by)
    require_sampling(config, "target", "best-of-n", "different answers of the target")
    return ["target", REWARD_MODEL] if choice.by == REWARD_MODEL else ["target", *judges_of(config)]


def _under(choice: RecipeChoice) -> Recipe | None:
    """A reward model is asked by no prompt, and by a rubric another one is used and another parser reads the replies."""
    if choice.by == REWARD_MODEL:
        return replace(BEST_OF_N, templates={}, slots={}, parser_version=None)
    if choice.by == "rubric":
        templates, slots = {"judge": "rubric"}, {"judge": RUBRIC_SLOTS}
        return replace(
            BEST_OF_N, templates=templates, slots=slots, parser_version=RUBRIC_PARSER_VERSION, by_rubric=True
        )
    return None


BEST_OF_N = Recipe(
    name="best-of-n",
    make=best_of_n,
    roles=_roles,
    summary="the target answers several times, a judge or a reward model scores each answer",
    templates={"judge": "score"},
    slots={"judge": RATING_SLOTS},
    options=frozenset({"template", "samples", "by", "margin_rule", "min_margin"}),
    parser_version=RATING_PARSER_VERSION,
    calls=lambda choice, _role: choice.samples,
    under=_under,
)
