"""Queues that hand out the pairs of a run to several people, each pair to as many of them as wanted."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from clairgen.api.run_pairs import require_recipes
from clairgen.api.run_votes import checked_voter, require_own_name
from clairgen.errors import InputError, RunError
from clairgen.patterns import lazy_pattern
from clairgen.store import PairChoice, QueueProgress, ReviewQueue, RunDirectory, Store, reading, short_write

MOST_QUEUED: Final = 10_000
MOST_OVERLAP: Final = 100
PAIRS: Final = 500
LEASE_SECONDS: Final = 1800.0
_LONGEST_LEASE: Final = 7 * 24 * 3600
_LOOKED_AT: Final = 20
_NAME = lazy_pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class NoQueueError(InputError):
    """The run has no queue of this name."""


async def make_queue(
    run: Path | str,
    name: str,
    choice: PairChoice | None = None,
    *,
    overlap: int = 1,
    pairs: int = PAIRS,
    seed: int = 0,
    lease_seconds: float = LEASE_SECONDS,
    blind: bool = True,
) -> QueueProgress:
    """Make a queue of at most `pairs` random ones of the chosen pairs, drawn by `seed`; each is handed to `overlap` people.

    Pairs that are made later are not in it. `lease_seconds` is how long a person has for a pair. In a `blind` queue people are
    not told which answer is the chosen one before they have voted. Raises InputError for a name
    that is taken or cannot be one, numbers out of range, and a choice of no pair that people can vote on.
    """
    choice = choice or PairChoice()
    if not _NAME.fullmatch(name):
        raise InputError("a queue's name has 1 to 100 letters, digits, dots, dashes and underscores")
    for what, value, most in (
        ("pairs", pairs, MOST_QUEUED),
        ("overlap", overlap, MOST_OVERLAP),
        ("lease_seconds", lease_seconds, _LONGEST_LEASE),
    ):
        if not 1 <= value <= most:
            raise InputError(f"{what} of a queue is between 1 and {most:,}")
    if not 0 <= seed < 2**63:
        raise InputError("the seed of a queue is a whole number from 0 on")
    directory = RunDirectory(Path(run))
    async with reading(directory) as store:
        require_recipes(run, await store.metadata.plans(), [] if choice.recipe is None else [choice.recipe])
        ids = await store.queues.drawn(choice, seed, pairs)
    if not ids:
        raise InputError("there is no such pair with a chosen answer, so the queue would be empty")

    async def work(store: Store) -> QueueProgress:
        if await store.queues.find(name) is not None:
            raise InputError(f"the run has a queue {name} already; choose another name")
        await store.queues.create(
            name, choice, ids, seed=seed, overlap=overlap, lease_seconds=lease_seconds, blind=blind
        )
        return await store.queues.progress(await _queue(store, name), 0.0)

    return await short_write(directory, work)


async def next_pair(
    run: Path | str, name: str, voter: str, *, any_case: bool = False, clock: Callable[[], float] = time.time
) -> str | None:
    """The id of the pair that a queue hands to a person: the one that they hold already, or the next; None for none.

    They have it until their vote, or until the lease ends by `clock` (seconds since 1970). However many ask at the same moment,
    a pair is with no more people than the queue's overlap, votes given elsewhere included. `any_case` is that of `cast_vote`.
    """
    voter, directory = checked_voter(voter), RunDirectory(Path(run))
    while True:
        async with reading(directory) as store:  # looking through a long queue would keep other writers waiting
            queue, at = await _queue(store, name), clock()
            held = await store.queues.held_by(queue, voter, at)
            candidates = [held] if held else await store.queues.open_to(queue, voter, at, _LOOKED_AT)
        if not candidates:
            return None

        async def work(store: Store, queue: ReviewQueue = queue, found: list[str] = candidates) -> str | None:
            await require_own_name(store, voter, any_case=any_case)
            at = clock()
            held = await store.queues.held_by(queue, voter, at)
            free = [held] if held else await store.queues.open_to(queue, voter, at, 1, found)
            for pair_id in free:
                await store.queues.hand_out(queue, pair_id, voter, at + queue.lease_seconds)
            return next(iter(free), None)

        if (handed := await short_write(directory, work)) is not None:
            return handed


async def give_back(run: Path | str, name: str, pair_id: str, voter: str, *, skipped: bool = True) -> None:
    """Give a pair of a queue back without a vote; if `skipped`, this person does not get it again."""
    voter = checked_voter(voter)

    async def work(store: Store) -> None:
        queue = await require_queue(store, name, pair_id)
        await store.queues.give_back(queue, pair_id, voter, skipped=skipped)

    await short_write(RunDirectory(Path(run)), work)


def voting_in(name: str, voter: str, clock: Callable[[], float] = time.time) -> Callable[[Store, str], Awaitable[None]]:
    """The check of a vote in a queue: it is refused once this person skipped the pair, or others have it as a lease ended."""
    voter = checked_voter(voter)

    async def check(store: Store, pair_id: str) -> None:
        queue, at = await require_queue(store, name, pair_id), clock()
        is_held = await store.queues.holds(queue, pair_id, voter, at)
        has_voted = any(one.voter == voter for one in await store.votes.of_pair(pair_id))
        if not has_voted and await store.queues.was_skipped(queue, pair_id, voter):
            raise RunError(
                f"you have skipped pair {pair_id}, perhaps in another tab, so it is left to others and this vote is not taken; "
                "take the next pair"
            )
        await store.queues.give_back(queue, pair_id, voter, skipped=False)
        if not (is_held or has_voted or await store.queues.open_to(queue, voter, at, 1, [pair_id])):
            raise RunError(
                f"your time for pair {pair_id} is over and others have it now, so this vote would be one too many; take the next "
                "pair"
            )

    return check


async def queues(run: Path | str, *, clock: Callable[[], float] = time.time) -> list[QueueProgress]:
    """All queues of a run and how far they are."""
    async with reading(RunDirectory(Path(run)), snapshot=True) as store:
        return [await store.queues.progress(queue, clock()) for queue in await store.queues.all()]


async def queue_progress(run: Path | str, name: str, *, clock: Callable[[], float] = time.time) -> QueueProgress:
    """How far a queue is. Raises NoQueueError."""
    async with reading(RunDirectory(Path(run)), snapshot=True) as store:
        return await store.queues.progress(await _queue(store, name), clock())


async def require_queue(store: Store, name: str, pair_id: str) -> ReviewQueue:
    """The queue of this name, which has the pair. Raises NoQueueError, and InputError for a pair that it does not have."""
    queue = await _queue(store, name)
    if not await store.queues.has(queue, pair_id):
        raise InputError(f"the queue {queue.name} has no pair {pair_id}")
    return queue


async def _queue(store: Store, name: str) -> ReviewQueue:
    found = await store.queues.find(name)
    if found is None:
        raise NoQueueError(f"the run has no queue {name[:100]!r}")
    return found
