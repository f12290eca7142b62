"""Judge off-policy (Section 3.2): a judge or recorded scores choose between answers of other models."""

from collections.abc import Sequence

from clairgen.config.models import REWARD_MODEL, RecipeChoice, RunConfig
from clairgen.errors import ConfigError, RequestFailedError
from clairgen.keys import canonical_json, digest
from clairgen.parsing.verdict import VERDICT_PARSER_VERSION
from clairgen.recipes.judge import JUDGE_SLOTS, judged, judges_of, orders_shown
from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, answer_of, together
from clairgen.records import Answer, Pair, ParseStatus, RecordedAnswer, Task, Undecided
from clairgen.wording import counted


async def judge_off_policy(task: Task, ask: Ask, context: RecipeContext) -> Pair | Undecided:
    """y_1, y_2 = M'(x), M''(x); (y_w, y_l) = Judge(x, y_1, y_2)   (eq. 3).

    With `others` the first two of them answer. Otherwise the data set's answers are taken: two drawn by seed and task for
    the judge, or the best and the worst by recorded scores (of equal ones the first).
    """
    others = [role for role in context.roles if role.startswith("other-")]
    if others:
        first, second = map(answer_of, await together(*(ask(role, task.messages) for role in others[:2])))
    elif context.choice.by == "scores":
        return best_and_worst(task)
    else:
        first, second = _drawn(task, context)
    return await judged(task, JUDGE_OFF_POLICY.name, (first, second), ask, context)


def best_and_worst(task: Task) -> Pair | Undecided:
    """The pair of the best and the worst scored answer; undecided without two different scores."""
    answers = _at_least_two(task)
    scored = [answer for answer in answers if answer.score is not None]
    ranked = sorted(scored, key=lambda answer: -(answer.score or 0.0))
    if len(scored) < 2:
        return Undecided(task.id, JUDGE_OFF_POLICY.name, ParseStatus.MISSING_SCORE, _as_answers(answers[0], answers[1]))
    best, worst = ranked[0], next(answer for answer in scored if answer.score == ranked[-1].score)
    if best.score == worst.score:
        return Undecided(task.id, JUDGE_OFF_POLICY.name, ParseStatus.EQUAL_SCORES, _as_answers(scored[0], scored[1]))
    return Pair(task.id, JUDGE_OFF_POLICY.name, *_as_answers(best, worst))


def _drawn(task: Task, context: RecipeContext) -> tuple[Answer, Answer]:
    answers = _at_least_two(task)
    drawn = int(digest(canonical_json([context.seed, task.id, "answers"]))[:12], 16)
    first = drawn % len(answers)
    second = (first + 1 + drawn // len(answers) % (len(answers) - 1)) % len(answers)
    return _as_answers(answers[first], answers[second])


def _at_least_two(task: Task) -> Sequence[RecordedAnswer]:
    if len(task.answers) < 2:
        raise RequestFailedError(
            "too-few-answers",
            f"task {task.id} has {counted(len(task.answers), 'answer')} in the data set; two are needed",
        )
    return task.answers


def _as_answers(first: RecordedAnswer, second: RecordedAnswer) -> tuple[Answer, Answer]:
    return Answer(first.text, "recorded", "", first.model), Answer(second.text, "recorded", "", second.model)


def _roles(config: RunConfig, choice: RecipeChoice) -> Sequence[str]:
    others = sorted(role for role in config.models if role.startswith("other-"))
    if choice.by in (REWARD_MODEL, "rubric"):
        raise ConfigError(
            "the recipe 'judge-off-policy' compares `by: judge` or `by: scores`; the recipe 'rubric' with `answers: others` "
            "scores other models' answers"
        )
    if len(others) > 2:
        raise ConfigError(f"the recipe 'judge-off-policy' compares two other models; models.others has {len(others)}")
    if others and choice.by == "scores":
        raise ConfigError("`by: scores` compares the data set's own answers; leave out models.others or `by`")
    if not others and (config.tasks is None or config.tasks.answers is None):
        raise ConfigError(
            "the recipe 'judge-off-policy' needs answers of other models: give models.others (two of them), or name the data "
            "set's own with `answers` under `tasks`"
        )
    if len(others) == 1:
        raise ConfigError("the recipe 'judge-off-policy' compares two other models; give models.others a second one")
    return [] if choice.by == "scores" else [*others[:2], *judges_of(config)]


JUDGE_OFF_POLICY = Recipe(
    name="judge-off-policy",
    make=judge_off_policy,
    roles=_roles,
    summary="other models answer, or the data set has their answers; a judge or recorded scores prefer one",
    templates={"judge": "judge"},
    slots={"judge": JUDGE_SLOTS},
    options=frozenset({"template", "order", "by"}),
    parser_version=VERDICT_PARSER_VERSION,
    reads_answers=True,
    calls=lambda choice, role: orders_shown(choice) if role.startswith("judge") else 1,
)
