"""The service as an ASGI application: routes behind the checks of each request, and errors as one sentence."""

import asyncio
import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from clairgen.errors import ClairgenError, ReplacedError, RunError, StoreError
from clairgen.installed import __version__
from clairgen.service.answers import PROBLEMS, Answered
from clairgen.service.api_routes import api_routes
from clairgen.service.coordinator.coordinator_routes import coordinator_routes
from clairgen.service.coordinator.member_groups import RepeatedError
from clairgen.service.coordinator.saved_groups import Coordinator
from clairgen.service.estimates import Estimates, estimate_routes
from clairgen.service.job_pages import job_buttons, job_pages
from clairgen.service.job_routes import job_file_routes, job_routes
from clairgen.service.jobs import Jobs
from clairgen.service.live_routes import live_routes
from clairgen.service.live_runs import LiveRuns, TooManyReadersError
from clairgen.service.operations import Operations, operation_routes
from clairgen.service.page_routes import page_routes
from clairgen.service.pair_indexes import NotReadyError
from clairgen.service.people import People
from clairgen.service.people_api import people_api
from clairgen.service.people_pages import edit_pages, people_pages
from clairgen.service.policy import Policy
from clairgen.service.queue_pages import queue_pages
from clairgen.service.rendering import page, static_files
from clairgen.service.request_checks import RequestChecks
from clairgen.service.request_rates import Clients, Limits
from clairgen.service.runs import NotAllowedError, NotThereError, Runs
from clairgen.service.runs_root import NotPermittedError, RunsRoot
from clairgen.service.sign_in import sign_in_routes
from clairgen.service.tokens import Tokens
from clairgen.service.uploads import upload_pages, upload_routes
from clairgen.store.job_records import OtherRequestError, QueueFullError

_STATUSES: Sequence[tuple[type[ClairgenError], int]] = (
    (NotThereError, 404),
    (NotAllowedError, 403),
    (OtherRequestError, 422),
    (QueueFullError, 429),
    (NotPermittedError, 403),
    (RunError, 409),
    (ReplacedError, 410),
    (NotReadyError, 409),
    (RepeatedError, 425),
    (StoreError, 503),
    (TooManyReadersError, 503),
)


def service(
    root: RunsRoot,
    tokens: Tokens,
    hosts: Iterable[str],
    stopping: asyncio.Event | None = None,
    *,
    limits: Limits | None = None,
    jobs: Jobs | None = None,
    coordinator: Coordinator | None = None,
    has_public_metrics: bool = False,
    is_working: Callable[[], bool] = lambda: True,
) -> ASGIApp:
    """The service over the runs of a root; `hosts` are the names by which it may be reached. Without `jobs` it takes none.

    Without a `coordinator` it coordinates nothing.

    Once `stopping` is set, streams end. `has_public_metrics` is whether /metrics needs no token, `is_working` says whether there
    is a worker for the jobs.
    """
    runs, clients, jobs = Runs(root), Clients(limits or Limits()), jobs or Jobs(Policy(root), None)
    estimates = Estimates(jobs.policy)
    operations = Operations(root, jobs, is_working, coordinator)
    app = FastAPI(
        title="clairgen",
        version=__version__,
        summary="Runs, pairs and votes, by the same verbs as the command line.",
        docs_url=None,  # what it shows is loaded from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        responses=dict(PROBLEMS),
        dependencies=[Depends(HTTPBearer(auto_error=False))]
        if tokens.are_needed
        else [],  # said in the description alone
    )
    app.include_router(api_routes(runs))
    app.include_router(job_routes(jobs))
    app.include_router(job_file_routes(jobs))
    app.include_router(upload_routes(root, jobs))
    app.include_router(estimate_routes(estimates))
    for routes in coordinator_routes(coordinator):
        app.include_router(routes)
    app.include_router(live_routes(runs, LiveRuns(stopping)))
    app.include_router(page_routes(runs))
    people = People(runs)
    app.include_router(people_api(people))
    app.include_router(people_pages(people))
    app.include_router(queue_pages(runs, people))
    app.include_router(edit_pages(runs, people))
    app.include_router(job_pages(jobs, estimates))
    app.include_router(job_buttons(jobs))
    app.include_router(upload_pages(root, jobs))
    app.include_router(sign_in_routes(tokens, clients))
    app.include_router(static_files())
    app.include_router(operation_routes(operations))

    def answer(request: Request, status: int, sentence: str) -> Response:
        if request.url.path.startswith("/api/"):
            return Answered({"detail": sentence}, status)
        return page(request, "problem.html", {"sentence": sentence, "status": status}, status=status)

    async def of_clairgen(request: Request, error: Exception) -> Response:
        status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 400)
        return answer(request, status, str(error))

    async def of_input(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError | ValidationError)  # noqa: S101 - it is registered for these
        return answer(request, 422, "; ".join(map(_mistake, error.errors()[:5])))

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
        answered = answer(request, error.status_code, error.detail)
        answered.headers.update(error.headers or {})  # such as Allow
        return answered

    app.add_exception_handler(ClairgenError, of_clairgen)
    app.add_exception_handler(RequestValidationError, of_input)
    app.add_exception_handler(ValidationError, of_input)
    app.add_exception_handler(HTTPException, of_http)
    return operations.counted(RequestChecks(app, tokens, frozenset(hosts), clients, has_public_metrics))


def today() -> datetime.date:
    """The day, in UTC, by which tokens expire."""
    return datetime.datetime.now(datetime.UTC).date()


def _mistake(error: Any) -> str:  # noqa: ANN401 - one of pydantic's
    return f"{_where(error['loc'])}: {error['msg'].removeprefix('Value error, ')}"


def _where(location: Sequence[int | str]) -> str:
    return " ".join(str(part) for part in location if part not in ("query", "body", "path")) or "the request"
