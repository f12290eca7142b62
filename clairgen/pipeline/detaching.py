"""Leaving batches behind: a session that ends once all that is left waits at a provider, and what it says of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from clairgen.errors import DetachedError, RunStoppedError, UserError
from clairgen.pipeline.completion_client import CompletionClient
from clairgen.pipeline.make_pair import MakeContext
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.session import Session
from clairgen.store import Store
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


async def note_open_batches(store: Store, progress: Progress, stopped_by: RunStoppedError | UserError | None) -> None:
    """Say which batches go on at a provider after the session."""
    records = [one for one in await store.batches.all(open_only=True) if one.state == "created" and one.requests]
    if records and stopped_by is not None and not isinstance(stopped_by, DetachedError):
        progress.note(
            f"{_batches(len(records), sum(one.requests for one in records))} at the provider without this command; run it again "
            "to collect them, or cancel them with clairgen batches --cancel"
        )


async def _leave_in_time(held: Session, context: MakeContext) -> None:
    seen, looks = None, 0
    while True:
        await held.runtime.sleep(_LOOK_SECONDS)
        found = _all_that_waits(context.ask, context.progress)
        looks = looks + 1 if found is not None and found == seen else 0
        seen = found
        if looks >= _LOOKS:
            break
    records = [one for one in await context.store.batches.all(open_only=True) if one.requests]
    context.stop.because_of(
        DetachedError(
            f"{_batches(len(records), sum(one.requests for one in records))} at the provider; run the same command later to "
            "collect what they have answered"
        )
    )


def _all_that_waits(ask: CompletionClient, progress: Progress) -> tuple[int, int] | None:
    """How many requests wait and how many pairs are done, if all that wait are in batches; else None."""
    lane = ask.lane
    if lane is None or not lane.waiting or lane.waiting != ask.pending or not lane.waits_for_batches_alone:
        return None
    return lane.waiting, progress.done


def _batches(count: int, requests: int) -> str:
    goes = "goes" if count == 1 else "go"
    return f"{counted(count, 'batch', 'batches')} with {counted(requests, 'request')} {goes} on"
