"""A person's vote on a pair, committed: the one verb here that writes into the database of a run."""

from dataclasses import dataclass
from pathlib import Path

from clairgen.errors import InputError, RunError
from clairgen.records import Pair
from clairgen.store import RunDirectory, Vote, note_fault, voter_fault, writing
from clairgen.wording import counted

_LONGEST_ID = 10_000  # beyond that SQLite refuses the pattern


@dataclass(frozen=True, slots=True)
class VoteCast:
    """A vote that was cast: on which pair, how many others have voted on it, and whether it says something new."""

    pair_id: str
    others: int
    is_new: bool


async def cast_vote(
    run: Path | str, start: str, vote: Vote, voter: str, note: str | None = None, *, version: str | None = None
) -> VoteCast:
    """Commit a person's vote on the one pair whose id begins with `start`; earlier votes are kept, the latest counts.

    `version` is that of the pair which the voter saw. Raises InputError for a name or a note that cannot be kept, and where there
    is no such pair or nothing to vote on, RunError while another process writes the run and for a pair of another version.
    """
    for what, fault in (("the voter", voter_fault(voter)), ("the note", note_fault(note))):
        if fault is not None:
            raise InputError(f"{what} {fault}")
    directory = RunDirectory(Path(run))
    directory.require()
    with directory.locked():
        async with writing(directory) as store:
            found = await store.pairs.find(start[:_LONGEST_ID]) if start else []
            if len(found) != 1:
                ids = ", ".join(f"{one.id} ({one.outcome.recipe})" for one in found[:5])
                raise InputError(
                    f"{run} has {counted(len(found), 'made pair')} of {start[:100]!r}"
                    + (f"; name one by its id: {ids}" if found else f"; see: clairgen show {run}")
                )
            if not isinstance(found[0].outcome, Pair):
                raise InputError(f"pair {found[0].id} has no chosen answer, so there is nothing to vote on")
            if version not in (None, found[0].version):
                raise RunError(f"pair {found[0].id} has other answers by now than those that you saw: look at it again")
            voter = voter.strip()
            is_new = await store.votes.cast(found[0].id, voter, vote, note)
            others = sum(one.voter != voter for one in await store.votes.of_pair(found[0].id))
            return VoteCast(found[0].id, others, is_new)
