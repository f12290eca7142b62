"""Comparing one pair's winner with fresh answers, by judges or by the scores of a reward model.

Comparisons that fail are counted by reason, and the others go on.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

from clairgen.errors import RequestFailedError, RunStoppedError, UserError
from clairgen.pipeline.completion_client import CompletionClient
from clairgen.pipeline.failures import Stop, task_failure
from clairgen.pipeline.progress import Progress
from clairgen.recipes.compare import Compare, Outcome, compare_with_fresh
from clairgen.records import Pair, StoredPair, Task
from clairgen.store import Store


@dataclass(frozen=True, slots=True)
class CompareContext:
    """What a session of `advise` compares with: `samples` fresh answers for each pair."""

    store: Store
    ask: CompletionClient
    compare: Compare
    samples: int
    progress: Progress
    stop: Stop


@dataclass(slots=True)
class Comparisons:
    """The comparisons of a session: outcomes by recipe and pair, and those that failed."""

    outcomes: dict[str, dict[str, list[Outcome]]] = field(default_factory=lambda: defaultdict(dict))
    _failed: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _details: dict[tuple[str, str], str] = field(default_factory=dict)

    def add_failure(self, recipe: str, error: RequestFailedError) -> None:
        """Count a comparison that failed."""
        self._failed[recipe][error.reason] += 1
        self._details.setdefault((recipe, error.reason), error.detail)

    def failures(self, recipe: str) -> list[tuple[str, int, str]]:
        """Comparisons that failed, as (reason, count, one detail), most frequent first."""
        return [(reason, count, self._details[recipe, reason]) for reason, count in self._failed[recipe].most_common()]


async def compare_pair(stored: StoredPair, context: CompareContext, results: Comparisons) -> None:
    """Compare the winner of a kept pair with fresh answers and add to `results`; or leave it undone and stop the session."""
    pair, progress = stored.outcome, context.progress
    assert isinstance(pair, Pair)  # noqa: S101 - only kept pairs are compared
    outcomes: list[Outcome] = []
    failed = False
    try:
        task = as_recipes_had_it(stored.task, await context.store.tasks.find(stored.task.id))
        for number in range(context.samples):
            try:
                outcomes.append(await compare_with_fresh(task, pair.chosen, number, context.ask, context.compare))
                context.stop.succeeded(pair.recipe)
            except (RunStoppedError, UserError):
                raise
            except Exception as error:  # noqa: BLE001 - a fault of clairgen itself must not end a run of days; see `task_failure`
                failed, failure = True, task_failure(error)
                context.stop.failed(pair.recipe, failure)
                results.add_failure(pair.recipe, failure)
                progress.log_event("failed", recipe=pair.recipe, task=task.id, reason=failure.reason)
    except (RunStoppedError, UserError) as error:
        context.stop.because_of(error)
        return
    results.outcomes[pair.recipe][stored.id] = outcomes
    (progress.failed if failed else progress.made)[pair.recipe] += 1


def as_recipes_had_it(sent: Task, source: Task) -> Task:
    """The task of a pair as judges of its recipe were shown it: `sent` to the target, without the system message of its role.

    That is the task of the `source`, or the conversation that the target had about it, which is a part of the pair.
    """
    if any(message.role == "system" for message in source.messages):
        return sent
    return replace(sent, messages=tuple(message for message in sent.messages if message.role != "system"))
