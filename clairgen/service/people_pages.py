"""The pages for people: how far they agree, queues that hand out pairs one after another, and the form to edit an answer."""

import asyncio
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict
from starlette.responses import HTMLResponse, RedirectResponse, Response

from clairgen.pipeline.human_revisions import EditedAnswer
from clairgen.records import Pair
from clairgen.reporting.sanitize import plain_text
from clairgen.service.api_routes import PairId, RunName
from clairgen.service.page_routes import VoteForm, pair_page_values, remembered_voter, remembering
from clairgen.service.pair_pages import DiffMode, PairQuery
from clairgen.service.people import EditRequest, People, QueueRequest
from clairgen.service.people_api import QueueName
from clairgen.service.rendering import form_fields, link, page
from clairgen.service.runs import Runs

_NUMBER = BeforeValidator(lambda value: value or None)
_SECONDS_OF_A_MINUTE: Final = 60
_MOST_ENCODED: Final = 200 * 1024


class WhoForm(BaseModel):
    """Who asks for the next pair of a queue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    voter: str = ""


class SkipForm(WhoForm):
    """The button to skip a pair."""

    skip: str


class EditForm(WhoForm):
    """The fields of the form to edit an answer."""

    version: str
    answer: EditedAnswer
    text: str
    note: str = ""
    queue: str = ""


class QueueForm(BaseModel):
    """The fields of the form to make a queue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    recipe: str = ""
    kept: bool = False
    overlap: Annotated[int, _NUMBER] = 1
    pairs: Annotated[int, _NUMBER] = 100
    seed: Annotated[int, BeforeValidator(lambda value: value or 0)] = 0
    minutes: Annotated[float, _NUMBER] = 30


def people_pages(runs: Runs, people: People) -> APIRouter:
    """The routes over some runs."""
    routes = APIRouter(prefix="/runs/{run}", include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get("/people")
    async def people_page(request: Request, run: RunName, finished: str | None = None) -> Response:
        values = {"run": run, "finished": finished, "voter": remembered_voter(request), "queue_address": _queue_address}
        values |= await people.page_values(run)
        return await asyncio.to_thread(lambda: page(request, "people_page.html", values))

    @routes.post("/people")
    async def make_queue(request: Request, run: RunName) -> Response:
        form = QueueForm.model_validate(await form_fields(request))
        asked = form.model_dump(exclude={"minutes"}) | {"lease_seconds": form.minutes * _SECONDS_OF_A_MINUTE}
        await people.make_queue(run, QueueRequest.model_validate(asked))
        return RedirectResponse(f"{_address(run)}#queues", status_code=303)

    async def to_next(request: Request, run: str, queue: str, voter: str, diff: DiffMode = DiffMode.INLINE) -> Response:
        following = await people.next_pair(run, queue, voter, request.state.grant)
        answer = RedirectResponse(_next_address(run, queue, following, diff), status_code=303)
        return remembering(answer, voter)

    @routes.post("/queues/{queue}/next")
    async def next_pair(request: Request, run: RunName, queue: QueueName) -> Response:
        form = WhoForm.model_validate(await form_fields(request))
        return await to_next(request, run, queue, form.voter)

    @routes.get("/queues/{queue}/pairs/{pair}")
    async def queued_pair(
        request: Request, run: RunName, queue: QueueName, pair: PairId, diff: DiffMode = DiffMode.INLINE
    ) -> Response:
        query = PairQuery(diff=diff)
        whole, progress = await runs.pair(run, pair, query), await people.queue(run, queue)
        values = pair_page_values(request, run, query, whole.before_vote_of(remembered_voter(request)))
        values |= {
            "queue": progress,
            "vote_action": _next_address(run, queue, pair, diff),
            "diff_addresses": {mode.value: _next_address(run, queue, pair, mode) for mode in DiffMode},
            "previous": None,
            "following": None,
        }
        return await asyncio.to_thread(lambda: page(request, "pair.html", values))

    @routes.post("/queues/{queue}/pairs/{pair}")
    async def vote_in_queue(
        request: Request, run: RunName, queue: QueueName, pair: PairId, diff: DiffMode = DiffMode.INLINE
    ) -> Response:
        fields = await form_fields(request)
        if "skip" in fields:
            skipped = SkipForm.model_validate({name: fields[name] for name in ("skip", "voter") if name in fields})
            await people.skip(run, queue, pair, skipped.voter, request.state.grant)
            return await to_next(request, run, queue, skipped.voter, diff)
        form = VoteForm.model_validate(fields)
        await runs.vote(run, pair, form.request(queue), request.state.grant)
        return await to_next(request, run, queue, form.voter, diff)

    return routes


def edit_pages(runs: Runs, people: People) -> APIRouter:
    """The routes to edit answers of some runs."""
    routes = APIRouter(prefix="/runs/{run}/pairs/{pair}", include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get("/edit")
    async def edit_page(
        request: Request,
        run: RunName,
        pair: PairId,
        answer: EditedAnswer = EditedAnswer.CHOSEN,
        queue: Annotated[str, Query(max_length=100)] = "",
    ) -> Response:
        whole = await runs.pair(run, pair, PairQuery())
        values: dict[str, Any] = pair_page_values(request, run, PairQuery(), whole)
        outcome = whole.stored.outcome
        if isinstance(outcome, Pair):
            text = outcome.chosen.text if answer is EditedAnswer.CHOSEN else outcome.rejected.text
            made = (whole.stored.version, answer, values["voter"])
            former = [one for one in whole.revisions if (one.from_version, one.answer, one.editor) == made]
            values |= {"answer": answer, "text": text, "fits": fits_a_form(text), "former": next(iter(former), None)}
            values |= {"queue": queue}
        return await asyncio.to_thread(lambda: page(request, "edit_page.html", values))

    @routes.post("/edit")
    async def edit(request: Request, run: RunName, pair: PairId) -> Response:
        form = EditForm.model_validate(await form_fields(request))
        asked = EditRequest(
            text=form.text.replace("\r\n", "\n"),
            version=form.version,
            answer=form.answer,
            editor=form.voter,
            note=form.note.replace("\r\n", "\n"),
        )
        done = await people.revise(run, pair, asked, request.state.grant)
        address = _next_address(run, form.queue, pair) if form.queue else link(run, done.pair_id)
        return remembering(RedirectResponse(address, status_code=303), form.voter)

    return routes


def fits_a_form(text: str) -> bool:
    """Whether a form gives a text back as it is: with nothing that pages show in other signs, and not too long for a request."""
    return plain_text(text) == text and len(quote(text, safe="")) <= _MOST_ENCODED


def _address(run: str) -> str:
    return f"/runs/{quote(run, safe='')}/people"


def _queue_address(run: str, queue: str) -> str:
    return f"/runs/{quote(run, safe='')}/queues/{quote(queue, safe='')}"


def _next_address(run: str, queue: str, pair: str | None, diff: DiffMode = DiffMode.INLINE) -> str:
    """Where a pair of a queue is shown, or for none that there is none."""
    if pair is None:
        return f"{_address(run)}?finished={quote(queue, safe='')}#queues"
    return f"{_queue_address(run, queue)}/pairs/{pair}{'' if diff is DiffMode.INLINE else f'?diff={diff}'}"
