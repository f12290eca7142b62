"""Leaving batches behind: a session that ends once all that is left waits at a provider, and what it says of them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from clairgen.errors import DetachedError, DrainedError, RunStoppedError, StoreError, UserError
from clairgen.pipeline.completion_client import CompletionClient
from clairgen.pipeline.make_pair import MakeContext
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.session import Session
from clairgen.store import BatchRecord, Store
from clairgen.wording import counted

_LOOK_SECONDS: Final = 0.25
_LOOKS: Final = 4  # in a row that find the same, since a task between two requests waits for nothing


@asynccontextmanager
async def leaving(held: Session, context: MakeContext, detach: bool) -> AsyncIterator[None]:
    """Stop the session, if it is to `detach`, once all that the block has begun waits in batches at a provider."""
    watching = asyncio.create_task(_leave_in_time(held, context), name="detach") if detach else None
    try:
        yield
    finally:
        if watching is not None:
            watching.cancel()


async def note_open_batches(store: Store, progress: Progress, stopped_by: RunStoppedError | UserError | None) -> str:
    """Say which batches go on at a provider after the session; that in a few words, empty for none."""
    records = await _submitted(store)
    if not records or isinstance(stopped_by, DetachedError):
        return _batches(records) if records else ""
    if stopped_by is not None:
        said = "without this command; run it again to collect them, or cancel them with clairgen batches --cancel"
    else:
        said = (
            "though no pair waits for their answers; run this command again to keep what they have answered by then, or cancel "
            "them with clairgen batches --cancel"
        )
    progress.note(f"{_batches(records)} {said}")
    return _batches(records)


async def note_batches_of_others(reused: Mapping[str, Store], progress: Progress) -> None:
    """Say which runs whose answers are reused have some in open batches: those are not there yet, so they are requested again."""
    for name, store in reused.items():
        if records := [one for one in await store.batches.all(open_only=True) if one.requests]:
            progress.note(
                f"{name}, whose answers are reused, still waits for {_counted(records)}: what it waits for is requested and paid "
                "for here as well; collect its batches first if the two runs have requests in common"
            )


async def take_in_ended(client: CompletionClient, stopped_by: RunStoppedError | UserError | None) -> None:
    """Take in the batches that have ended, which are paid for, unless it was the user who stopped the session, or a full disk."""
    if client.lane is not None and not isinstance(stopped_by, DrainedError | DetachedError | StoreError):
        await client.lane.take_in_ended()


async def _leave_in_time(held: Session, context: MakeContext) -> None:
    seen, looks = None, 0
    while True:
        await held.runtime.sleep(_LOOK_SECONDS)
        found = _all_that_waits(context.ask, context.progress)
        looks = looks + 1 if found is not None and found == seen else 0
        seen = found
        if looks >= _LOOKS:
            break
    records = await _submitted(context.store)
    context.stop.because_of(
        DetachedError(f"{_batches(records)}; run the same command later to collect what they have answered")
    )


def _all_that_waits(ask: CompletionClient, progress: Progress) -> tuple[int, int] | None:
    """How many requests wait and how many pairs are done, if all that wait are in batches; else None."""
    lane = ask.lane
    if lane is None or not lane.waiting or lane.waiting != ask.pending or not lane.waits_for_batches_alone:
        return None
    return lane.waiting, progress.done


async def _submitted(store: Store) -> list[BatchRecord]:
    """The batches that are at a provider."""
    return [one for one in await store.batches.all(open_only=True) if one.state == "created" and one.requests]


def _batches(records: Sequence[BatchRecord]) -> str:
    return f"{_counted(records)} {'goes' if len(records) == 1 else 'go'} on at the provider"


def _counted(records: Sequence[BatchRecord]) -> str:
    requests = sum(one.requests for one in records)
    return f"{counted(len(records), 'batch', 'batches')} with {counted(requests, 'request')}"
