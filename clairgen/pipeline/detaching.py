"""Leaving batches behind: a session that ends once all that is left waits at a provider, what it says of them, and a look at
them without a session.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal

from clairgen.config.role import Role
from clairgen.errors import (
    ConfigError,
    DetachedError,
    DrainedError,
    RetryableError,
    StoreError,
    UnusableEndpointError,
)
from clairgen.inference.batch_service import BatchService
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.batch_lane.batch_roles import batch_roles, close_services, is_batch_of
from clairgen.pipeline.batch_lane.lane import BatchLane
from clairgen.pipeline.batch_lane.lifecycle import OpenBatch
from clairgen.pipeline.completion_client import CompletionClient
from clairgen.pipeline.failures import Stop
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.session import Session
from clairgen.store import BatchRecord, RunDirectory, Store, reading
from clairgen.wording import counted

Detach = bool | Literal["if-batches"]
"""Whether a session leaves its batches. Of a session that makes none, True is refused."""

_LOOK_SECONDS: Final = 0.25
_LOOKS: Final = 4  # in a row that find the same, since a task between two requests waits for nothing


def check_detach(detach: Detach, roles: Mapping[str, Role]) -> None:
    """Raise ConfigError for a session that is to leave its batches although it makes none."""
    if detach is True and all(role.delivery == "direct" for role in roles.values()):
        raise ConfigError("--detach leaves once batches are submitted, and no role has `delivery: batch`; leave it out")


@asynccontextmanager
async def leaving(held: Session, ask: CompletionClient, stopping: Stop, *, detach: Detach) -> AsyncIterator[None]:
    """Stop the session, if it is to `detach`, once all that the block has begun waits in batches at a provider.

    However the block ends, batches that have ended by then are taken in, since they are paid for, unless the user stopped it or
    the disk is full; it is said which others go on.
    """
    watching = asyncio.create_task(_leave_in_time(held, ask, stopping), name="detach") if detach else None
    try:
        yield
    finally:
        if watching is not None:
            watching.cancel()
    if ask.lane is not None and not isinstance(stopping.error, DrainedError | DetachedError | StoreError):
        error = await ask.lane.take_in_ended()
        if error is not None and str(error) != str(stopping.error) and not isinstance(error, DrainedError):
            held.progress.note(str(error), quotes=True)
    said = await batches_that_go_on(held.store, ask.lane)
    if said and stopping.error is None:
        held.progress.note(
            f"{said} though nothing here waits for their answers; run this command again later to keep what they have answered, "
            "or cancel them with clairgen batches --cancel"
        )
    elif said and not isinstance(stopping.error, DetachedError):
        held.progress.note(
            f"{said} without this command; run it again to collect them, or cancel them with clairgen batches --cancel"
        )


async def batches_that_go_on(store: Store, lane: BatchLane | None) -> str:
    """Which batches of a lane go on at a provider, in words; empty for none."""
    records = [
        one
        for one in await store.batches.all(open_only=True)
        if lane is not None and lane.batches.takes(one) and one.state == "created" and one.requests
    ]
    return f"{_counted(records)} {'goes' if len(records) == 1 else 'go'} on at the provider" if records else ""


async def note_batches_of_others(reused: Mapping[str, Store], progress: Progress) -> None:
    """Say which runs whose answers are reused have some in open batches: those are not there yet, so they are requested again."""
    for name, store in reused.items():
        if records := [one for one in await store.batches.all(open_only=True) if one.requests]:
            progress.note(
                f"{name}, whose answers are reused, still waits for {_counted(records)}: what it waits for is requested and paid "
                "for here as well; collect its batches first if the two runs have requests in common"
            )


async def look_at_batches(
    run: Path, models: Mapping[str, Role], runtime: Runtime, *, asks: bool = True
) -> float | None:
    """After how many seconds the batches that a session left are to be looked at again; None if a session has to go on.

    It has if one of them has ended at its provider, or is stuck there, which is asked once of each unless `asks` is False.
    `models` have their endpoints and keys. Raises ClairgenError for what a session would stop for too.
    """
    directory = RunDirectory(run)
    async with reading(directory) as store:
        records = [
            one
            for one in await store.batches.all(open_only=True)
            if one.state == "created" and is_batch_of(models, one)
        ]
        of_batches = {one.role: models[one.role] for one in records}
        roles = batch_roles(of_batches, {}, records, directory, store, runtime, Progress())
        batches = [OpenBatch(one, roles[one.role].account) for one in records if one.duplicate_of is None]
        try:
            if asks and await _have_news(batches):
                return None
        finally:
            await close_services(roles)
    return min((batch.pause_seconds for batch in batches), default=None)


async def _have_news(batches: Sequence[OpenBatch]) -> bool:
    """Whether one of them has news; a provider that fails for now is asked about none of its other ones."""
    failing = list[BatchService]()
    for batch in batches:
        if batch.account.service in failing:
            continue
        try:
            if await batch.has_news():
                return True
        except UnusableEndpointError:  # a session says what to do
            return True
        except RetryableError:
            failing.append(batch.account.service)
    return False


async def _leave_in_time(held: Session, ask: CompletionClient, stopping: Stop) -> None:
    seen, looks = None, 0
    while True:
        await held.runtime.sleep(_LOOK_SECONDS)
        found = _all_that_waits(ask, held.progress)
        looks = looks + 1 if found is not None and found == seen else 0
        seen = found
        if looks >= _LOOKS:
            break
    stopping.because_of(DetachedError(await batches_that_go_on(held.store, ask.lane)))


def _all_that_waits(ask: CompletionClient, progress: Progress) -> tuple[int, int] | None:
    """How many requests wait and how many pairs are done, if all that wait are in batches; else None."""
    lane = ask.lane
    if lane is None or not lane.waiting or lane.waiting != ask.pending or not lane.waits_for_batches_alone:
        return None
    return lane.waiting, progress.done


def _counted(records: Sequence[BatchRecord]) -> str:
    requests = sum(one.requests for one in records)
    return f"{counted(len(records), 'batch', 'batches')} with {counted(requests, 'request')}"
