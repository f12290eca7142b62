"""Judge off-policy (Section 3.2): a choice between answers of other models, by a judge or by recorded scores."""

from collections.abc import Sequence

from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.errors import ConfigError, RequestFailedError
from clairgen.keys import canonical_json, digest
from clairgen.parsing.verdict import VERDICT_PARSER_VERSION
from clairgen.recipes.judge import JUDGE_SLOTS, judged, judges_of, orders_shown, pair_of_choice
from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, answer_of
from clairgen.records import Answer, Pair, ParseStatus, RecordedAnswer, Task


async def judge_off_policy(task: Task, ask: Ask, context: RecipeContext) -> Pair:
    """y_1, y_2 = M'(x), M''(x); (y_w, y_l) = Judge(x, y_1, y_2)   (eq. 3).

    With `others` the first two of them answer. Else the data set's answers are taken: two drawn by seed and task for the
    judge, or by recorded scores the best and the worst (of equals the one that stands first).
    """
    others = [role for role in context.roles if role.startswith("other-")]
    if others:
        first, second = [answer_of(await ask(role, task.messages)) for role in others[:2]]
    elif context.choice.by == "scores":
        return best_and_worst(task)
    else:
        first, second = _drawn(task, context)
    return await judged(task, JUDGE_OFF_POLICY.name, (first, second), ask, context)


def best_and_worst(task: Task) -> Pair:
    """The pair of the best and the worst scored answer; without two different scores one without a chosen answer."""
    answers = _at_least_two(task)
    scored = [answer for answer in answers if answer.score is not None]
    ranked = sorted(scored, key=lambda answer: -(answer.score or 0.0))
    if len(scored) < 2:
        return pair_of_choice(
            task, JUDGE_OFF_POLICY.name, _as_answers(answers[0], answers[1]), None, ParseStatus.MISSING_SCORE
        )
    best, worst = ranked[0], next(answer for answer in scored if answer.score == ranked[-1].score)
    if best.score == worst.score:
        return pair_of_choice(
            task, JUDGE_OFF_POLICY.name, _as_answers(scored[0], scored[1]), None, ParseStatus.EQUAL_SCORES
        )
    return pair_of_choice(task, JUDGE_OFF_POLICY.name, _as_answers(best, worst), 1, ParseStatus.OK)


def _drawn(task: Task, context: RecipeContext) -> tuple[Answer, Answer]:
    answers = _at_least_two(task)
    drawn = int(digest(canonical_json([context.seed, task.id, "answers"]))[:12], 16)
    first = drawn % len(answers)
    second = (first + 1 + drawn // len(answers) % (len(answers) - 1)) % len(answers)
    return _as_answers(answers[first], answers[second])


def _at_least_two(task: Task) -> Sequence[RecordedAnswer]:
    if len(task.answers) < 2:
        raise RequestFailedError(
            "too-few-answers", f"task {task.id} brings {len(task.answers)} answers; two are needed"
        )
    return task.answers


def _as_answers(first: RecordedAnswer, second: RecordedAnswer) -> tuple[Answer, Answer]:
    return Answer(first.text, "recorded", "", first.model), Answer(second.text, "recorded", "", second.model)


def _asks(config: RunConfig, choice: RecipeChoice) -> Sequence[str]:
    others = sorted(role for role in config.models if role.startswith("other-"))
    if len(others) > 2:
        raise ConfigError(f"the recipe 'judge-off-policy' compares two other models; models.others has {len(others)}")
    if others and choice.by == "scores":
        raise ConfigError("`by: scores` takes the data set's answers; leave models.others out, or `by`")
    if not others and config.tasks.answers is None:
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
    asks=_asks,
    summary="other models answer, or the data set has their answers; a judge or recorded scores prefer one",
    templates={"judge": "judge"},
    slots={"judge": JUDGE_SLOTS},
    options=frozenset({"template", "order", "by"}),
    parser_version=VERDICT_PARSER_VERSION,
    reads_answers=True,
    calls=lambda choice, role: orders_shown(choice) if role.startswith("judge") else 1,
)
