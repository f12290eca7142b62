"""How one answer to a task is scored by itself: rated by judges from 1 to 10, or given a number by a reward model."""

from clairgen.config.models import REWARD_MODEL
from clairgen.finish_reason import FinishKind, finish_kind
from clairgen.long_texts import off_loop
from clairgen.parsing.rating import RATING_PARSER_VERSION, Rating, parse_rating
from clairgen.recipes.recipe import Ask, RecipeContext, as_user
from clairgen.records import OVERALL, Answer, Message, ParseStatus, Score, Task
from clairgen.templates import transcript

RATING_SLOTS = frozenset({"task", "student_solution"})


async def scored(task: Task, answer: Answer, ask: Ask, context: RecipeContext) -> tuple[Score, ...]:
    """A score by each scorer among the roles: r(x, y). Answers with equal texts are scored once.

    A judge sees the answer alone, so its ratings need no order, and there are as many requests as answers; ties are frequent,
    and several judges, whose mean counts, make them rarer.
    """
    return tuple(
        [
            await (_reward if role == REWARD_MODEL else _rating)(task, role, answer, ask, context)
            for role in context.roles
            if role == REWARD_MODEL or role.startswith("judge")
        ]
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
    return Score(answer.identity, OVERALL, found.value, role, reply.key, found.status, RATING_PARSER_VERSION)
