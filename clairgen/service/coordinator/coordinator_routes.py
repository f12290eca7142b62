"""The HTTP API of the coordinator, under /api/coordinator, for members, model servers and operators; and a page of its groups."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from clairgen.config.prices import PICODOLLARS
from clairgen.coordination.wire import (
    API,
    LONGEST_NAME,
    NAME,
    Beat,
    Claim,
    Claimed,
    Granted,
    Join,
    Leave,
    ModelServer,
)
from clairgen.service.answers import Answered
from clairgen.service.coordinator.saved_groups import Coordinator
from clairgen.service.rendering import page
from clairgen.service.request_checks import client_of
from clairgen.service.runs import NotAllowedError

_GROUPS_WITH_TABLES: Final = 20  # of a page that is read again and again; of the others it has one line each
GroupName = Annotated[str, Path(max_length=LONGEST_NAME, pattern=NAME, description="The name of the group.")]
RunId = Annotated[str, Path(max_length=100, description="The id of the run, as the group's overview has it.")]


def coordinator_routes(coordinator: Coordinator | None) -> tuple[APIRouter, ...]:
    """The routes over a coordinator; without one they refuse with a sentence."""
    return _for_operators(coordinator), _for_members(coordinator), _for_servers(coordinator), _pages(coordinator)


def _for_operators(coordinator: Coordinator | None) -> APIRouter:
    routes = APIRouter(prefix=API, default_response_class=Answered)

    @routes.get("", response_model=list[dict[str, Any]], summary="All groups: members, limits, money and shards")
    async def overview() -> Answered:
        return Answered([] if coordinator is None else await coordinator.overview())

    @routes.post(
        "/groups/{group}/runs/{run_id}/free",
        response_model=dict[str, float],
        summary="Free what a run holds of the budget, for whoever knows that nothing will spend it",
    )
    async def free_money(group: GroupName, run_id: RunId) -> Answered:
        return Answered({"freed_usd": await _required(coordinator).free(group, run_id) / PICODOLLARS})

    @routes.post("/groups/{group}/forget", status_code=204, response_class=Response, summary="Forget a group")
    async def forget_group(group: GroupName) -> Response:
        await _required(coordinator).forget(group)
        return Response(status_code=204)

    return routes


def _for_servers(coordinator: Coordinator | None) -> APIRouter:
    routes = APIRouter(prefix=API, default_response_class=Answered)

    @routes.get("/servers", response_model=dict[str, list[str]], summary="Model servers that announced themselves")
    async def servers() -> Answered:
        return Answered({} if coordinator is None else await coordinator.servers())

    @routes.post(
        "/servers", status_code=204, response_class=Response, summary="Announce a model server, again and again"
    )
    async def announce(server: ModelServer) -> Response:
        _required(coordinator).announce(server.model, server.url)
        return Response(status_code=204)

    @routes.post("/servers/withdraw", status_code=204, response_class=Response, summary="Withdraw a model server")
    async def withdraw(server: ModelServer) -> Response:
        _required(coordinator).withdraw(server.model, server.url)
        return Response(status_code=204)

    return routes


def _for_members(coordinator: Coordinator | None) -> APIRouter:
    routes = APIRouter(prefix=API, default_response_class=Answered)

    @routes.post("/groups/{group}/claim", response_model=Claimed, summary="Ask for a shard")
    async def claim_shard(request: Request, group: GroupName, claim: Claim) -> Answered:
        return Answered((await _required(coordinator).claim(group, claim, client_of(request.scope))).model_dump())

    @routes.post("/groups/{group}/join", status_code=204, response_class=Response, summary="Begin to work on a run")
    async def join_group(request: Request, group: GroupName, join: Join) -> Response:
        await _required(coordinator).join(group, join, client_of(request.scope))
        return Response(status_code=204)

    @routes.post("/groups/{group}/beat", response_model=Granted, summary="Report, and be told what may be sent")
    async def beat_of_member(group: GroupName, beat: Beat) -> Answered:
        return Answered((await _required(coordinator).beat(group, beat)).model_dump())

    @routes.post("/groups/{group}/leave", status_code=204, response_class=Response, summary="End")
    async def leave_group(group: GroupName, leave: Leave) -> Response:
        await _required(coordinator).leave(group, leave)
        return Response(status_code=204)

    return routes


def _pages(coordinator: Coordinator | None) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/groups")
    async def groups(request: Request) -> Response:
        found = [] if coordinator is None else await coordinator.overview()
        newest = sorted(found, key=lambda one: (one["idle_since"] is None, one["idle_since"] or ""), reverse=True)
        return page(request, "groups.html", {"groups": newest, "with_tables": _GROUPS_WITH_TABLES})

    return routes


def _required(coordinator: Coordinator | None) -> Coordinator:
    if coordinator is None:
        raise NotAllowedError("this service coordinates nothing: it was started with --jobs 0")
    return coordinator
