"""What people do with the pairs of runs besides voting: queues that hand pairs out, and answers that they edit."""

import asyncio
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from clairgen import api
from clairgen.api.review_queue import LEASE_SECONDS, MOST_OVERLAP, MOST_QUEUED, PAIRS
from clairgen.pipeline.human_revisions import AnswerRevised, EditedAnswer
from clairgen.service.pair_pages import PAIR_ID, ChoiceQuery
from clairgen.service.runs import NotThereError, Runs, person
from clairgen.service.tokens import Grant
from clairgen.store import QueueProgress, RecordedVote, Revision, reading

Name = Annotated[str, Field(max_length=1000)]
MOST_CHARACTERS: Final = 200_000
"""Characters that an edited answer may have; a request has to hold it."""


class QueueRequest(ChoiceQuery):
    """A queue to make: its name, which pairs it is drawn from, and to how many people each of them is handed."""

    name: str = Field(max_length=200)
    overlap: int = Field(1, ge=1, le=MOST_OVERLAP, description="To how many people each pair is handed.")
    pairs: int = Field(PAIRS, ge=1, le=MOST_QUEUED, description="How many pairs at most, drawn at random.")
    seed: int = Field(0, ge=0, lt=2**63, description="Draws the pairs and their order.")
    lease_seconds: float = Field(
        LEASE_SECONDS,
        ge=1,
        le=7 * 24 * 3600,
        description="How long a person has for a pair before somebody else gets it.",
    )
    blind: bool = Field(True, description="Whether people are not told which answer is chosen before they have voted.")


class NextRequest(BaseModel):
    """Who asks for a pair. `voter` may be left out with a token that has a name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    voter: Name | None = None


class SkipRequest(NextRequest):
    """Which pair a person does not want to vote on."""

    pair: str = Field(pattern=PAIR_ID)


class NextPair(BaseModel):
    """The pair that a queue hands out; null if there is none left for this person.

    `blind` is what is shown of it in a blind queue: the prompt and two answers in the order that was drawn for this person.
    """

    pair: str | None
    blind: api.BlindPair | None = None


class BlindVoteRequest(NextRequest):
    """A vote on a pair as it is shown in a blind queue. `version` is that of the pair which the voter saw."""

    vote: api.BlindVote
    note: str | None = Field(None, max_length=20_000)
    version: str | None = Field(None, max_length=100)


class EditRequest(BaseModel):
    """An edited answer: which one of the pair, its new text, and the version of the pair that was edited.

    `editor` may be left out with a token that has a name. `note` says why.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(max_length=MOST_CHARACTERS)
    version: str = Field(max_length=100)
    answer: EditedAnswer = EditedAnswer.CHOSEN
    editor: Name | None = None
    note: str | None = Field(None, max_length=20_000)


class People:
    """What people do in the runs of a root."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def queues(self, name: str) -> list[QueueProgress]:
        """The queues of a run and how far they are."""
        return await api.queues(self._runs.directory(name).path)

    async def queue(self, name: str, queue: str) -> QueueProgress:
        """How far a queue is. Raises NotThereError."""
        try:
            return await api.queue_progress(self._runs.directory(name).path, queue)
        except api.NoQueueError as error:
            raise NotThereError(str(error)) from error

    async def make_queue(self, name: str, request: QueueRequest) -> QueueProgress:
        """Make a queue."""
        run = self._runs.directory(name)
        making = api.make_queue(
            run.path,
            request.name,
            request.choice,
            overlap=request.overlap,
            pairs=request.pairs,
            seed=request.seed,
            lease_seconds=request.lease_seconds,
            blind=request.blind,
        )
        return await asyncio.to_thread(asyncio.run, making)  # drawing from a million pairs takes seconds

    async def next_pair(self, name: str, queue: str, voter: str | None, grant: Grant) -> str | None:
        """The id of the pair that a queue hands to a person; None for none. Raises NotThereError."""
        await self.queue(name, queue)
        async with self._runs.writing(name):
            run, who = self._runs.directory(name).path, person(grant, voter)
            return await api.next_pair(run, queue, who, any_case=grant.name is not None)

    async def blind_pair(self, name: str, queue: str, pair_id: str, voter: str) -> api.BlindPair | None:
        """A pair as this person is to see it before the vote in a blind queue; None afterwards, and in others."""
        return await api.blind_pair(self._runs.directory(name).path, queue, pair_id, voter)

    async def handed(self, name: str, queue: str, voter: str | None, grant: Grant) -> NextPair:
        """The pair that a queue hands to a person, as it is to be seen. Raises NotThereError."""
        pair_id = await self.next_pair(name, queue, voter, grant)
        if pair_id is None:
            return NextPair(pair=None)
        return NextPair(pair=pair_id, blind=await self.blind_pair(name, queue, pair_id, person(grant, voter)))

    async def vote_blind(
        self, name: str, queue: str, pair_id: str, vote: BlindVoteRequest, grant: Grant
    ) -> api.VoteCast:
        """Cast a vote on a pair of a blind queue. Raises NotThereError."""
        await self.queue(name, queue)
        voter = person(grant, vote.voter)
        run = await self._runs.with_pair(name, pair_id)
        async with self._runs.writing(name):
            return await api.cast_blind_vote(
                run.path,
                queue,
                pair_id,
                vote.vote,
                voter,
                (vote.note or "").strip() or None,
                version=vote.version,
                any_case=grant.name is not None,
            )

    async def skip(self, name: str, queue: str, pair_id: str, voter: str | None, grant: Grant) -> None:
        """Give a pair back, which this person does not get again. Raises NotThereError."""
        await self.queue(name, queue)
        async with self._runs.writing(name):
            await api.give_back(self._runs.directory(name).path, queue, pair_id, person(grant, voter))

    async def revise(self, name: str, pair_id: str, edit: EditRequest, grant: Grant) -> AnswerRevised:
        """Keep an edited answer as a pair of its own. Raises NotThereError."""
        editor = person(grant, edit.editor)
        run = await self._runs.with_pair(name, pair_id)
        async with self._runs.writing(name):
            return await api.revise(
                run.path,
                pair_id,
                edit.text,
                editor,
                answer=edit.answer,
                note=(edit.note or "").strip() or None,
                version=edit.version,
            )

    async def revisions(self, name: str, pair_id: str) -> list[Revision]:
        """The edits of a pair's answers that were not replaced. Raises NotThereError."""
        async with reading(await self._runs.with_pair(name, pair_id)) as store:
            return await store.revisions.of_origin(pair_id)

    async def votes(self, name: str) -> list[RecordedVote]:
        """All votes on the pairs of a run, in the order in which they were cast."""
        async with reading(self._runs.directory(name), snapshot=True) as store:
            return await store.votes.all(list(await store.metadata.plans()))

    async def page_values(self, name: str) -> dict[str, Any]:
        """What the page about people shows: how far they agree, and the queues."""
        reports = (await self._runs.report(name)).reports
        return {
            "reports": [report for report in reports if report.agreement is not None],
            "recipes": [report.recipe for report in reports],
            "queues": await self.queues(name),
        }
