"""Comparing a winner with a fresh answer of the target, for `clairgen advise` (section 4)."""

from collections.abc import Awaitable, Callable
from enum import StrEnum

from clairgen.finish_reason import FinishKind, finish_kind
from clairgen.recipes.judge import judged
from clairgen.recipes.recipe import Ask, RecipeContext, answer_of
from clairgen.records import Answer, Message, Pair, ParseStatus, SampleRange, Task
from clairgen.stats import Tally


class Outcome(StrEnum):
    """How a comparison ended for the winner: ties count half; what is left out does not count."""

    WON = "won"
    LOST = "lost"
    SAME_TEXT = "same-text"
    TIE_BETWEEN_ORDERS = "tie-between-orders"
    TIE_BETWEEN_JUDGES = "tie-between-judges"
    DECLARED_TIE = "declared-tie"
    EQUAL_SCORES = "equal-scores"
    UNREADABLE = "unreadable-verdict"
    TRUNCATED = "fresh-answer-truncated"

    @property
    def is_tie(self) -> bool:
        """Whether neither is better."""
        return self in _TIES

    @property
    def is_left_out(self) -> bool:
        """Whether nothing is known: no verdict could be read, or the fresh answer was cut off at max_tokens."""
        return self in (Outcome.UNREADABLE, Outcome.TRUNCATED)


_TIES = frozenset(
    {
        Outcome.SAME_TEXT,
        Outcome.TIE_BETWEEN_ORDERS,
        Outcome.TIE_BETWEEN_JUDGES,
        Outcome.DECLARED_TIE,
        Outcome.EQUAL_SCORES,
    }
)

Compare = Callable[[Task, Answer, Answer], Awaitable[Outcome]]
"""Compares a winner with a fresh answer to the same task."""


async def compare_with_fresh(task: Task, chosen: Answer, number: int, ask: Ask, compare: Compare) -> Outcome:
    """The winner y_w against a fresh y ~ M(x). `number` counts the fresh answers of a task from 0.

    Fresh answers have sample indices of their own, so none of them is an answer that the pair was made of.
    """
    completion = await ask("target", task.messages, sample=SampleRange.ADVISE + number)
    if finish_kind(completion.finish_reason) is FinishKind.LENGTH:
        return Outcome.TRUNCATED
    fresh = answer_of(completion)
    return Outcome.SAME_TEXT if fresh.text.strip() == chosen.text.strip() else await compare(task, chosen, fresh)


def by_judges(ask: Ask, context: RecipeContext) -> Compare:
    """The judges of `context`, shown both orders: a judge's opinion counts only where its two verdicts agree.

    Their requests have a sample index of advise too: a verdict that chose the winner must not count for it again.
    """

    async def compare(task: Task, chosen: Answer, fresh: Answer) -> Outcome:
        verdict = await judged(task, context.choice.name, (chosen, fresh), ask, context, sample=SampleRange.ADVISE)
        if isinstance(verdict, Pair):
            return Outcome.WON if verdict.chosen is chosen else Outcome.LOST
        return _TIE_OF_REASON.get(verdict.reason, Outcome.UNREADABLE)

    return compare


_TIE_OF_REASON = {
    ParseStatus.TIE_BETWEEN_ORDERS: Outcome.TIE_BETWEEN_ORDERS,
    ParseStatus.TIE_BETWEEN_JUDGES: Outcome.TIE_BETWEEN_JUDGES,
    ParseStatus.DECLARED_TIE: Outcome.DECLARED_TIE,
}


Score = Callable[[tuple[Message, ...], tuple[str, ...]], Awaitable[tuple[float, ...]]]
"""Scores answers to a prompt; higher is better."""


def by_scores(prompt_of: Callable[[Task], tuple[Message, ...]], score: Score) -> Compare:
    """A reward model: the higher score wins. `prompt_of` gives what the target is sent for a task."""

    async def compare(task: Task, chosen: Answer, fresh: Answer) -> Outcome:
        of_chosen, of_fresh = await score(prompt_of(task), (chosen.text, fresh.text))
        if of_chosen == of_fresh:
            return Outcome.EQUAL_SCORES
        return Outcome.WON if of_chosen > of_fresh else Outcome.LOST

    return compare


def tally(outcomes: list[Outcome]) -> Tally:
    """A pair's comparisons, counted."""
    return Tally(
        wins=outcomes.count(Outcome.WON),
        losses=outcomes.count(Outcome.LOST),
        ties=sum(outcome.is_tie for outcome in outcomes),
    )
