"""What a token of each scope may do at every route, and the headers of every answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairgen.service.app import service
from clairgen.service.jobs import Jobs
from clairgen.service.request_checks import HEADERS, allowed_hosts
from clairgen.service.request_rates import Limits
from clairgen.service.runs_root import RunsRoot
from tests.service.served import (
    ADDRESS,
    READ,
    REVIEW,
    RUN,
    filled,
    made,
    policy_for,
    queue_of,
    routes_of,
    rows,
    tokens_of,
)

UNLIMITED = Limits(10**9, 10**9, 10**6, 10**6)
MEMBER = f"member{'0' * 40}"
TOKENS = (None, READ, REVIEW, RUN, MEMBER)
"""Each may do what those before it may, but for the last."""
PUBLIC = {"GET /healthz", "GET /openapi.json", "GET /readyz", "GET /sign-in", "GET /static/{name}", "POST /sign-in"}
REVIEWING = {
    "POST /api/runs/{run}/pairs/{pair}/revisions",
    "POST /api/runs/{run}/pairs/{pair}/votes",
    "POST /api/runs/{run}/queues",
    "POST /api/runs/{run}/queues/{queue}/next",
    "POST /api/runs/{run}/queues/{queue}/pairs/{pair}/votes",
    "POST /api/runs/{run}/queues/{queue}/skip",
    "POST /runs/{run}/pairs/{pair}",
    "POST /runs/{run}/pairs/{pair}/edit",
    "POST /runs/{run}/people",
    "POST /runs/{run}/queues/{queue}/next",
    "POST /runs/{run}/queues/{queue}/pairs/{pair}",
}
RUNNING = {
    "DELETE /api/jobs/{job}",
    "POST /api/coordinator/groups/{group}/forget",
    "POST /api/coordinator/groups/{group}/runs/{run_id}/free",
    "DELETE /api/uploads/{name}",
    "POST /api/estimates",
    "POST /api/jobs",
    "POST /api/jobs/{job}/cancel",
    "POST /api/jobs/{job}/resume",
    "POST /jobs",
    "POST /jobs/estimate",
    "POST /jobs/{job}/cancel",
    "POST /jobs/{job}/delete",
    "POST /jobs/{job}/resume",
    "POST /uploads",
    "POST /uploads/delete",
    "PUT /api/uploads/{name}",
}
OF_MEMBERS = {
    "POST /api/coordinator/groups/{group}/beat",
    "POST /api/coordinator/groups/{group}/claim",
    "POST /api/coordinator/groups/{group}/join",
    "POST /api/coordinator/groups/{group}/leave",
    "POST /api/coordinator/servers",
    "POST /api/coordinator/servers/withdraw",
}
"""For members of groups and model servers; who may run jobs may do this too."""
KNOWN = {
    "run": "first",
    "pair": "0" * 32,
    "name": "service.css",
    "name:path": "a",
    "queue": "a",
    "job": "1",
    "group": "g",
    "run_id": "r",
}
SENT: Sequence[dict[str, Any]] = (
    {"json": {}},
    {"data": {"a": "b"}},
    {"files": {"file": ("a.jsonl", b"{}")}},
)
"""Bodies of the three kinds that requests have."""


@pytest.mark.parametrize("token", TOKENS)
async def test_every_route_is_open_to_the_scopes_that_it_is_for_and_to_no_other(
    tmp_path: Path, token: str | None
) -> None:
    """A new route fails this until it stands in one of the lists above; those that only read need not."""
    await made(tmp_path / "runs", rows(2))
    with queue_of(tmp_path / "runs") as queue:
        jobs = Jobs(policy_for(tmp_path / "runs"), queue)
        hosts = allowed_hosts("127.0.0.1", [])
        tokens = tokens_of(tmp_path, CLAIRGEN_TOKEN_MEMBER=MEMBER)
        app = service(RunsRoot(tmp_path / "runs"), tokens, hosts, limits=UNLIMITED, jobs=jobs)
        routes = {f"{method} {path}" for method, path in routes_of(app)}
        changing = {one for one in routes if not one.startswith("GET ")}
        assert changing == REVIEWING | RUNNING | OF_MEMBERS | {"POST /sign-in", "POST /sign-out"}
        assert routes > PUBLIC
        least = dict.fromkeys(routes, 1) | dict.fromkeys(PUBLIC, 0) | dict.fromkeys(REVIEWING, 2)
        least |= dict.fromkeys(RUNNING | OF_MEMBERS, 3)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS) as client:
            client.headers.update({} if token is None else {"Authorization": f"Bearer {token}"})
            for route in sorted(routes):
                method, path = route.split(" ")
                for body in SENT if method in ("POST", "PUT") else ({},):
                    answer = await client.request(method, filled(path, KNOWN), **body)
                    is_open = TOKENS.index(token) >= least[route]
                    if token == MEMBER:
                        is_open = route in PUBLIC | OF_MEMBERS
                    assert _is_refused(answer) == (not is_open), (route, answer.text)
                    assert answer.status_code < 500, (route, answer.text)
                    sent = {name.title(): value for name, value in answer.headers.items()}
                    assert HEADERS.items() <= sent.items(), route


def _is_refused(answer: httpx.Response) -> bool:
    """Whether the token, or that there is none, is why this was not done."""
    asks = answer.status_code == 303 and answer.headers["location"].startswith("/sign-in?next=")
    return asks or "this needs a valid token" in answer.text or "this token has the scope" in answer.text
