"""How an answer to a task is scored by itself, by judges or a reward model, and which two answers a margin rule chooses."""

from collections.abc import Sequence
from statistics import mean, pstdev
from typing import Final

from clairgen.config.models import REWARD_MODEL, RecipeChoice
from clairgen.errors import ConfigError
from clairgen.finish_reason import FinishKind, finish_kind
from clairgen.long_texts import off_loop
from clairgen.parsing.rating import HIGHEST, LOWEST, RATING_PARSER_VERSION, Rating, parse_rating
from clairgen.recipes.recipe import Ask, RecipeContext, as_user, together
from clairgen.records import OVERALL, Answer, Message, Pair, ParseStatus, Score, Task, Undecided, overall_score
from clairgen.templates import transcript

RATING_SLOTS = frozenset({"task", "student_solution"})
LARGEST_DIFFERENCE: Final = {"judge": HIGHEST - LOWEST, "rubric": 1}
"""Of two scores of one scorer; a reward model's has no bound."""


async def scored(task: Task, answer: Answer, ask: Ask, context: RecipeContext) -> tuple[Score, ...]:
    """A score by each scorer among the roles: r(x, y). Answers with equal texts are scored once.

    A judge sees the answer alone, so its ratings need no order, and there are as many requests as answers; ties are frequent,
    and several judges, whose mean counts, make them rarer.
    """
    return tuple(
        await together(
            *(
                (_reward if role == REWARD_MODEL else _rating)(task, role, answer, ask, context)
                for role in context.roles
                if role == REWARD_MODEL or role.startswith("judge")
            )
        )
    )


def preferred(scores: Sequence[float], rule: str, min_margin: float = 0) -> tuple[int, int, ParseStatus]:
    """The indices of the best answer and of the one it is preferred to; OK, or why it is not preferred.

    `best-worst`: the one with the lowest score. `mean-minus-two-sigma`: of those that score lower than the best, the one whose
    score is nearest to m - 2 s, with m the mean and s the standard deviation (divided by n) of all scores, which arXiv 2502.16825
    found better for large n; with up to five scores this is always the worst, since none can be lower than m - 2 s. Of equal
    scores the first counts, of equally near ones the lower. `equal-scores` if no score is lower than the best, `below-margin`
    if the difference is smaller than `min_margin`.
    """
    best = max(range(len(scores)), key=scores.__getitem__)
    lower = [index for index, score in enumerate(scores) if score < scores[best]]
    if not lower:
        return best, next(index for index in range(len(scores)) if index != best), ParseStatus.EQUAL_SCORES
    other = min(lower, key=scores.__getitem__)
    if rule == "mean-minus-two-sigma":
        point = mean(scores) - 2 * pstdev(scores)
        other = min(lower, key=lambda index: (abs(scores[index] - point), scores[index]))
    enough = round(scores[best] - scores[other], 9) >= min_margin
    return best, other, ParseStatus.OK if enough else ParseStatus.BELOW_MARGIN


def paired_by_scores(
    task: Task,
    recipe: str,
    answers: Sequence[Answer],
    scores: tuple[Score, ...],
    min_margin: float = 0,
    rule: str = "best-worst",
    *,
    unscored: ParseStatus | None = None,
) -> Pair | Undecided:
    """The pair of the answer with the highest overall score and the one that the margin rule names; see `preferred`.

    Answers without a score take no part. With fewer than two others the pair is undecided for the reason `unscored`, or if there
    is none, for why the first of them has no score. Whoever scored the chosen answer overall gives the pair its reasoning.
    """

    def undecided(reason: ParseStatus, shown: tuple[Answer, Answer]) -> Undecided:
        return Undecided(task.id, recipe, reason, shown, parser_version=scores[0].parser_version, scores=scores)

    given = [(answer, value) for answer in answers if (value := overall_score(answer, scores)) is not None]
    if len(given) < 2:
        reason = unscored or next(one.status for one in scores if one.status is not ParseStatus.OK)
        return undecided(reason, (answers[0], answers[1]))
    best, other, status = preferred([value for _, value in given], rule, min_margin)
    chosen, rejected = given[best][0], given[other][0]
    if status is not ParseStatus.OK:
        return undecided(status, (chosen, rejected))
    why = next(one.reasoning for one in scores if one.criterion == OVERALL and one.answer == chosen.identity)
    return Pair(task.id, recipe, chosen, rejected, why, scores[0].parser_version, scores=scores)


def require_possible_margin(choice: RecipeChoice, scored_by: str) -> None:
    """Raise ConfigError for a margin that no two scores can have; its pairs would all be paid for and dropped."""
    largest = LARGEST_DIFFERENCE.get(scored_by)
    if largest is not None and choice.min_margin > largest:
        raise ConfigError(
            f"no two scores of the recipe {choice.called!r} differ by more than {largest}, so "
            f"`min_margin: {choice.min_margin:g}` would drop every pair; give a smaller one"
        )


async def _reward(task: Task, role: str, answer: Answer, ask: Ask, _context: RecipeContext) -> Score:
    found = await ask(role, (*task.messages, Message("assistant", answer.text)))
    return Score(answer.identity, OVERALL, float(found.text), role, found.key)


async def _rating(task: Task, role: str, answer: Answer, ask: Ask, context: RecipeContext) -> Score:
    template = context.templates["judge"]
    prompt = template.fill(task=transcript(task.messages), student_solution=answer.text)
    reply = await ask(role, as_user(prompt), template=template)
    found = await off_loop(parse_rating, reply.text, answer.text)
    if finish_kind(reply.finish_reason) is FinishKind.LENGTH:  # the rest might have changed the rating
        found = Rating(None, ParseStatus.MISSING_SCORE)
    return Score(
        answer.identity, OVERALL, found.value, role, reply.key, found.status, RATING_PARSER_VERSION, found.reasoning
    )
