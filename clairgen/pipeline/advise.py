"""`advise`: which variant of APO fits a run's pairs? Winners are compared with fresh answers of the target.

Completions are committed in the run's store and never requested twice: run it again after an interruption.
"""

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from clairgen.config.models import RunConfig
from clairgen.errors import DrainedError, InputError, RunStoppedError, UserError
from clairgen.inference.local_rewards import RewardModel, RewardScorer, truncated_sentence
from clairgen.inference.runtime import Runtime
from clairgen.keys import canonical_json, digest
from clairgen.pipeline.advise_config import AdviseConfig, advise_config
from clairgen.pipeline.budget_limit import NamedBudget, settle_limit
from clairgen.pipeline.compare_pair import CompareContext, Comparisons, compare_pair
from clairgen.pipeline.completion_client import CompletionClient
from clairgen.pipeline.data_warnings import DataWarning, PairSurvey
from clairgen.pipeline.detaching import Detach, check_detach, leaving
from clairgen.pipeline.failures import Stop
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.refilter import require_coverage
from clairgen.pipeline.session import TASKS_QUEUED, Session, session
from clairgen.recipes.compare import Compare, Outcome, by_judges, by_scores, tally
from clairgen.records import StoredPair, Variant
from clairgen.stats import Tally, WinRate, win_rate
from clairgen.store import PairAdvice, RunDirectory, Store
from clairgen.wording import counted, one_line_repr


@dataclass(frozen=True, slots=True)
class AdviseOptions:
    """What is compared: `samples` fresh answers for each of `limit` kept pairs, drawn uniformly, of `recipes` (all if empty).

    `per_pair` writes the advice on each pair into the run's store. `budget_usd` sets the run's budget and `no_budget` lifts it;
    with neither, the budget that was named last holds. `detach` ends the session once all that is left waits in batches.
    """

    recipes: tuple[str, ...] = ()
    samples: int = 1
    limit: int | None = None
    per_pair: bool = False
    budget_usd: float | None = None
    no_budget: bool = False
    detach: Detach = False


@dataclass(frozen=True, slots=True)
class RecipeAdvice:
    """What fits the pairs of a recipe: `pairs` of its `kept` pairs were compared, by the judges or reward model `by`.

    `failed` are comparisons that failed, as (reason, count, one detail). `advised` counts pairs by objective, with None for
    those without advice; it is None where no advice was written. `warnings` are about the pairs as data.
    """

    recipe: str
    by: str
    kept: int
    pairs: int
    outcomes: Mapping[Outcome, int]
    failed: list[tuple[str, int, str]]
    rate: WinRate
    advised: Mapping[Variant | None, int] | None = None
    warnings: Sequence[DataWarning] = ()

    def __repr__(self) -> str:
        rate = self.rate
        won = (
            "nothing compared" if rate.mean is None else f"win rate {rate.mean:.3f} ({rate.low:.3f} to {rate.high:.3f})"
        )
        objective = rate.recommendation.value if rate.recommendation is not None else "not clear"
        return one_line_repr(self, self.recipe, objective, won, f"{self.pairs:,} of {counted(self.kept, 'kept pair')}")


@dataclass(frozen=True, slots=True)
class AdviseSummary:
    """How a session of `advise` ended; with `stopped_by` set, `recipes` is about the pairs compared so far."""

    run: Path
    recipes: list[RecipeAdvice]
    progress: Progress
    stopped_by: RunStoppedError | UserError | None = None

    @property
    def failed(self) -> int:
        """Comparisons that failed."""
        return sum(count for entry in self.recipes for _, count, _ in entry.failed)

    def __repr__(self) -> str:
        stopped = [f"stopped by {type(self.stopped_by).__name__}"] if self.stopped_by is not None else []
        found = [f"{one.recipe} {one.rate.recommendation or 'not clear'}" for one in self.recipes]
        return one_line_repr(self, self.run, *found, *stopped)


@dataclass(frozen=True, slots=True)
class _Selection:
    """The pairs of a recipe that are compared, by id, and what all of its pairs come to."""

    survey: PairSurvey
    ids: frozenset[str]


async def advise(
    run: Path | str,
    options: AdviseOptions | None = None,
    *,
    config: RunConfig | None = None,
    reward_model: RewardModel | None = None,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
    runtime: Runtime | None = None,
) -> AdviseSummary:
    """Compare the winners of a run with fresh answers of its target, and say which variant of APO fits.

    The models are those saved with the run, or those of `config` for its roles. The judges compare, or `reward_model`. Set
    `stop` to end early. Raises UserError for what the user has to correct; the summary says why it stopped otherwise.
    """
    options, progress, stop, runtime = (
        options or AdviseOptions(),
        progress or Progress(),
        stop or asyncio.Event(),
        runtime or Runtime(),
    )
    directory = RunDirectory(Path(run))
    directory.require()
    async with session(directory, progress, stop, runtime) as held:
        settings = await advise_config(
            held.store, directory, options.recipes, config, reward_model, samples=options.samples
        )
        named = NamedBudget(options.budget_usd, options.no_budget, settings.config.budget_usd)
        limit = await settle_limit(held.store, named, progress)
        settings.check(limit.limit_usd, runtime.environment)
        check_detach(options.detach, settings.roles)
        await require_coverage(held.store, directory)
        selected = await _selected(held.store, settings, options, progress)
        progress.pairs_to_make = sum(len(selection.ids) for selection in selected.values())
        if settings.context is not None:
            await held.store.metadata.record_templates(settings.context.templates.values())
        budget = await held.budget(limit.limit_usd, settings.roles)
        held.log_start(settings.roles, recipes=list(selected), advise=True, samples=options.samples, by=settings.by)
        async with AsyncExitStack() as stack:
            client = await held.completion_client(settings.roles, budget, seed=settings.config.seed)
            compare = await _comparison(settings, client, reward_model, stack)
            stopping, results = Stop(stop), Comparisons()
            context = CompareContext(held.store, client, compare, options.samples, progress, stopping)
            async with held.log.counting(progress), leaving(held, client, stopping, detach=options.detach):
                await _run(held, context, results, selected)
        if reward_model is not None and (sentence := truncated_sentence(reward_model)) is not None:
            progress.note(sentence)
        progress.log_event("ended", stopped_by=type(stopping.error).__name__ if stopping.error else None)
        return await _summary(held, settings, results, stopping, selected, options)


