"""A service over runs made small, called in this process."""

import asyncio
import datetime
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from clairgen.errors import exit_code
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.import_pairs import import_pairs
from clairgen.service.app import service
from clairgen.service.asking_verbs import ASKING_VERBS
from clairgen.service.command_verbs import command_job
from clairgen.service.job_requests import COMMAND_VERBS
from clairgen.service.job_worker import Lane, Worker
from clairgen.service.jobs import Jobs
from clairgen.service.operations import CountedRequests
from clairgen.service.policy import Policy, policy_of
from clairgen.service.request_checks import RequestChecks, allowed_hosts
from clairgen.service.request_rates import Limits
from clairgen.service.runs_root import RunsRoot
from clairgen.service.tokens import Tokens, read_tokens
from clairgen.store.job_queue import JobQueue

ADDRESS = "http://127.0.0.1:8321"
TODAY = datetime.date(2026, 6, 1)
READ, REVIEW, RUN, ADAS, OLD = (f"{name}{'0' * 40}" for name in ("read", "review", "run", "ada", "old"))


def rows(count: int) -> list[dict[str, Any]]:
    """Rows of pairs; every third has equal answers, every second is from source b."""
    return [
        {
            "prompt": f"Question number {n}",
            "chosen": f"Answer {n}, in full.",
            "rejected": f"Answer {n}, in full." if n % 3 == 0 else f"No {n}",
            "source": "ab"[n % 2],
        }
        for n in range(count)
    ]


async def made(root: Path, content: Iterable[Mapping[str, Any]], name: str = "first") -> Path:
    """A run with imported pairs."""
    path = root.parent / "pairs.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in content), encoding="utf-8")
    await import_pairs(str(path), root / name)
    return root / name


def tokens_of(folder: Path, **more: str) -> Tokens:
    """Tokens of every kind: READ, REVIEW and RUN of the environment, ADAS with a name, OLD that has expired."""
    digests = {one: hashlib.sha256(one.encode()).hexdigest() for one in (ADAS, OLD)}
    file = folder / "tokens.yaml"
    file.write_text(
        f"tokens:\n  - {{name: ada, scope: review, sha256: {digests[ADAS]}, expires: {TODAY}}}\n"
        f"  - {{name: ben, scope: review, sha256: {digests[OLD]}, expires: {TODAY - datetime.timedelta(1)}}}\n"
    )
    environment = {"CLAIRGEN_TOKEN_READ": READ, "CLAIRGEN_TOKEN_REVIEW": REVIEW, "CLAIRGEN_TOKEN_RUN": RUN}
    return read_tokens(environment | more, file, lambda: TODAY)


@asynccontextmanager
async def served(
    root: Path, tokens: Tokens | None = None, limits: Limits | None = None, jobs: Jobs | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service over `root`."""
    known = tokens or read_tokens({}, None, lambda: TODAY)
    hosts = allowed_hosts("127.0.0.1", ["Pairs.Example"])
    transport = httpx.ASGITransport(service(RunsRoot(root), known, hosts, limits=limits, jobs=jobs))
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
        yield client


def routes_of(app: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - an ASGI application
    """All routes of a service by method and path."""
    assert isinstance(app, CountedRequests)
    assert isinstance(app.app, RequestChecks)
    return sorted(set(_routes(app.app.app, "")))


def filled(path: str, values: Mapping[str, str]) -> str:
    """The path of a route with its parameters filled in."""
    return re.sub("{(.*?)}", lambda found: quote(values[found[1]], safe=""), path)


def policy_for(root: Path, *urls: str) -> Policy:
    """What lets jobs send requests to these addresses."""
    return policy_of(RunsRoot(root), [], urls, hub=False)


@contextmanager
def queue_of(root: Path, clock: Callable[[], float] = time.time) -> Iterator[JobQueue]:
    """The queue of a root, which is made if need be."""
    root.mkdir(exist_ok=True)
    RunsRoot(root).make_own_folder()
    queue = JobQueue(RunsRoot(root).own_database, clock)
    try:
        yield queue
    finally:
        queue.close()


@asynccontextmanager
async def working(
    policy: Policy, queue: JobQueue, jobs: int = 4, clock: Callable[[], float] = time.time
) -> AsyncIterator[Worker]:
    """A worker in this process, which drains when the block ends."""
    lanes = [Lane(ASKING_VERBS, jobs), Lane(dict.fromkeys(COMMAND_VERBS, command_job), 1, is_here=False)]
    worker = Worker(queue, policy, lanes, Runtime(wall_clock=clock), exit_code, drain_seconds=10)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await running


@asynccontextmanager
async def served_with_jobs(
    root: Path, *urls: str, jobs: int = 4, clock: Callable[[], float] = time.time
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service over `root` that does jobs, in this process, which may send requests to the addresses."""
    policy = policy_for(root, *urls)
    with queue_of(root, clock) as queue:
        async with (
            working(policy, queue, jobs, clock) as worker,
            served(root, jobs=Jobs(policy, queue, wake=worker.wake)) as client,
        ):
            yield client


async def job_when(client: httpx.AsyncClient, number: int, *states: str) -> dict[str, Any]:
    """A job as soon as it is in one of the states."""
    for _ in range(1200):
        job: dict[str, Any] = (await client.get(f"/api/jobs/{number}")).json()
        if job["state"] in states:
            return job
        await asyncio.sleep(0.05)
    raise TimeoutError(job)


async def ids(client: httpx.AsyncClient, run: str = "first", **query: str) -> list[str]:
    """The ids of a run's first page of pairs."""
    answer = await client.get(f"/api/runs/{run}/pairs", params=query)
    assert answer.status_code == 200, answer.text
    return [pair["id"] for pair in answer.json()["pairs"]]


async def ballot(client: httpx.AsyncClient, address: str, vote: str, voter: str, note: str = "") -> dict[str, str]:
    """The fields of the form on a pair's page, filled in."""
    page = (await client.get(address)).text
    [version] = re.findall(r'name="version" value="(\w+)"', page)
    return {"version": version, "vote": vote, "voter": voter, "note": note}


def _routes(where: Any, prefix: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - an application or a route
    """All routes below an application, with those of routers in it."""
    for route in getattr(where, "routes", ()):
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _routes(inner, prefix)
        elif getattr(route, "methods", None):
            yield from ((method, prefix + route.path) for method in route.methods if method != "HEAD")
