"""The pages for people: how far they agree, which queues there are, and the form to edit an answer."""

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
from clairgen.service.page_routes import pair_page_values, remembered_voter, remembering
from clairgen.service.pair_pages import PairQuery
from clairgen.service.people import EditRequest, People, QueueRequest
from clairgen.service.queue_pages import (
    VotedOn,
    WhoForm,
    people_address,
    queue_address,
    queued_pair_address,
)
from clairgen.service.rendering import form_fields, link, page
from clairgen.service.runs import Runs

_NUMBER = BeforeValidator(lambda value: value or None)
_SECONDS_OF_A_MINUTE: Final = 60
_MOST_ENCODED: Final = 200 * 1024


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
    blind: bool = False
    overlap: Annotated[int, _NUMBER] = 1
    pairs: Annotated[int, _NUMBER] = 100
    seed: Annotated[int, BeforeValidator(lambda value: value or 0)] = 0
    minutes: Annotated[float, _NUMBER] = 30


def people_pages(people: People) -> APIRouter:
    """The routes over some runs."""
    routes = APIRouter(prefix="/runs/{run}", include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get("/people")
    async def people_page(request: Request, run: RunName, finished: str | None = None, voted: VotedOn = "") -> Response:
        values = {"run": run, "finished": finished, "voter": remembered_voter(request), "queue_address": queue_address}
        values |= {"voted_on": queued_pair_address(run, finished, voted) if finished and voted else None}
        values |= await people.page_values(run)
        return await asyncio.to_thread(lambda: page(request, "people_page.html", values))

    @routes.post("/people")
    async def make_queue(request: Request, run: RunName) -> Response:
        form = QueueForm.model_validate(await form_fields(request))
        asked = form.model_dump(exclude={"minutes"}) | {"lease_seconds": form.minutes * _SECONDS_OF_A_MINUTE}
        await people.make_queue(run, QueueRequest.model_validate(asked))
        return RedirectResponse(f"{people_address(run)}#queues", status_code=303)

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
        address = queued_pair_address(run, form.queue, pair) if form.queue else link(run, done.pair_id)
        return remembering(RedirectResponse(address, status_code=303), form.voter)

    return routes


def fits_a_form(text: str) -> bool:
    """Whether a form gives a text back as it is: with nothing that pages show in other signs, and not too long for a request."""
    return plain_text(text) == text and len(quote(text, safe="")) <= _MOST_ENCODED
