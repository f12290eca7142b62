"""The pages of jobs: their list, one of them, and the forms to submit, cancel and resume them. They work without a script."""

import asyncio
import secrets
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from clairgen.service.estimates import Estimates
from clairgen.service.job_files import made_files
from clairgen.service.job_forms import example_configuration, filled_in, form_of
from clairgen.service.job_requests import REQUEST_MODELS, request_of
from clairgen.service.job_routes import Before, JobId, RunFilter
from clairgen.service.jobs import Jobs
from clairgen.service.rendering import form_fields, page
from clairgen.service.request_models import GenerateRequest
from clairgen.store.job_records import JobState

_LINES: Final = 50
_SHOWN_OUTPUT: Final = 20_000
_KEY: Final = "idempotency_key"


def job_pages(jobs: Jobs, estimates: Estimates) -> APIRouter:
    """The routes over some jobs."""
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    def form_page(request: Request, verb: str, given: dict[str, str], **more: object) -> Response:
        model = REQUEST_MODELS.get(verb)
        values: dict[str, Any] = {
            "verb": verb,
            "verbs": list(REQUEST_MODELS),
            "about": (model.__doc__ or "") if model is not None else "",
            "fields": form_of(verb, given),
            "key": secrets.token_urlsafe(16),
            "are_taken": jobs.are_taken,
            "example": None,
            "estimate": None,
        }
        return page(request, "new_job.html", {**values, **more})

    @routes.get("/jobs")
    async def list_page(
        request: Request, state: JobState | Literal[""] | None = None, run: RunFilter = None, before: Before = None
    ) -> Response:
        state, run = state or None, run or None
        found = await jobs.jobs(state=state, run=run, before=before, limit=_LINES + 1)
        values = {
            "jobs": found[:_LINES],
            "state": state,
            "run": run,
            "states": list(JobState),
            "is_later": before is not None,
            "before": found[_LINES - 1].id if len(found) > _LINES else None,
        }
        return page(request, "jobs.html", {**values, "are_taken": jobs.are_taken})

    @routes.get("/jobs/new")
    async def new_page(
        request: Request,
        verb: Annotated[str, Query(max_length=30)] = "generate",
        example: Annotated[str, Query(max_length=20)] = "classroom",
    ) -> Response:
        given = {name: value for name, value in request.query_params.items() if len(value) <= 2000}
        is_new = verb == "generate" and "run" not in given
        if is_new:
            given["configuration"] = await asyncio.to_thread(example_configuration, example)
        return form_page(request, verb, given, example=example if is_new else None)

    @routes.post("/jobs/estimate")
    async def estimate_by_form(request: Request) -> Response:
        form = await form_fields(request)
        key = form.pop(_KEY, None)
        form.pop("verb", None)
        job = GenerateRequest.model_validate(filled_in("generate", form))
        found = await estimates.estimate(job, request.state.grant)
        return form_page(request, "generate", form, estimate=found, key=key or secrets.token_urlsafe(16))

    @routes.post("/jobs")
    async def submit_by_form(request: Request) -> Response:
        form = await form_fields(request)
        verb, key = form.pop("verb", ""), form.pop(_KEY, None)
        filled = filled_in(verb, form)
        filled.pop("verb")
        job, _ = await jobs.submit(request_of(verb, filled), request.state.grant, key or None)
        return RedirectResponse(f"/jobs/{job.id}", status_code=303)

    @routes.get("/jobs/{job}")
    async def job_page(request: Request, job: JobId) -> Response:
        found = await jobs.job(job)
        values = {
            "job": found,
            "progress": await jobs.progress(found),
            "output": (await jobs.output(job))[-_SHOWN_OUTPUT:],
            "files": await asyncio.to_thread(made_files, await jobs.made(job)),
            "is_run": found.run is not None and jobs.has_run(found.run),
        }
        return page(request, "job.html", values)

    return routes


def job_buttons(jobs: Jobs) -> APIRouter:
    """The routes of the buttons on a job's page."""
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @routes.post("/jobs/{job}/cancel")
    async def cancel_by_form(request: Request, job: JobId) -> Response:
        await jobs.cancel(job, request.state.grant)
        return RedirectResponse(f"/jobs/{job}", status_code=303)

    @routes.post("/jobs/{job}/delete")
    async def delete_by_form(request: Request, job: JobId) -> Response:
        await jobs.delete(job, request.state.grant)
        return RedirectResponse("/jobs", status_code=303)

    @routes.post("/jobs/{job}/resume")
    async def resume_by_form(request: Request, job: JobId) -> Response:
        await jobs.resume(job, request.state.grant)
        return RedirectResponse(f"/jobs/{job}", status_code=303)

    return routes
