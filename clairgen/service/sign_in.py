"""Signing in: a browser keeps the token in a cookie that no script and no other site can use."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from clairgen.service.rendering import form_fields, page
from clairgen.service.request_checks import TOKEN_COOKIE, address_of
from clairgen.service.request_rates import Clients
from clairgen.service.tokens import Tokens

COOKIE_SECONDS: Final = 30 * 24 * 3600


def sign_in_routes(tokens: Tokens, clients: Clients) -> APIRouter:
    """The pages to sign in and out by a token."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/sign-in")
    async def sign_in_page(request: Request, next: str = "/") -> Response:  # noqa: A002 - the name of the parameter
        return page(request, "sign_in.html", {"next": next, "is_wrong": False, "wait": None})

    @routes.post("/sign-in")
    async def sign_in(request: Request, next: str = "/") -> Response:  # noqa: A002 - the name of the parameter
        token = (await form_fields(request)).get("token", "").strip()
        is_valid = tokens.are_needed and tokens.grant(token) is not None
        if (wait := clients.too_many_wrong_tokens(address_of(request.scope), token, is_valid=is_valid)) is not None:
            answer = page(request, "sign_in.html", {"next": next, "is_wrong": True, "wait": wait}, status=429)
            answer.headers["Retry-After"] = str(wait)
            return answer
        if not is_valid:
            return page(
                request, "sign_in.html", {"next": next, "is_wrong": tokens.are_needed, "wait": None}, status=401
            )
        signed_in = RedirectResponse(_own_path(next), status_code=303)
        is_encrypted = request.headers.get("origin", "").startswith("https://")
        signed_in.set_cookie(TOKEN_COOKIE, token, COOKIE_SECONDS, httponly=True, samesite="strict", secure=is_encrypted)
        return signed_in

    @routes.post("/sign-out")
    async def sign_out() -> Response:
        answer = RedirectResponse("/sign-in", status_code=303)
        answer.delete_cookie(TOKEN_COOKIE, httponly=True, samesite="strict")
        return answer

    return routes


def _own_path(wanted: str) -> str:
    """A path of this service to go on at after signing in; the list of runs for anything else."""
    is_own = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if is_own else "/"
