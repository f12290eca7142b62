"""The HTTP API for jobs, under /api/jobs: submit, list, look at, cancel and resume them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Body, Header, Path, Query, Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse

from clairgen.service.answers import Answered, answered_as
from clairgen.service.job_files import MadeFile, archive, made_file, made_files
from clairgen.service.job_requests import JobRequest
from clairgen.service.jobs import JobProgress, Jobs
from clairgen.service.runs import NotThereError
from clairgen.store.job_records import Job, JobState

JobId = Annotated[int, Path(ge=1, le=2**53, description="The id of the job.")]
StateFilter = Annotated[JobState | None, Query(description="Only jobs in this state.")]
RunFilter = Annotated[str | None, Query(max_length=255, description="Only jobs on this run.")]
Before = Annotated[int | None, Query(ge=1, le=2**53, description="Only jobs before this one.")]
Key = Annotated[
    str | None, Header(alias="Idempotency-Key", description="Sent again with the same request, it is the same job.")
]


@dataclass(frozen=True, slots=True)
class JobObject:
    """A job. `command` is the command line that does the same; `sentence` says how it ended, or why it waits.

    `waits_for` is the job that comes first, as it writes the same folder or one that this job needs. `next_look_at` is when the
    batches of a waiting job are looked at. `starts` counts how often it was begun with, `cancels` how often it was cancelled
    since. `exit_code` is that of the command. `arguments` are null in a list.
    """

    id: int
    verb: str
    run: str | None
    state: JobState
    sentence: str | None
    exit_code: int | None
    submitted_by: str
    submitted_at: str
    started_at: str | None
    ended_at: str | None
    starts: int
    cancels: int
    waits_for: int | None
    next_look_at: str | None
    command: str
    progress: JobProgress | None = None
    arguments: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, job: Job, progress: JobProgress | None = None, *, whole: bool = False) -> "JobObject":
        """The object of a job."""
        names = [name for name in cls.__dataclass_fields__ if name not in ("progress", "arguments")]
        facts = {name: getattr(job, name) for name in names}
        return cls(**facts, progress=progress, arguments=job.arguments if whole else None)


@dataclass(frozen=True, slots=True)
class JobObjects:
    """A page of jobs, the latest first; `before` is the parameter that asks for the next page, null without one."""

    jobs: list[JobObject]
    before: int | None


def job_routes(jobs: Jobs) -> APIRouter:
    """The routes over some jobs."""
    routes = APIRouter(prefix="/api/jobs", default_response_class=Answered)

    @routes.post(
        "",
        response_model=JobObject,
        status_code=201,
        responses={200: {"model": JobObject, "description": "It was submitted before under this key."}},
        summary="Submit a job",
    )
    async def submit_job(job: Annotated[JobRequest, Body()], request: Request, idempotency_key: Key = None) -> Answered:
        found, is_new = await jobs.submit(job, request.state.grant, idempotency_key)
        headers = {"Location": f"/api/jobs/{found.id}"}
        return Answered(JobObject.of(found, whole=True), status_code=201 if is_new else 200, headers=headers)

    @routes.get("", response_model=JobObjects, summary="Jobs, the latest first")
    async def list_jobs(
        state: StateFilter = None,
        run: RunFilter = None,
        before: Before = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Answered:
        found = await jobs.jobs(state=state, run=run, before=before, limit=limit + 1)
        page = found[:limit]
        lines = [JobObject.of(job, await jobs.progress(job)) for job in page]
        return Answered(JobObjects(lines, page[-1].id if len(found) > limit else None))

    @routes.get("/{job}", response_model=JobObject, summary="A job")
    async def one_job(job: JobId) -> Answered:
        found = await jobs.job(job)
        return Answered(JobObject.of(found, await jobs.progress(found), whole=True))

    @routes.get("/{job}/output", **answered_as("text/plain"), summary="The last of what it printed")
    async def job_output(job: JobId) -> Response:
        return PlainTextResponse((await jobs.output(job)).encode("utf-8", "backslashreplace"))

    @routes.post(
        "/{job}/cancel", response_model=JobObject, summary="Cancel it: what is in flight is finished; again, at once"
    )
    async def cancel_job(job: JobId, request: Request) -> Answered:
        return Answered(JobObject.of(await jobs.cancel(job, request.state.grant)))

    @routes.post("/{job}/resume", response_model=JobObject, summary="Queue it again, also while it waits for batches")
    async def resume_job(job: JobId, request: Request) -> Answered:
        return Answered(JobObject.of(await jobs.resume(job, request.state.grant)))

    @routes.delete("/{job}", status_code=204, response_class=Response, summary="Delete one that is over; results stay")
    async def delete_job(job: JobId, request: Request) -> Response:
        await jobs.delete(job, request.state.grant)
        return Response(status_code=204)

    return routes


def job_file_routes(jobs: Jobs) -> APIRouter:
    """The routes to the files that jobs made."""
    routes = APIRouter(prefix="/api/jobs", default_response_class=Answered)

    @routes.get("/{job}/files", response_model=list[MadeFile], summary="The files that it made")
    async def job_files(job: JobId) -> Answered:
        return Answered(await asyncio.to_thread(made_files, await jobs.made(job)))

    @routes.get("/{job}/files/{name:path}", **answered_as("application/octet-stream"), summary="One of them")
    async def job_file(job: JobId, name: Annotated[str, Path(max_length=1000)]) -> Response:
        found = await asyncio.to_thread(made_file, await jobs.made(job), name)
        if found is None:
            raise NotThereError("the job made no file of this name")
        return FileResponse(found, media_type="application/octet-stream", filename=found.name)

    @routes.get("/{job}/archive", **answered_as("application/x-tar"), summary="All of them as a tar archive")
    async def job_archive(job: JobId) -> Response:
        folder = await jobs.made(job)
        if not await asyncio.to_thread(made_files, folder):
            raise NotThereError("the job made no files")
        headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(folder.name)}.tar"}
        return StreamingResponse(archive(folder), media_type="application/x-tar", headers=headers)

    return routes
