"""Leaving batches behind: a session that ends once all that is left waits at a provider, and what it says of them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from clairgen.config.role import Role
from clairgen.errors import ConfigError, DetachedError
from clairgen.pipeline.completion_client import CompletionClient
from clairgen.pipeline.failures import Stop
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.session import Session
from clairgen.store import BatchRecord
from clairgen.wording import counted

_LOOK_SECONDS: Final = 0.25
_LOOKS: Final = 4  # in a row that find the same, since a task between two requests waits for nothing


def check_detach(detach: bool, roles: Mapping[str, Role]) -> None:
    """Raise ConfigError for a session that is to leave its batches although it makes none."""
    if detach and all(role.delivery == "direct" for role in roles.values()):
        raise ConfigError("--detach leaves once batches are submitted, and no role has `delivery: batch`; leave it out")


@asynccontextmanager
async def leaving(held: Session, ask: CompletionClient, stopping: Stop, *, detach: bool) -> AsyncIterator[None]:
    """Stop the session, if it is to `detach`, once all that the block has begun waits in batches at a provider.

    Where the session is stopped otherwise, it is said which batches go on there without it.
    """
    watching = asyncio.create_task(_leave_in_time(held, ask, stopping), name="detach") if detach else None
    try:
        yield
    finally:
        if watching is not None:
            watching.cancel()
    records = [one for one in await _open(held) if one.state == "created"]
    if records and stopping.error is not None and not isinstance(stopping.error, DetachedError):
        held.progress.note(
            f"{_batches(records)} at the provider without this command; run it again to collect them, or cancel them with "
            "clairgen batches --cancel"
        )


async def _leave_in_time(held: Session, ask: CompletionClient, stopping: Stop) -> None:
    seen, looks = None, 0
    while True:
        await held.runtime.sleep(_LOOK_SECONDS)
        found = _all_that_waits(ask, held.progress)
        looks = looks + 1 if found is not None and found == seen else 0
        seen = found
        if looks >= _LOOKS:
            break
    records = await _open(held)
    stopping.because_of(
        DetachedError(
            f"{_batches(records)} at the provider; run the same command later to collect what they have answered"
        )
    )


def _all_that_waits(ask: CompletionClient, progress: Progress) -> tuple[int, int] | None:
    """How many requests wait and how many pairs are done, if all that wait are in batches; else None."""
    lane = ask.lane
    if lane is None or not lane.waiting or lane.waiting != ask.pending or not lane.waits_for_batches_alone:
        return None
    return lane.waiting, progress.done


async def _open(held: Session) -> list[BatchRecord]:
    return [one for one in await held.store.batches.all(open_only=True) if one.requests]


def _batches(records: list[BatchRecord]) -> str:
    goes = "goes" if len(records) == 1 else "go"
    requests = counted(sum(one.requests for one in records), "request")
    return f"{counted(len(records), 'batch', 'batches')} with {requests} {goes} on"
