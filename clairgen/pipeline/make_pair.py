"""Making one pair: the recipe's coroutine, then kept; a fault of the task is a row."""

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clairgen.errors import RequestFailedError, RunStoppedError, StoreError
from clairgen.filters.pipeline import FilterPipeline
from clairgen.metrics.contrast import contrast
from clairgen.pipeline.completions import CompletionClient
from clairgen.pipeline.plans import PlannedRecipe
from clairgen.pipeline.progress import Progress
from clairgen.recipes.recipe import Ask
from clairgen.records import Completion, Message, Pair, Task
from clairgen.store import Failure, MadePair, Store
from clairgen.tasks import prompt_error
from clairgen.templates import Template


class Noting:
    """An `Ask` that notes the keys of what it was asked."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.keys: list[str] = []

    async def __call__(
        self, role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        """See `clairgen.recipes.recipe.Ask`."""
        completion = await self._ask(role, messages, sample=sample, template=template)
        self.keys.append(completion.key)
        return completion


@dataclass(frozen=True, slots=True)
class Keeper:
    """Puts pairs into a store under the filter set `filter_set`, which `filters_in_force` applies."""

    store: Store
    filters_in_force: FilterPipeline
    filter_set: int
    tokenizer: str

    async def keep(self, pair: Pair, prompt: Sequence[Message], asked: Sequence[str], *, revises: bool) -> None:
        """Commit a pair; `prompt` is what the target saw, `asked` the keys of all completions that the pair took."""
        measured = contrast(pair.chosen.text, pair.rejected.text, self.tokenizer) if pair.chosen else None
        findings = self.filters_in_force.apply(pair, measured, revises=revises, prompt=prompt)
        await self.store.pairs.save(MadePair(pair, tuple(prompt), measured, findings, tuple(asked)), self.filter_set)


@dataclass(slots=True)
class Maker:
    """Makes pairs for a session of `generate`. `stopped_by` is the first error that stopped the run, if one did."""

    keeper: Keeper
    ask: CompletionClient
    planned: Mapping[str, PlannedRecipe]
    stop: asyncio.Event
    progress: Progress
    stopped_by: RunStoppedError | StoreError | None = None

    async def make(self, work: tuple[Task, str]) -> None:
        """Make the pair of a task by a recipe's name, or record why it cannot be made, or leave it pending and stop."""
        task, recipe = work
        try:
            noting = Noting(self.ask)
            pair = await self._pair(task, self.planned[recipe], noting)
            revises = self.planned[recipe].recipe.revises
            await self.keeper.keep(pair, self.ask.sent("target", task.messages), noting.keys, revises=revises)
            self.progress.made[recipe] += 1
        except RequestFailedError as error:
            await self._fail(Failure(task.id, recipe, error.role, error.reason, error.detail))
        except (RunStoppedError, StoreError) as error:
            self.stopped_by = self.stopped_by or error
            self.stop.set()
        except Exception as error:  # noqa: BLE001 - a fault of clairgen's own must not end a run of days; its row tells where
            where = traceback.extract_tb(error.__traceback__)[-1]
            detail = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno}); please report this"
            await self._fail(Failure(task.id, recipe, None, "internal-error", detail))

    async def _pair(self, task: Task, planned: PlannedRecipe, ask: Noting) -> Pair:
        if fault := prompt_error(task):
            raise RequestFailedError(*fault)
        return await planned.recipe.make(task, ask, planned.context)

    async def _fail(self, failure: Failure) -> None:
        try:
            await self.keeper.store.pairs.fail(failure)
            self.progress.failed[failure.recipe] += 1
            self.progress.log_event(
                "failed", recipe=failure.recipe, task=failure.task_id, role=failure.role, reason=failure.reason
            )
        except StoreError as error:
            self.stopped_by = self.stopped_by or error
            self.stop.set()
