"""Scores by a rubric: a judge gives an answer a number for each criterion, and their weighted mean is its overall score."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

from clairgen.config.criteria import Criterion
from clairgen.finish_reason import FinishKind, finish_kind
from clairgen.long_texts import off_loop
from clairgen.parsing.rubric_reply import RUBRIC_PARSER_VERSION, Scale, parse_rubric_reply
from clairgen.recipes.recipe import Ask, RecipeContext, as_user, together
from clairgen.records import OVERALL, Answer, ParseStatus, SampleRange, Score, Task
from clairgen.templates import transcript

RUBRIC_SLOTS: Final = frozenset({"task", "student_solution", "rubric"})
_DIGITS = 9  # of a total; what is equal but for the order in which it was summed is then equal


async def rubric_scores(
    task: Task, answer: Answer, ask: Ask, context: RecipeContext, *, sample: int = SampleRange.DATA
) -> tuple[Score, ...]:
    """What each judge of `context` gives an answer: a score for each criterion of the rubric, and an overall one after them.

    A reply that cannot be read gives no number for any of them; its scores say why. `overall_score` of `records` is the mean
    over the judges. `sample` is the sample index of the requests. The template for the judge must have `RUBRIC_SLOTS`.
    """
    judges = [role for role in context.roles if role.startswith("judge")]
    return tuple(
        chain.from_iterable(await together(*(_of_judge(role, task, answer, ask, context, sample) for role in judges)))
    )


def weighted_total(scores: Mapping[str, float], rubric: Sequence[Criterion]) -> float:
    """The mean of an answer's scores, each as a share of its scale and by its weight: from 0 to 1."""
    weights = sum(criterion.weight for criterion in rubric)
    total = sum(criterion.weight * criterion.share_of_scale(scores[criterion.name]) for criterion in rubric)
    return round(total / weights, _DIGITS)


async def _of_judge(
    role: str, task: Task, answer: Answer, ask: Ask, context: RecipeContext, sample: int
) -> list[Score]:
    template, rubric = context.templates["judge"], context.rubric
    prompt = template.fill(task=transcript(task.messages), student_solution=answer.text, rubric=_as_list(rubric))
    reply = await ask(role, as_user(prompt), sample=sample, template=template)
    read = await off_loop(parse_rubric_reply, reply.text, tuple(Scale(one.name, *one.scale) for one in rubric))
    values, status = read.scores, read.status
    if finish_kind(reply.finish_reason) is FinishKind.LENGTH and values is not None:  # the last number may lack its end
        values, status = None, ParseStatus.NO_SCORES
    of_criteria = {one.name: None if values is None else values[one.name] for one in rubric}
    overall = None if values is None else weighted_total(values, rubric)
    return [
        *(
            Score(answer.identity, name, value, role, reply.key, status, RUBRIC_PARSER_VERSION)
            for name, value in of_criteria.items()
        ),
        Score(answer.identity, OVERALL, overall, role, reply.key, status, RUBRIC_PARSER_VERSION, read.reasoning),
    ]


def _as_list(rubric: Sequence[Criterion]) -> str:
    """The rubric as the judge is shown it."""
    return "\n".join(
        f"- {one.name} ({_written(one.scale[0])} to {_written(one.scale[1])}): {one.description.strip()}"
        for one in rubric
    )


def _written(bound: float) -> str:
    """A bound of a scale as a judge writes it: no exponent, and nothing rounded."""
    return f"{bound:.9f}".rstrip("0").rstrip(".")
