"""How two answers are judged: by which judges, in which orders, and how several verdicts become one choice (Appendix A)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.finish_reason import FinishKind, finish_kind
from clairgen.keys import canonical_json, digest
from clairgen.long_texts import off_loop
from clairgen.parsing.verdict import VERDICT_PARSER_VERSION, VerdictStatus, parse_verdict
from clairgen.recipes.recipe import Ask, RecipeContext, as_user, together
from clairgen.records import Answer, Judgement, Pair, ParseStatus, SampleRange, Task, Undecided
from clairgen.templates import transcript

JUDGE_SLOTS = frozenset({"task", "student_solution_1", "student_solution_2"})
_STATUS = {
    VerdictStatus.OK: ParseStatus.OK,
    VerdictStatus.NO_VERDICT: ParseStatus.NO_VERDICT,
    VerdictStatus.CONTRADICTORY: ParseStatus.CONTRADICTORY_VERDICT,
    VerdictStatus.TIE: ParseStatus.DECLARED_TIE,
    VerdictStatus.UNCLOSED_THINKING: ParseStatus.UNCLOSED_THINKING,
    VerdictStatus.BROKEN_JSON: ParseStatus.BROKEN_JSON,
}


def orders_shown(choice: RecipeChoice) -> int:
    """In how many orders a judge is shown two answers."""
    return 2 if choice.order == "both" else 1


def judges_of(config: RunConfig) -> list[str]:
    """The roles of the configured judges; `judge` if there is none, so that it is reported as missing."""
    return sorted(role for role in config.models if role.startswith("judge")) or ["judge"]


async def judged(
    task: Task,
    recipe: str,
    answers: tuple[Answer, Answer],
    ask: Ask,
    context: RecipeContext,
    number: int = 0,
    *,
    sample: int = SampleRange.DATA,
) -> Pair | Undecided:
    """(y_w, y_l) = Judge(x, y_1, y_2): the pair that the judges choose, or why they did not decide.

    Two equal answers need no judge; the filters drop that pair as identical. `number` numbers the comparisons of a task;
    `sample` is the sample index of the requests to the judges.
    """
    first, second = answers
    if first.text.strip() == second.text.strip():
        return Pair(task.id, recipe, second, first)
    judgements = await together(
        *(
            _judgement(task, role, order, answers, ask, context, sample)
            for role in context.roles
            if role.startswith("judge")
            for order in _orders(task, role, context, number)
        )
    )
    winner = decision(judgements)
    if isinstance(winner, ParseStatus):
        return Undecided(
            task.id, recipe, winner, answers, parser_version=VERDICT_PARSER_VERSION, judgements=tuple(judgements)
        )
    chosen, rejected = answers if winner == 1 else answers[::-1]
    reasoning = next(one.reasoning for one in judgements if one.winner == winner)
    return Pair(task.id, recipe, chosen, rejected, reasoning, VERDICT_PARSER_VERSION, tuple(judgements))


def decision(judgements: Sequence[Judgement]) -> int | ParseStatus:
    """The answer that the judgements choose (1 or 2), or why they choose none.

    A judge that was shown both orders has an opinion only if both verdicts agree. Of the judges with an opinion more than
    half must agree.
    """
    opinions = [
        _opinion([one for one in judgements if one.role == role])
        for role in dict.fromkeys(one.role for one in judgements)
    ]
    winners = Counter(opinion for opinion in opinions if not isinstance(opinion, ParseStatus))
    if not winners:
        return opinions[0]
    (winner, votes), *_ = winners.most_common()
    return winner if 2 * votes > winners.total() else ParseStatus.TIE_BETWEEN_JUDGES


def _opinion(judgements: Sequence[Judgement]) -> int | ParseStatus:
    """The answer that one judge prefers (1 or 2) over the orders that it was shown, or why it prefers none."""
    winners = set[int]()
    for one in judgements:
        if one.winner is None:
            return one.status
        winners.add(one.winner)
    return winners.pop() if len(winners) == 1 else ParseStatus.TIE_BETWEEN_ORDERS


def _orders(task: Task, role: str, context: RecipeContext, number: int) -> list[tuple[int, int]]:
    """The orders in which a judge is shown the answers: both, or one drawn by seed, task, judge and round."""
    if context.choice.order == "both":
        return [(1, 2), (2, 1)]
    drawn = int(digest(canonical_json([context.seed, task.id, role, number, "order"]))[:8], 16)
    return [(1, 2) if drawn % 2 == 0 else (2, 1)]


async def _judgement(
    task: Task,
    role: str,
    order: tuple[int, int],
    answers: tuple[Answer, Answer],
    ask: Ask,
    context: RecipeContext,
    sample: int,
) -> Judgement:
    template = context.templates["judge"]
    shown = (answers[order[0] - 1].text, answers[order[1] - 1].text)
    prompt = template.fill(task=transcript(task.messages), student_solution_1=shown[0], student_solution_2=shown[1])
    answer = await ask(role, as_user(prompt), sample=sample, template=template)
    verdict = await off_loop(parse_verdict, answer.text, shown)
    if finish_kind(answer.finish_reason) is FinishKind.LENGTH:  # the rest might have changed the verdict
        verdict = replace(verdict, choice=None, status=VerdictStatus.NO_VERDICT)
    return Judgement(
        role, answer.key, *order, verdict.choice, _STATUS[verdict.status], verdict.reasoning, VERDICT_PARSER_VERSION
    )
