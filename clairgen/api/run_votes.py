"""What a person says of a pair, a vote or an edited answer: committed at once, also while another process writes the run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from clairgen.conversations import is_encodable
from clairgen.errors import InputError, RequestFailedError
from clairgen.long_texts import TIME_LIMIT_SECONDS
from clairgen.pipeline.human_revisions import AnswerRevised, Edit, EditedAnswer, add_revision, of_version
from clairgen.records import Pair, StoredPair
from clairgen.store import RunDirectory, Store, Vote, note_fault, one_spelling, reading, short_write, voter_fault
from clairgen.wording import counted

_LONGEST_ID = 10_000  # beyond that SQLite refuses the pattern


@dataclass(frozen=True, slots=True)
class VoteCast:
    """A vote that was cast: on which pair, how many others have voted on it, and whether it says something new."""

    pair_id: str
    others: int
    is_new: bool


async def cast_vote(
    run: Path | str,
    start: str,
    vote: Vote,
    voter: str,
    note: str | None = None,
    *,
    version: str | None = None,
    check: Callable[[Store, str], Awaitable[None]] | None = None,
    any_case: bool = False,
    shown_first: str | None = None,
) -> VoteCast:
    """Commit a person's vote on the one pair whose id begins with `start`; earlier votes are kept, the latest counts.

    `version` is that of the pair which the voter saw. `check` is called in the same transaction with the pair's id, and may
    refuse. `any_case` allows a name that differs from another voter's by case alone. `shown_first` is the answer that a voter who
    did not know which is which was shown first (see `clairgen.api.cast_blind_vote`). Raises InputError for a name or a note that
    cannot be kept, and where there is no such pair or nothing to vote on, RunError for a pair of another version and a run of an
    older schema.
    """
    voter = checked_voter(voter)
    if (fault := note_fault(note)) is not None:
        raise InputError(f"the note {fault}")

    directory = RunDirectory(Path(run))
    found, _ = await _decided_pair(directory, start, "vote on")

    async def work(store: Store) -> VoteCast:
        of_version(version or found.version, found.id, await store.chosen.pair(found.id))
        await require_own_name(store, voter, any_case=any_case)
        if check is not None:
            await check(store, found.id)
        is_new = await store.votes.cast(found.id, voter, vote, note, shown_first=shown_first)
        others = sum(one.voter != voter for one in await store.votes.of_pair(found.id))
        return VoteCast(found.id, others, is_new)

    return await short_write(directory, work)


async def revise(
    run: Path | str,
    start: str,
    text: str,
    editor: str,
    *,
    answer: EditedAnswer = EditedAnswer.CHOSEN,
    note: str | None = None,
    version: str | None = None,
) -> AnswerRevised:
    """Keep a person's edit of an `answer` of the one pair whose id begins with `start`.

    It makes a pair of the recipe `human-revision`: `text` chosen, the text that was edited rejected. The same edit twice is one
    pair; another edit of the same answer by the same person replaces the former one. `version` is that of the pair which the
    person saw. Raises InputError and RunError as `cast_vote` does, and for an edit that is empty or changes nothing.
    """
    editor = checked_voter(editor)
    if (fault := note_fault(note)) is not None:
        raise InputError(f"the note {fault}")
    stored, pair = await _decided_pair(RunDirectory(Path(run)), start, "edit")
    of_version(stored.version if version is None else version, stored.id, stored)
    try:
        return await add_revision(run, stored, pair, Edit(EditedAnswer(answer), text, editor, note))
    except RequestFailedError as error:
        raise InputError(
            f"the two answers cannot be compared in {TIME_LIMIT_SECONDS:g} s; edit a shorter one"
        ) from error


def checked_voter(name: str) -> str:
    """A person's name in the one spelling in which it is kept. Raises InputError for one that cannot be kept."""
    if (fault := voter_fault(name)) is not None:
        raise InputError(f"the voter {fault}")
    return one_spelling(name)


async def require_own_name(store: Store, voter: str, *, any_case: bool) -> None:
    """Raises InputError for a new name that is another voter's but for case, unless `any_case`."""
    if not any_case and (other := await store.votes.other_case(voter)) is not None:
        raise InputError(f"there is already a voter {other}: use that name, or another")


async def _decided_pair(run: RunDirectory, start: str, what: str) -> tuple[StoredPair, Pair]:
    """The one decided pair whose id begins with `start`; `what` is what is to be done with it.

    Looking for it reads all pairs, unless `start` is a whole id, so it comes before a write.
    """
    async with reading(run) as store:
        whole = await store.chosen.pair(start) if is_encodable(start) else None
        found = [whole] if whole is not None else await store.pairs.find(start[:_LONGEST_ID]) if start else []
    if len(found) != 1:
        ids = ", ".join(f"{one.id} ({one.outcome.recipe})" for one in found[:5])
        raise InputError(
            f"{run.path} has {counted(len(found), 'made pair')} of {start[:100]!r}"
            + (f"; name one by its id: {ids}" if found else f"; see: clairgen show {run.path}")
        )
    [stored] = found
    if not isinstance(stored.outcome, Pair):
        raise InputError(f"pair {stored.id} has no chosen answer, so there is nothing to {what}")
    return stored, stored.outcome