async def _comparison(
    settings: AdviseConfig, client: CompletionClient, reward_model: RewardModel | None, stack: AsyncExitStack
) -> Compare:
    if settings.context is not None:
        return by_judges(client, settings.context)
    assert reward_model is not None  # noqa: S101 - `advise_config` gives a context unless there is one
    scoring = await stack.enter_async_context(RewardScorer(reward_model))
    return by_scores(lambda task: client.sent("target", task.messages), scoring)


async def _run(
    held: Session, context: CompareContext, results: Comparisons, selected: Mapping[str, _Selection]
) -> None:
    await held.run_tasks(
        _work(held.store, selected),
        lambda stored: compare_pair(stored, context, results),
        in_flight=context.ask.capacity + TASKS_QUEUED + context.ask.waiting_for_batches,
        what="compared",
    )
    if held.stop.is_set() and held.progress.done < held.progress.pairs_to_make:
        context.stop.because_of(DrainedError())


async def _work(store: Store, selected: Mapping[str, _Selection]) -> AsyncIterator[StoredPair]:
    for recipe, selection in selected.items():
        async for stored in store.pairs.made(recipe):
            if stored.id in selection.ids:
                yield stored


async def _selected(
    store: Store, settings: AdviseConfig, options: AdviseOptions, progress: Progress
) -> dict[str, _Selection]:
    """The kept pairs to compare, by recipe. InputError if there are none of a recipe that was named, or none at all."""
    selected = {recipe: await _selection(store, recipe, settings, options.limit) for recipe in settings.recipes}
    empty = [recipe for recipe, selection in selected.items() if not selection.ids]
    if (options.recipes and empty) or len(empty) == len(selected):
        raise InputError(
            f"no pair of {', '.join(empty)} is kept, so there is no winner to compare; make more pairs or loosen the filters"
        )
    for recipe in empty:
        progress.note(f"no pair of {recipe} passes the filters; the recipe is left out")
        del selected[recipe]
    return selected


async def _selection(store: Store, recipe: str, settings: AdviseConfig, limit: int | None) -> _Selection:
    """A uniform sample of a recipe's kept pairs, by the hash of seed and task, so that recipes share tasks."""
    plans = await store.metadata.plans()
    survey = PairSurvey(settings.roles["target"].model, plans[recipe].revises)
    kept = [
        (digest(canonical_json([settings.config.seed, stored.task.id, "advise"])), stored.id)
        async for stored in store.pairs.made(recipe)
        if survey.add(stored)
    ]
    chosen = kept if limit is None else heapq.nsmallest(limit, kept)
    return _Selection(survey, frozenset(identity for _, identity in chosen))


async def _summary(
    held: Session,
    settings: AdviseConfig,
    results: Comparisons,
    stop: Stop,
    selected: Mapping[str, _Selection],
    options: AdviseOptions,
) -> AdviseSummary:
    recipes = []
    for recipe, selection in selected.items():
        outcomes = results.outcomes.get(recipe, {})
        tallies = {identity: tally(found) for identity, found in outcomes.items()}
        rate = win_rate(tallies.values())
        advised = None
        if options.per_pair and stop.error is None:
            advice = _advice(tallies, rate.recommendation, settings.by)
            await held.store.advice.replace(recipe, advice)
            advised = Counter[Variant | None](one.objective for one in advice)
            advised[None] = selection.survey.kept - len(advice)
        counts = Counter(outcome for found in outcomes.values() for outcome in found)
        failed = results.failures(recipe)
        warnings = selection.survey.warnings(rate if stop.error is None else WinRate(0), str(held.directory.path))
        kept = selection.survey.kept
        recipes.append(RecipeAdvice(recipe, settings.by, kept, len(outcomes), counts, failed, rate, advised, warnings))
    return AdviseSummary(held.directory.path, recipes, held.progress, stop.error)


def _advice(tallies: Mapping[str, Tally], of_the_data_set: Variant | None, by: str) -> list[PairAdvice]:
    """What fits each pair: the majority of its comparisons, otherwise the data set's recommendation, if there is one."""
    advice = []
    for identity, found in tallies.items():
        score, objective = found.score, found.leaning or of_the_data_set
        if score is not None and objective is not None:
            confidence = score if objective is Variant.APO_ZERO else 1 - score
            advice.append(PairAdvice(identity, objective, confidence, found.wins, found.losses, found.ties, by))
    return advice
