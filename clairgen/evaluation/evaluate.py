"""`evaluate`: score the items of an evaluation that have no result yet. Run it again at any time; nothing is asked twice.

Answers and judgements are completions of the run directory under their content keys, so evaluations in one directory share equal
requests, and after a crash only what was never committed is requested.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clairgen.config.prices import check_budget
from clairgen.errors import DrainedError, RunStoppedError, StoreError, UserError
from clairgen.evaluation.evaluator import Evaluator, Item, ItemStatus, Scored
from clairgen.evaluation.planned_evaluation import EvaluateOptions, Evaluation, evaluated_roles, numbered_items
from clairgen.evaluation.results import EvaluationResult
from clairgen.inference.factory import with_revisions
from clairgen.inference.runtime import Runtime
from clairgen.installed import __version__
from clairgen.pipeline.budget_limit import settle_limit
from clairgen.pipeline.completion_client import CompletionClient
from clairgen.pipeline.detaching import check_detach, leaving
from clairgen.pipeline.failures import Stop, task_failure
from clairgen.pipeline.make_pair import RecordingAsk
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.session import TASKS_QUEUED, Session, session
from clairgen.recipes.recipe import Ask
from clairgen.records import SampleRange, Task
from clairgen.store import EvaluationRecord, ItemRecord, RunDirectory, Store
from clairgen.tasks import prompt_error


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """How a session left its evaluation; `stopped_by` is the error that stopped it before the end."""

    run: Path
    result: EvaluationResult
    progress: Progress
    stopped_by: RunStoppedError | UserError | None = None


def evaluation_ask(ask: Ask) -> RecordingAsk:
    """The `Ask` for an item: its sample indices are those of evaluations, so that no answer of a training set is taken."""
    return RecordingAsk(ask, first_sample=SampleRange.EVALUATION)


@dataclass(frozen=True, slots=True)
class _Context:
    """What a session scores items with."""

    store: Store
    client: CompletionClient
    record: EvaluationRecord
    evaluator: Evaluator
    progress: Progress
    stop: Stop


async def evaluate(
    evaluation: Evaluation,
    run: Path | str,
    options: EvaluateOptions | None = None,
    *,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
    runtime: Runtime | None = None,
) -> EvaluationSummary:
    """Score the items of an evaluation that have no result in the run directory `run` yet.

    Set `stop` to end early. Raises UserError for what the user has to correct; the summary says why it stopped otherwise.
    """
    options, progress, stop, runtime = (
        options or EvaluateOptions(),
        progress or Progress(),
        stop or asyncio.Event(),
        runtime or Runtime(),
    )
    record, roles = evaluated_roles(evaluation, runtime)
    options.budget.check()
    check_detach(options.detach, roles)
    directory = RunDirectory(Path(run))
    if options.budget.names_one and not directory.database.exists():
        check_budget(roles)
    directory.create()
    progress.noun = evaluation.evaluator.noun
    async with session(
        directory, progress, stop, runtime, log_texts=options.log_texts, drain_seconds=options.drain_seconds
    ) as held:
        limit = await settle_limit(held.store, options.budget, progress)
        if limit.limit_usd is not None:
            check_budget(roles)
        await held.store.metadata.initialize(__version__)
        await held.store.metadata.record_templates(evaluation.templates)
        await _note_other_label(held, record)
        await held.store.evaluations.record(record)
        done = await held.store.evaluations.done(record.id, options.finished)
        left = [one for one in numbered_items(evaluation, options.limit) if one[0] not in done]
        progress.pairs_to_make += len(left)
        budget = await held.budget(limit.limit_usd, roles)
        held.log_start(roles, evaluation=record.id, kind=record.kind, budget_usd=limit.limit_usd)
        stopping = Stop(stop)
        if left:
            client = await held.completion_client(
                roles, budget, seed=evaluation.seed, retries_failed=options.retry_failed
            )
            context = _Context(held.store, client, record, evaluation.evaluator, progress, stopping)
            async with held.log.counting(progress), leaving(held, client, stopping, detach=options.detach):
                await _run(held, context, left)
        progress.log_event("ended", stopped_by=type(stopping.error).__name__ if stopping.error else None)
        stored = next(one for one in await held.store.evaluations.all() if one.id == record.id)
        items = await held.store.evaluations.items(record.id, options.limit)
        return EvaluationSummary(directory.path, EvaluationResult(stored, items), progress, stopping.error)


async def stored_result(evaluation: Evaluation, store: Store) -> EvaluationResult | None:
    """What the store has of an evaluation, None if nothing; a role with a revision need not be served, or be there."""
    asked = {name: evaluation.roles[name] for name in evaluation.evaluator.roles}
    unnamed = {name: role for name, role in asked.items() if role.revision is None}
    identity = replace(evaluation, roles={**asked, **with_revisions(unnamed)}).record().id
    for record in await store.evaluations.all():
        if record.id == identity:
            return EvaluationResult(record, await store.evaluations.items(identity))
    return None


async def _note_other_label(held: Session, record: EvaluationRecord) -> None:
    """Say that the evaluation is there under another name: the user may think that this is another model."""
    for before in await held.store.evaluations.all():
        if before.id == record.id and before.label != record.label:
            held.progress.note(
                f"{record.label} is what was evaluated as {before.label} (the same model name, revision, sampling and items), so "
                "its answers count for both; if these are other weights under one name, say which with a revision"
            )


async def _run(held: Session, context: _Context, left: Sequence[tuple[int, Item]]) -> None:
    done_before = context.progress.done

    async def work() -> AsyncIterator[tuple[int, Item]]:
        for one in left:
            yield one

    async def score(one: tuple[int, Item]) -> None:
        await _score_item(*one, context)

    await held.run_tasks(
        work(),
        score,
        in_flight=context.client.capacity + TASKS_QUEUED + context.client.waiting_for_batches,
        what="scored",
    )
    if held.stop.is_set() and context.progress.done - done_before < len(left):
        context.stop.because_of(DrainedError())


async def _score_item(position: int, item: Item, context: _Context) -> None:
    """Score an item and commit the score, or why there is none; or leave it and stop the session."""
    ask = evaluation_ask(context.client)
    kind = context.record.label
    try:
        try:
            if context.evaluator.roles and (error := prompt_error(Task(item.id, item.messages))):
                scored = Scored(None, ItemStatus.FAILED, error[0], {"error": error[1]})
            else:
                scored = await context.evaluator.score(item, ask)
        except (RunStoppedError, StoreError):
            raise
        except Exception as error:  # noqa: BLE001 - a fault of clairgen itself must not end an evaluation; see `task_failure`
            failure = task_failure(error)
            context.stop.failed(kind, failure)
            detail = {"error": failure.detail, "role": failure.role}
            scored = Scored(None, ItemStatus.FAILED, failure.reason, detail)
        else:
            context.stop.succeeded(kind)
        record = ItemRecord(
            position,
            item.id,
            item.cluster,
            item.part,
            scored.status,
            scored.score,
            scored.reason,
            scored.detail,
            ask.requests,
        )
        await context.store.evaluations.save(context.record.id, record)
        counter = context.progress.failed if scored.status is ItemStatus.FAILED else context.progress.made
        counter[kind] += 1
    except (RunStoppedError, StoreError) as error:
        context.stop.because_of(error)
