"""The pages of queues, which hand out pairs one after another; in a blind queue a pair is shown whole after the vote."""

import asyncio
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import HTMLResponse, RedirectResponse, Response

from clairgen.api import BlindPair, BlindVote
from clairgen.reporting.diff import DiffOp
from clairgen.reporting.html.pairs_page import compared, is_cut, shown_text
from clairgen.reporting.pair_view import visible_space
from clairgen.reporting.sanitize import plain_text
from clairgen.service.api_routes import PairId, RunName
from clairgen.service.page_routes import VoteForm, pair_page_values, remembered_voter, remembering
from clairgen.service.pair_pages import DiffMode, PairQuery
from clairgen.service.people import BlindVoteRequest, People
from clairgen.service.people_api import QueueName
from clairgen.service.rendering import form_fields, page, run_link
from clairgen.service.runs import Runs

_VOTES: Final = {
    BlindVote.FIRST: "the first answer is better",
    BlindVote.SECOND: "the second answer is better",
    BlindVote.TIE: "neither is better",
    BlindVote.DROP: "do not use the pair",
}
VotedOn = Annotated[str, Query(pattern="^([0-9a-f]{32})?$", description="The pair of the person's last vote.")]


class WhoForm(BaseModel):
    """Who asks for the next pair of a queue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    voter: str = ""


class SkipForm(WhoForm):
    """The button to skip a pair."""

    skip: str


class BlindVoteForm(WhoForm):
    """The fields of the form to vote in a blind queue."""

    version: str
    vote: BlindVote
    note: str = ""

    @property
    def request(self) -> BlindVoteRequest:
        """The vote."""
        note = self.note.replace("\r\n", "\n")
        return BlindVoteRequest(vote=self.vote, voter=self.voter, note=note, version=self.version)


def queue_pages(runs: Runs, people: People) -> APIRouter:
    """The routes over some runs."""
    routes = APIRouter(
        prefix="/runs/{run}/queues/{queue}", include_in_schema=False, default_response_class=HTMLResponse
    )

    async def to_next(
        request: Request, run: str, queue: str, voter: str, diff: DiffMode = DiffMode.INLINE, voted: str = ""
    ) -> Response:
        following = await people.next_pair(run, queue, voter, request.state.grant)
        answer = RedirectResponse(queued_pair_address(run, queue, following, diff, voted), status_code=303)
        return remembering(answer, voter)

    @routes.post("/next")
    async def next_pair(request: Request, run: RunName, queue: QueueName) -> Response:
        form = WhoForm.model_validate(await form_fields(request))
        return await to_next(request, run, queue, form.voter)

    @routes.get("/pairs/{pair}")
    async def queued_pair(
        request: Request,
        run: RunName,
        queue: QueueName,
        pair: PairId,
        diff: DiffMode = DiffMode.INLINE,
        voted: VotedOn = "",
    ) -> Response:
        template, values = await _pair_values(runs, people, request, run, queue, pair, diff, voted)
        if template is None:  # the order is drawn for a person
            return RedirectResponse(f"{people_address(run)}#queues", status_code=303)
        return await asyncio.to_thread(lambda: page(request, template, values))

    @routes.post("/pairs/{pair}")
    async def vote_in_queue(
        request: Request, run: RunName, queue: QueueName, pair: PairId, diff: DiffMode = DiffMode.INLINE
    ) -> Response:
        fields = await form_fields(request)
        if "skip" in fields:
            skipped = SkipForm.model_validate({name: fields[name] for name in ("skip", "voter") if name in fields})
            await people.skip(run, queue, pair, skipped.voter, request.state.grant)
            return await to_next(request, run, queue, skipped.voter, diff)
        if fields.get("vote") in set(BlindVote) and (await people.queue(run, queue)).queue.blind:
            blind = BlindVoteForm.model_validate(fields)
            await people.vote_blind(run, queue, pair, blind.request, request.state.grant)
            return await to_next(request, run, queue, blind.voter, diff, pair)
        form = VoteForm.model_validate(fields)
        await runs.vote(run, pair, form.request(queue), request.state.grant)
        return await to_next(request, run, queue, form.voter, diff)

    return routes


def people_address(run: str) -> str:
    """Where the page about people is."""
    return f"{run_link(run)}/people"


def queue_address(run: str, queue: str) -> str:
    """Where the addresses of a queue begin."""
    return f"{run_link(run)}/queues/{quote(queue, safe='')}"


def queued_pair_address(
    run: str, queue: str, pair: str | None, diff: DiffMode = DiffMode.INLINE, voted: str = ""
) -> str:
    """Where a pair of a queue is shown, or for none that there is none; `voted` is the pair that the person voted on before."""
    further = {"voted": voted} if voted else {}
    if pair is None:
        return f"{people_address(run)}?{urlencode({'finished': queue, **further})}#queues"
    parameters = urlencode(({} if diff is DiffMode.INLINE else {"diff": diff.value}) | further)
    return f"{queue_address(run, queue)}/pairs/{pair}{parameters and f'?{parameters}'}"


async def _pair_values(
    runs: Runs, people: People, request: Request, run: str, queue: str, pair: str, diff: DiffMode, voted: str
) -> tuple[str | None, dict[str, Any]]:
    """The template of a pair's page in a queue and what it shows; None where a blind queue does not know for whom."""
    voter, progress = remembered_voter(request), await people.queue(run, queue)
    common = {
        "run": run,
        "queue": progress,
        "voter": voter,
        "voted_on": queued_pair_address(run, queue, voted) if voted else None,
        "vote_action": queued_pair_address(run, queue, pair, diff),
    }
    query = PairQuery(diff=diff)
    whole = await runs.pair(run, pair, query)
    if progress.queue.blind:
        if not voter:
            return None, {}
        if (blind := await people.blind_pair(run, queue, pair, voter)) is not None:
            return "blind_pair.html", common | _blind_values(blind)
    diffs = {mode.value: queued_pair_address(run, queue, pair, mode) for mode in DiffMode}
    values = pair_page_values(request, run, query, whole.before_vote_of(voter))
    return "pair.html", values | common | {"diff_addresses": diffs, "previous": None, "following": None}


def _blind_values(pair: BlindPair) -> dict[str, Any]:
    """What the page of a pair shows before a blind vote: the pieces of both answers, each with whether the other lacks it."""
    pieces = [
        (code, visible_space(text, DiffOp.ADDED if code else DiffOp.KEPT))
        for code, text in compared(pair.first, pair.second)
    ]
    return {
        "pair": pair.pair,
        "version_of_pair": pair.version,
        "prompt": [(plain_text(message.role), shown_text(message.content)) for message in pair.prompt],
        "answers": [
            (title, [(code != 0, text) for code, text in pieces if code in (0, own)])
            for title, own in (("First answer", 1), ("Second answer", 2))
        ],
        "cut": is_cut(pair.first, pair.second),
        "votes": _VOTES,
    }
