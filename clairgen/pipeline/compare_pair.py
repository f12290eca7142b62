"""Comparing one pair's winner with fresh answers; what fails is counted by name, and the rest goes on."""

import asyncio
import traceback
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from clairgen.errors import RequestFailedError, RunStoppedError, UserError
from clairgen.pipeline.completions import CompletionClient
from clairgen.pipeline.progress import Progress
from clairgen.recipes.compare import Compare, Outcome, compared
from clairgen.records import StoredPair
from clairgen.store import Store


@dataclass(slots=True)
class Adviser:
    """Compares for a session of `advise`. `outcomes` holds, by recipe and pair, what is done; `stopped_by` the first stop."""

    store: Store
    ask: CompletionClient
    compare: Compare
    samples: int
    stop: asyncio.Event
    progress: Progress
    outcomes: dict[str, dict[str, list[Outcome]]] = field(default_factory=lambda: defaultdict(dict))
    stopped_by: RunStoppedError | UserError | None = None
    _failed: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _details: dict[tuple[str, str], str] = field(default_factory=dict)

    async def compare_pair(self, stored: StoredPair) -> None:
        """Compare the winner of a pair with `samples` fresh answers, or note why not, or leave it undone and stop."""
        recipe, chosen = stored.pair.recipe, stored.pair.chosen
        assert chosen is not None  # noqa: S101 - only kept pairs are compared
        outcomes: list[Outcome] = []
        failed = False
        try:
            # The task as its source has it, since that is what judges of the recipes are shown.
            task = await self.store.tasks.find(stored.task.id)
            for number in range(self.samples):
                try:
                    outcomes.append(await compared(task, chosen, number, self.ask, self.compare))
                except RequestFailedError as error:
                    failed = True
                    self._fail(stored, error.reason, error.detail)
        except (RunStoppedError, UserError) as error:
            self.stopped_by = self.stopped_by or error
            self.stop.set()
            return
        except Exception as error:  # noqa: BLE001 - a fault of clairgen's own must not end a run of days
            where = traceback.extract_tb(error.__traceback__)[-1]
            detail = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno}); please report this"
            failed = True
            self._fail(stored, "internal-error", detail)
        self.outcomes[recipe][stored.id] = outcomes
        (self.progress.failed if failed else self.progress.made)[recipe] += 1

    def failures(self, recipe: str) -> list[tuple[str, int, str]]:
        """Comparisons that could not be made, as (reason, count, one detail), most frequent first."""
        return [(reason, count, self._details[recipe, reason]) for reason, count in self._failed[recipe].most_common()]

    def _fail(self, stored: StoredPair, reason: str, detail: str) -> None:
        recipe = stored.pair.recipe
        self._failed[recipe][reason] += 1
        self._details.setdefault((recipe, reason), detail)
        self.progress.log_event("failed", recipe=recipe, task=stored.task.id, reason=reason)
