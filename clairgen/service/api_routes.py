"""The HTTP API under /api: what the commands `status`, `report`, `show` and `vote` do, as JSON."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from clairgen.api import VoteCast
from clairgen.reporting.differences import differences
from clairgen.service.answers import Answered, PairLines, PairObject, RunLine
from clairgen.service.pair_pages import PAIR_ID, PageQuery, PairQuery
from clairgen.service.runs import Runs, VoteRequest
from clairgen.store import CastVote

RunName = Annotated[str, Path(max_length=255, description="The name of the run's folder.")]
PairId = Annotated[str, Path(pattern=PAIR_ID, description="The id of the pair.")]
SideText = Annotated[str, Query(max_length=1000, description="A recipe of a run, as RUN:RECIPE.")]


def api_routes(runs: Runs) -> APIRouter:
    """The routes over some runs."""
    routes = APIRouter(prefix="/api", default_response_class=Answered)

    @routes.get("/runs", response_model=list[RunLine], summary="All runs")
    async def list_runs() -> Answered:
        return Answered(await runs.lines())

    @routes.get("/runs/{run}", response_model=dict[str, Any], summary="Where a run stands, as status --json")
    async def run_status(run: RunName) -> Answered:
        return Answered((await runs.status(run)).to_json())

    @routes.get("/runs/{run}/report", response_model=list[dict[str, Any]], summary="Its figures, as report --json")
    async def run_report(run: RunName) -> Answered:
        return Answered([report.to_json() for report in (await runs.report(run)).reports])

    @routes.get("/compare", response_model=dict[str, Any], summary="Two reports and how they differ, with intervals")
    async def compare(left: SideText, right: SideText) -> Answered:
        first, second = (await runs.side(left)).report, (await runs.side(right)).report
        found = [one.to_json() for one in differences(first, second)]
        return Answered({"left": first.to_json(), "right": second.to_json(), "differences": found})

    @routes.get("/runs/{run}/pairs", response_model=PairLines, summary="A page of its pairs")
    async def run_pairs(run: RunName, query: Annotated[PageQuery, Query()]) -> Answered:
        return Answered(PairLines.of(await runs.pairs(run, query)))

    @routes.get("/runs/{run}/pairs/{pair}", response_model=PairObject, summary="A pair whole")
    async def one_pair(run: RunName, pair: PairId, query: Annotated[PairQuery, Query()]) -> Answered:
        return Answered(PairObject.of(await runs.pair(run, pair, query)))

    @routes.get(
        "/runs/{run}/pairs/{pair}/votes", response_model=list[CastVote], summary="The votes on a pair that count"
    )
    async def pair_votes(run: RunName, pair: PairId) -> Answered:
        return Answered(await runs.votes(run, pair))

    @routes.post("/runs/{run}/pairs/{pair}/votes", response_model=VoteCast, status_code=201, summary="Vote on a pair")
    async def cast_vote(run: RunName, pair: PairId, vote: VoteRequest, request: Request) -> Answered:
        cast = await runs.vote(run, pair, vote, request.state.grant)
        return Answered(cast, status_code=201)

    return routes
