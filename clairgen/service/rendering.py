"""Pages from templates, the files that they load, the addresses that they name, and the fields of their forms."""

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from clairgen.errors import InputError
from clairgen.installed import __version__
from clairgen.reporting.html.frame import OWN_PACKAGE as REPORT_PACKAGE
from clairgen.reporting.html.frame import asset, templates
from clairgen.reporting.html.pairs_page import report_filters
from clairgen.service.pair_pages import PairQuery
from clairgen.service.runs import NotThereError
from clairgen.wording import counted

_FILES: Final = {
    "service.css": ("text/css", ((REPORT_PACKAGE, "page.css"), (__package__, "service.css"))),
    "service.js": ("text/javascript", ((__package__, "service.js"),)),
    "htmx.js": ("text/javascript", ((__package__, "vendored/htmx.min.js"), (__package__, "vendored/hx-sse.min.js"))),
    "live.css": ("text/css", ((__package__, "vendored/uPlot.min.css"),)),
    "live.js": ("text/javascript", ((__package__, "vendored/uPlot.iife.min.js"), (__package__, "live.js"))),
}


def page(request: Request, template: str, values: Mapping[str, Any], *, status: int = 200) -> HTMLResponse:
    """A rendered page."""
    grant = getattr(request.state, "grant", None)
    common = {
        "version": __version__,
        "file": _address,
        "link": link,
        "run_link": run_link,
        "counted": counted,
        "reviews": grant is not None and grant.reviews,
        "may_run": grant is not None and grant.runs,
        "is_of_jobs": request.url.path.startswith(("/jobs", "/uploads")),
        "signed_in": grant is not None and grant.is_of_token,
        "signed_in_as": None if grant is None else grant.name,
    }
    html = _environment().get_template(template).render({**common, **values})
    return HTMLResponse(html.encode("utf-8", "backslashreplace"), status)


def part(template: str, values: Mapping[str, Any]) -> str:
    """A rendered part of a page."""
    return str(
        _environment().get_template(template).render({"counted": counted, "link": link, "run_link": run_link, **values})
    )


def link(run: str, pair: str | None = None, query: PairQuery | None = None, **more: object) -> str:
    """The address of a run's pairs, or of one of them, chosen by `query` changed by `more`; a None leaves a parameter out."""
    parameters = {**({} if query is None else query.parameters), **more}
    given = {name: value for name, value in parameters.items() if value is not None}
    where = f"{run_link(run)}/pairs" + ("" if pair is None else f"/{pair}")
    return where + (f"?{urlencode(given)}" if given else "")


def run_link(run: str) -> str:
    """The address of a run's report."""
    return f"/runs/{quote(run, safe='')}"


def moment(recorded: str) -> str:
    """A recorded time, which is in UTC, to the minute."""
    return f"{recorded[:16].replace('T', ' ')} UTC"


async def form_fields(request: Request) -> dict[str, str]:
    """The fields of a form, each once. Raises InputError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise InputError("this is not a form")
    try:
        fields = parse_qs((await request.body()).decode(), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError as error:
        raise InputError("the form cannot be read") from error
    if any(len(values) > 1 for values in fields.values()):
        raise InputError("the form has a field twice")
    return {name: value for name, [value] in fields.items()}


def static_files() -> APIRouter:
    """The route to the files that pages load."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/static/{name}")
    async def static_file(name: str) -> Response:
        if name not in _FILES:
            raise NotThereError("there is no such file")
        kind, _ = _FILES[name]
        lasting = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(_text(name), media_type=kind, headers=lasting)

    return routes


@cache
def _text(name: str) -> str:
    return "\n".join(asset(part, package) for package, part in _FILES[name][1])


@cache
def _address(name: str) -> str:
    """Where a file is, with a digest of it, so that browsers may keep it."""
    return f"/static/{name}?{hashlib.sha256(_text(name).encode()).hexdigest()[:16]}"


@cache
def _environment() -> Any:  # noqa: ANN401 - jinja2's
    return templates(__package__, {**report_filters(), "moment": moment})
