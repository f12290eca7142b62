"""Making one pair: the recipe runs, and what it made is measured, filtered and committed; a failed task is recorded."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final

from clairgen.errors import RequestFailedError, RunStoppedError, StoreError
from clairgen.patterns import lazy_pattern
from clairgen.pipeline.completion_client import CompletionClient
from clairgen.pipeline.failures import Stop, task_failure
from clairgen.pipeline.pair_measures import PairMeasures
from clairgen.pipeline.plans import PlannedRecipe
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.traces import Traces
from clairgen.recipes.recipe import Ask
from clairgen.records import SPACE, Answer, Completion, Message, Pair, Task, Undecided
from clairgen.store import Failure, MadePair, Store
from clairgen.tasks import prompt_error
from clairgen.templates import Template

_OUTSIDE: Final = lazy_pattern(r"\A(?:[^\S\n]*\n)*(?: (?=\S))?")


@dataclass(frozen=True, slots=True)
class FiltersInForce:
    """The filter set in force, by its id in the store, and what measures pairs by it."""

    filter_set: int
    measures: PairMeasures


class RecordingAsk:
    """An `Ask` that records which completions it returned, in the order of the requests, of which several may run at once.

    Sample indices are counted from `first_sample`.
    """

    def __init__(self, ask: Ask, *, first_sample: int = 0) -> None:
        self._ask = ask
        self._first_sample = first_sample
        self._asked: list[tuple[str, str] | None] = []

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Role and key of each completion that was returned so far."""
        return [one for one in self._asked if one is not None]

    @property
    def keys(self) -> list[str]:
        """The keys alone."""
        return [key for _, key in self.requests]

    async def __call__(
        self, role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        """See `clairgen.recipes.recipe.Ask`."""
        place = len(self._asked)
        self._asked.append(None)
        completion = await self._ask(role, messages, sample=self._first_sample + sample, template=template)
        self._asked[place] = (role, completion.key)
        return completion


@dataclass(frozen=True, slots=True)
class MakeContext:
    """What a session of `generate` makes pairs with."""

    store: Store
    ask: CompletionClient
    filters: FiltersInForce
    progress: Progress
    stop: Stop
    traces: Traces | None = None


async def make_pair(task: Task, planned: PlannedRecipe, context: MakeContext) -> None:
    """Make the pair of a task by a recipe, or record why it cannot be made, or leave it pending and stop the session."""
    recipe = planned.recipe
    try:
        try:
            await _make(task, planned, context)
        except (RunStoppedError, StoreError):
            raise
        except Exception as error:  # noqa: BLE001 - a fault of clairgen itself must not end a run of days; see `task_failure`
            failure = task_failure(error)
            context.stop.failed(recipe.name, failure)
            await _record_failure(task, recipe.name, failure, context)
        else:
            context.progress.made[recipe.name] += 1
            context.stop.succeeded(recipe.name)
    except (RunStoppedError, StoreError) as error:
        context.stop.because_of(error)


async def save_pair(
    store: Store,
    filters: FiltersInForce,
    outcome: Pair | Undecided,
    prompt: Sequence[Message],
    request_keys: Sequence[str],
    *,
    revises: bool,
) -> Pair | Undecided:
    """Measure, filter and commit what a recipe made; returns it as it was committed, a pair without the space around its answers.

    `prompt` is what the target was sent, `request_keys` are those of all completions that the recipe took.
    """
    if isinstance(outcome, Pair):
        outcome = replace(outcome, chosen=_trimmed(outcome.chosen), rejected=_trimmed(outcome.rejected))
    measured, findings = await filters.measures.of(outcome, prompt, revises=revises)
    made = MadePair(outcome, tuple(prompt), measured, findings, tuple(request_keys))
    await store.pairs.save(made, filters.filter_set)
    return outcome


def trimmed(text: str) -> str:
    """The text without blank lines and a single space before it, and without white space after it.

    Models of one family, or their servers, begin every answer with a space or a blank line, which says nothing. An indentation
    of the first line stays: code may begin with it.
    """
    text = text.rstrip()
    outside = _OUTSIDE.match(text) if text[:1].isspace() else None
    return text if outside is None else text[outside.end() :]


def _trimmed(answer: Answer) -> Answer:
    """The answer without the space around it, which would tell one model from another."""
    text = trimmed(answer.text)
    return answer if text == answer.text else replace(answer, text=text, removed=(*answer.removed, SPACE))


async def _make(task: Task, planned: PlannedRecipe, context: MakeContext) -> None:
    if error := prompt_error(task):
        raise RequestFailedError(*error)
    ask = RecordingAsk(context.ask)
    with nullcontext() if context.traces is None else context.traces.pair(planned.recipe.name, task.id):
        task, outcome = await planned.make(task, ask)
        prompt = context.ask.sent("target", task.messages)
        await save_pair(context.store, context.filters, outcome, prompt, ask.keys, revises=planned.recipe.revises)


async def _record_failure(task: Task, recipe: str, error: RequestFailedError, context: MakeContext) -> None:
    failure = Failure(task.id, recipe, error.role, error.reason, error.detail)
    await context.store.pairs.fail(failure)
    context.progress.failed[recipe] += 1
    context.progress.log_event("failed", recipe=recipe, task=task.id, role=failure.role, reason=failure.reason)
