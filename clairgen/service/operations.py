"""What operators ask of the service: whether it is alive and ready, and its metrics, for which requests are counted."""

import asyncio
import datetime
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clairgen.errors import ClairgenError
from clairgen.installed import __version__
from clairgen.service.active_runs import RunsReader
from clairgen.service.coordinator.saved_groups import Coordinator
from clairgen.service.jobs import Jobs
from clairgen.service.request_checks import HEALTH_PATHS, METRICS_PATH
from clairgen.service.run_metrics import OTHER, group_families, run_families
from clairgen.service.runs_root import RunsRoot
from clairgen.store.job_records import JobState

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ROUTE: Final = "route"
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class CountedRequests:
    """The service `app` with its requests counted by route, and not by address, so that no name or id becomes a label."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self._clock = clock
        self._requests = Counter(
            "clairgen_http_requests", "Requests to the service.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "clairgen_http_request_seconds",
            "How long its answers took, streams of events aside.",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._streams = Gauge("clairgen_http_event_streams", "Open streams of events.", registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it when it has been answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status, is_stream = self._clock(), "none", False

        async def noting(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = str(message["status"])
                kind = dict(message.get("headers", ())).get(b"content-type", b"")
                if not is_stream and kind.startswith(b"text/event-stream"):
                    is_stream = True
                    self._streams.inc()
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            route = getattr(scope.get(_ROUTE), "path", OTHER)
            self._requests.labels(scope["method"] if scope["method"] in _METHODS else OTHER, route, status).inc()
            if is_stream:
                self._streams.dec()
            else:
                self._seconds.labels(route).observe(self._clock() - start)


class _Gathered(Collector):
    """Metrics that were put together for this answer."""

    def __init__(self) -> None:
        self.families: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        return self.families


class Operations:
    """Health, readiness and metrics of a service over some runs, and the groups of its `coordinator`.

    `is_working` says whether there is a worker for the jobs.
    """

    def __init__(
        self, root: RunsRoot, jobs: Jobs, is_working: Callable[[], bool], coordinator: Coordinator | None = None
    ) -> None:
        self._coordinator = coordinator
        self._root = root
        self._jobs = jobs
        self._is_working = is_working
        self._runs = RunsReader(root)
        self._gathered = _Gathered()
        self._answering = asyncio.Lock()
        self._registry = CollectorRegistry()
        self._registry.register(self._gathered)
        ProcessCollector(registry=self._registry)

    def counted(self, app: ASGIApp) -> CountedRequests:
        """An application whose requests are among the metrics; there is one."""
        return CountedRequests(app, self._registry)

    async def failed_checks(self) -> list[str]:
        """The names of what is not as the service needs it: the runs, the queue of jobs, the worker."""
        checks = {"runs": await asyncio.to_thread(self._root_is_readable)}
        if self._jobs.are_taken:
            checks |= {"jobs": await self._jobs.can_be_taken(), "worker": self._is_working()}
        return [name for name, is_well in checks.items() if not is_well]

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format that is asked for, and its name. Raises RunError for a root that cannot be read."""
        encode, kind = choose_encoder(accept)
        async with self._answering:
            seen = await self._runs.read(datetime.datetime.now(datetime.UTC))
            build = InfoMetricFamily("clairgen_build", "The version of clairgen.", {"version": __version__})
            groups = [] if self._coordinator is None else await self._coordinator.overview()
            of_groups = group_families(groups) if groups else ()
            of_jobs = self._of_jobs(await self._jobs.counts())
            self._gathered.families = [build, *of_jobs, *of_groups, *run_families(seen)]
            return await asyncio.to_thread(encode, self._registry), kind

    def _of_jobs(self, counts: dict[JobState, int]) -> Iterator[Metric]:
        if not self._jobs.are_taken:
            return
        about = "Jobs by state; those that are queued wait for their turn, those that are waiting for batches."
        jobs = GaugeMetricFamily("clairgen_jobs", about, labels=["state"])
        for state, count in counts.items():
            jobs.add_metric([state], count)
        yield jobs
        yield GaugeMetricFamily("clairgen_worker_running", "Whether there is a worker for jobs.", self._is_working())

    def _root_is_readable(self) -> bool:
        try:
            self._root.check()
            self._root.names()
        except ClairgenError:
            return False
        return True


def operation_routes(operations: Operations) -> APIRouter:
    """/healthz, /readyz and /metrics."""
    routes = APIRouter(include_in_schema=False)
    alive, ready = HEALTH_PATHS

    @routes.api_route(alive, methods=["GET", "HEAD"])
    async def is_alive() -> Response:
        return PlainTextResponse("alive\n")

    @routes.api_route(ready, methods=["GET", "HEAD"])
    async def is_ready() -> Response:
        failed = await operations.failed_checks()
        return PlainTextResponse(f"not ready: {', '.join(failed)}\n" if failed else "ready\n", 503 if failed else 200)

    @routes.get(METRICS_PATH)
    async def metrics(request: Request) -> Response:
        content, kind = await operations.metrics(request.headers.get("accept", ""))
        return Response(content, media_type=kind)

    return routes
