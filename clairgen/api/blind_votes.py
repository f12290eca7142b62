"""Pairs of a blind queue: two answers in a drawn order, of which nobody says which is the chosen one, and the votes on them.

It keeps people from leaning to what they are shown as better. It is no secret: who asks for the pair itself gets it whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from clairgen.api.review_queue import require_queue, voting_in
from clairgen.api.run_votes import VoteCast, cast_vote, checked_voter
from clairgen.errors import InputError
from clairgen.records import Message, Pair
from clairgen.store import RunDirectory, Vote, reading


class BlindVote(StrEnum):
    """What a person says of two answers."""

    FIRST = "first"
    """The first one is better."""
    SECOND = "second"
    """The second one is better."""
    TIE = "tie"
    """Neither is better."""
    DROP = "drop"
    """The pair should not be used."""


@dataclass(frozen=True, slots=True)
class BlindPair:
    """A pair as a person sees it before the vote: prompt and answers, in the order that was drawn for them."""

    pair: str
    version: str
    prompt: Sequence[Message]
    first: str
    second: str


async def blind_pair(run: Path | str, queue: str, pair_id: str, voter: str) -> BlindPair | None:
    """A pair of a blind queue as this person is to see it; None for one whose votes are theirs already, and in other queues.

    Raises InputError for a pair that the queue does not have, or that has no two answers.
    """
    voter = checked_voter(voter)
    async with reading(RunDirectory(Path(run)), snapshot=True) as store:
        found = await require_queue(store, queue, pair_id)
        if not found.blind or any(one.voter == voter for one in await store.votes.of_pair(pair_id)):
            return None
        stored = await store.chosen.pair(pair_id)
    if stored is None or not isinstance(stored.outcome, Pair):
        raise InputError(f"pair {pair_id} has no chosen answer any more; take the next pair")
    answers = [stored.outcome.chosen.text, stored.outcome.rejected.text]
    if found.shown_first(pair_id, voter) == "rejected":
        answers.reverse()
    return BlindPair(pair_id, stored.version, stored.task.messages, *answers)


async def cast_blind_vote(
    run: Path | str,
    queue: str,
    pair_id: str,
    vote: BlindVote,
    voter: str,
    note: str | None = None,
    *,
    version: str | None = None,
    any_case: bool = False,
) -> VoteCast:
    """Commit a vote on a pair as `blind_pair` shows it to this person. Only their first vote on a pair counts as blind.

    Raises InputError for a queue that is not blind, and what `cast_vote` raises, which says what the options are.
    """
    voter = checked_voter(voter)
    async with reading(RunDirectory(Path(run))) as store:
        found = await require_queue(store, queue, pair_id)
    if not found.blind:
        raise InputError(f"the queue {queue} is not blind: vote keep, swap, tie or drop on the pair")
    first = found.shown_first(pair_id, voter)
    return await cast_vote(
        run,
        pair_id,
        _vote(vote, first),
        voter,
        note,
        version=version,
        check=voting_in(queue, voter),
        any_case=any_case,
        shown_first=first,
    )


def _vote(vote: BlindVote, shown_first: str) -> Vote:
    if vote in (BlindVote.TIE, BlindVote.DROP):
        return Vote(vote.value)
    return Vote.KEEP if (vote is BlindVote.FIRST) == (shown_first == "chosen") else Vote.SWAP
