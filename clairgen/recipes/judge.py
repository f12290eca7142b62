"""How two answers are judged: by whom, in which order shown, and what makes a choice of several verdicts (Appendix A)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.keys import canonical_json, digest
from clairgen.parsing.verdict import VERDICT_PARSER_VERSION, VerdictStatus, parse_verdict
from clairgen.recipes.recipe import Ask, RecipeContext, as_user
from clairgen.records import Answer, Judgement, Pair, ParseStatus, SampleRange, Task
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
    """The roles of the configured judges; `judge` alone if there is none, so that its lack is told."""
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
) -> Pair:
    """(y_w, y_l) = Judge(x, y_1, y_2): the pair that the judges choose, or one without a chosen answer and why.

    Two equal answers need no judge; the filters drop that pair as identical. `number` tells the comparisons of a task apart;
    `sample` is the index of the judges' asks.
    """
    first, second = answers
    if first.text.strip() == second.text.strip():
        return Pair(task.id, recipe, second, first)
    judgements = [
        await _judgement(task, role, order, answers, ask, context, sample)
        for role in context.roles
        if role.startswith("judge")
        for order in _orders(task, role, context, number)
    ]
    winner, status = decision(judgements)
    reasoning = next((one.reasoning for one in judgements if winner is not None and one.winner == winner), None)
    return pair_of_choice(task, recipe, answers, winner, status, judgements, reasoning)


def pair_of_choice(
    task: Task,
    recipe: str,
    answers: tuple[Answer, Answer],
    winner: int | None,
    status: ParseStatus,
    judgements: Sequence[Judgement] = (),
    reasoning: str | None = None,
) -> Pair:
    """The pair in which answer `winner` (1 or 2) is chosen; without a winner, one that says why there is none."""
    version = VERDICT_PARSER_VERSION if judgements else None
    if winner is None:
        first, second = answers
        return Pair(task.id, recipe, None, first, None, status, version, second, tuple(judgements))
    chosen, rejected = answers if winner == 1 else answers[::-1]
    return Pair(task.id, recipe, chosen, rejected, reasoning, ParseStatus.OK, version, None, tuple(judgements))


def decision(judgements: Sequence[Judgement]) -> tuple[int | None, ParseStatus]:
    """The answer that the judgements choose (1 or 2), or None and why.

    A judge that was shown both orders has an opinion only if both verdicts agree. Of several judges more than half of those
    with an opinion must agree.
    """
    opinions = [
        _opinion([one for one in judgements if one.role == role])
        for role in dict.fromkeys(one.role for one in judgements)
    ]
    winners = Counter(winner for winner, _ in opinions if winner is not None)
    if not winners:
        return None, opinions[0][1]
    (winner, votes), *_ = winners.most_common()
    return (winner, ParseStatus.OK) if 2 * votes > winners.total() else (None, ParseStatus.TIE_BETWEEN_JUDGES)


def _opinion(judgements: Sequence[Judgement]) -> tuple[int | None, ParseStatus]:
    """What one judge thinks, over the orders that it was shown."""
    refused = next((one.status for one in judgements if one.winner is None), None)
    if refused is not None:
        return None, refused
    winners = {one.winner for one in judgements}
    return (winners.pop(), ParseStatus.OK) if len(winners) == 1 else (None, ParseStatus.TIE_BETWEEN_ORDERS)


def _orders(task: Task, role: str, context: RecipeContext, number: int) -> list[tuple[int, int]]:
    """The orders in which a judge is shown the answers: both, or one that is drawn by seed, task, judge and round."""
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
    verdict = parse_verdict(answer.text, shown)
    if answer.finish_reason == "length":  # what was cut off may have ended otherwise
        verdict = replace(verdict, choice=None, status=VerdictStatus.NO_VERDICT)
    return Judgement(
        role, answer.key, *order, verdict.choice, _STATUS[verdict.status], verdict.reasoning, VERDICT_PARSER_VERSION
    )
