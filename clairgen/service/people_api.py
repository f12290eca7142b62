"""The HTTP API of what people do besides voting: queues, edited answers, and all votes of a run."""

from typing import Annotated

from fastapi import APIRouter, Path, Request

from clairgen.api import VoteCast
from clairgen.pipeline.human_revisions import AnswerRevised
from clairgen.service.answers import Answered
from clairgen.service.api_routes import PairId, RunName
from clairgen.service.people import (
    BlindVoteRequest,
    EditRequest,
    NextPair,
    NextRequest,
    People,
    QueueRequest,
    SkipRequest,
)
from clairgen.store import QueueProgress, RecordedVote, Revision

QueueName = Annotated[str, Path(max_length=100, description="The name of the queue.")]


def people_api(people: People) -> APIRouter:
    """The routes over some runs."""
    routes = APIRouter(prefix="/api/runs/{run}", default_response_class=Answered)

    @routes.get("/votes", response_model=list[RecordedVote], summary="All votes on its pairs, also earlier ones")
    async def all_votes(run: RunName) -> Answered:
        return Answered(await people.votes(run))

    @routes.get("/pairs/{pair}/revisions", response_model=list[Revision], summary="The edits of a pair's answers")
    async def revisions(run: RunName, pair: PairId) -> Answered:
        return Answered(await people.revisions(run, pair))

    @routes.post(
        "/pairs/{pair}/revisions",
        response_model=AnswerRevised,
        status_code=201,
        summary="Keep an edited answer as a pair of the recipe human-revision",
    )
    async def revise(run: RunName, pair: PairId, edit: EditRequest, request: Request) -> Answered:
        return Answered(await people.revise(run, pair, edit, request.state.grant), status_code=201)

    @routes.get("/queues", response_model=list[QueueProgress], summary="Its queues and how far they are")
    async def queues(run: RunName) -> Answered:
        return Answered(await people.queues(run))

    @routes.post("/queues", response_model=QueueProgress, status_code=201, summary="Make a queue of chosen pairs")
    async def make_queue(run: RunName, queue: QueueRequest) -> Answered:
        return Answered(await people.make_queue(run, queue), status_code=201)

    @routes.get("/queues/{queue}", response_model=QueueProgress, summary="How far a queue is")
    async def one_queue(run: RunName, queue: QueueName) -> Answered:
        return Answered(await people.queue(run, queue))

    @routes.post("/queues/{queue}/next", response_model=NextPair, summary="Be handed the next pair")
    async def next_pair(run: RunName, queue: QueueName, who: NextRequest, request: Request) -> Answered:
        return Answered(dict(await people.handed(run, queue, who.voter, request.state.grant)))

    @routes.post("/queues/{queue}/skip", response_model=NextPair, summary="Give a pair back and be handed the next")
    async def skip(run: RunName, queue: QueueName, which: SkipRequest, request: Request) -> Answered:
        await people.skip(run, queue, which.pair, which.voter, request.state.grant)
        return Answered(dict(await people.handed(run, queue, which.voter, request.state.grant)))

    @routes.post(
        "/queues/{queue}/pairs/{pair}/votes",
        response_model=VoteCast,
        status_code=201,
        summary="Vote on a pair of a blind queue: first, second, tie or drop",
    )
    async def vote_blind(
        run: RunName, queue: QueueName, pair: PairId, vote: BlindVoteRequest, request: Request
    ) -> Answered:
        return Answered(await people.vote_blind(run, queue, pair, vote, request.state.grant), status_code=201)

    return routes
