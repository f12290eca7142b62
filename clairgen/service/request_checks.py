"""What is checked of every request before anything else: host, origin, rate, token, size; and the headers of every response.

A browser can be made to send requests by any page that it shows. A name that an attacker points at this machine is refused by
the host header (DNS rebinding), a form on another site by `Sec-Fetch-Site` and `Origin`.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clairgen.coordination.wire import API as COORDINATOR_PATH
from clairgen.row_files import strict_json
from clairgen.service.allowed_endpoints import bracketed
from clairgen.service.request_rates import Clients, network_of
from clairgen.service.tokens import Grant, Tokens
from clairgen.service.tokens import Scope as Allowed

TOKEN_COOKIE: Final = "clairgen_token"  # noqa: S105 - its name
MOST_BODY_BYTES: Final = 256 * 1024
"""A note of 10,000 characters, each percent-encoded as four bytes, fits."""
_BODY_SECONDS: Final = 30.0
_READING: Final = frozenset({"GET", "HEAD"})
_PUBLIC: Final = frozenset({"/sign-in", "/openapi.json"})
UPLOADS_PATH: Final = "/api/uploads/"
"""Below it a body is the content of a file, and read as it comes."""
UPLOAD_FORM_PATH: Final = "/uploads"
_STATIC: Final = "/static/"
HEALTH_PATHS: Final = ("/healthz", "/readyz")
"""For whoever watches over the process, who knows neither a host name nor a token: they say one word."""
METRICS_PATH: Final = "/metrics"
_OF_RUNS: Final = ("/runs/", "/api/runs/")
"""Below these a request changes what people think of pairs; anywhere else it starts, stops or removes work."""
_EVENTS: Final = "/events"
"""How the paths of streams end."""

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # without a referrer browsers would send no origin with forms either
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True, slots=True)
class RequestChecks:
    """The service `app` behind the checks; `hosts` are the names, without a port, by which it may be reached.

    `has_public_metrics` is whether metrics need neither a token nor one of these names.
    """

    app: ASGIApp
    tokens: Tokens
    hosts: frozenset[str]
    clients: Clients
    has_public_metrics: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request and pass it on."""
        if scope["type"] != "http":
            return  # neither websockets nor a lifespan
        headers, send_guarded = Headers(scope=scope), _guarded(scope, send)
        if scope["method"] in _READING and scope["path"] in HEALTH_PATHS:
            await self.app(scope, receive, send_guarded)
            return
        refused = self._refusal(scope, headers)
        if refused is not None:
            await refused(scope, receive, send_guarded)
            return
        if _is_of_member(scope["method"], scope["path"]):
            await self._pass_on(scope, headers, receive, send_guarded)
            return
        with self.clients.answering(client_of(scope), is_stream=scope["path"].endswith(_EVENTS)) as is_held:
            if not is_held:
                await _too_many(scope, 1)(scope, receive, send_guarded)
                return
            if _is_upload(scope, headers):
                await self.app(scope, receive, send_guarded)  # the route bounds what it reads, and how long
                return
            await self._pass_on(scope, headers, receive, send_guarded)

    async def _pass_on(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        """Pass a request on with its body whole, or refuse the body."""
        body = b"" if scope["method"] in _READING else await _whole_body(scope, headers, receive)
        if isinstance(body, Response):
            await body(scope, receive, send)
        else:
            await self.app(scope, _replayed(body, receive), send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Why a request is refused; None if it is not, and what its sender may do is then in its state."""
        method, path = scope["method"], scope["path"]
        host = headers.get("host", "")
        is_by_own_name = len(headers.getlist("host")) == 1 and _name_of(host) in self.hosts
        if not is_by_own_name and not self._is_scrape(method, path, headers):
            return _refused(scope, 421, "the service does not answer under this host name; see --allow-host")
        if method not in _READING and not _is_from_own_page(headers, host):
            return _refused(scope, 403, "this request comes from a page of another site")
        is_public = path in _PUBLIC or path.startswith(_STATIC) or (path == METRICS_PATH and self.has_public_metrics)
        token = _token(headers)
        grant = self.tokens.grant(token)
        if token is not None and self.tokens.are_needed and not is_public:
            wait = self.clients.too_many_wrong_tokens(address_of(scope), token, is_valid=grant is not None)
            if wait is not None:
                return _too_many(scope, wait)
        if grant is not None:
            scope.setdefault("state", {})["grant"] = grant
        is_counted = not path.startswith(_STATIC) and not (grant is not None and _is_of_member(method, path))
        if is_counted and (wait := self.clients.too_many_requests(client_of(scope))) is not None:
            return _too_many(scope, wait)
        if is_public:
            return None
        if grant is None:
            return _without_token(scope)
        needed = _needed(method, path)
        if not grant.scope.allows(needed):
            return _refused(
                scope, 403, f"this token has the scope {grant.scope}; this needs one with the scope {needed}"
            )
        return None

    def _is_scrape(self, method: str, path: str, headers: Headers) -> bool:
        """Whether this asks for metrics, and the host says nothing: no page of another site has a token to send."""
        if method not in _READING or path != METRICS_PATH:
            return False
        return self.has_public_metrics or (self.tokens.are_needed and _bearer(headers) is not None)


def _guarded(scope: Scope, send: Send) -> Send:
    """A `send` that adds the headers of every response."""

    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            sent = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                sent.setdefault(name, value)
            if not scope["path"].startswith(_STATIC):
                sent["Cache-Control"] = "no-store"
        await send(message)

    return send_guarded


def address_of(scope: Scope) -> str:
    """From where a request comes."""
    client = scope.get("client")
    return network_of(client[0]) if client else "here"


def client_of(scope: Scope) -> str:
    """By whom a request is counted: the owner of its token, or where it comes from."""
    grant: Grant | None = scope.get("state", {}).get("grant")
    if grant is None or not grant.is_of_token:
        return address_of(scope)
    return f"token of {grant.name}" if grant.name is not None else f"token for {grant.scope}"


def allowed_hosts(address: str, more: Iterable[str]) -> frozenset[str]:
    """The host names that a service at an address may be reached by."""
    return frozenset({"localhost", "127.0.0.1", "[::1]", bracketed(address), *(name.lower() for name in more)})


def _needed(method: str, path: str) -> Allowed:
    """The scope that a request needs."""
    if method in _READING or path in ("/sign-in", "/sign-out"):
        return Allowed.READ
    if _is_of_member(method, path):
        return Allowed.MEMBER
    return Allowed.REVIEW if path.startswith(_OF_RUNS) else Allowed.RUN


def _is_of_member(method: str, path: str) -> bool:
    """Whether a member of a coordinated group or a model server sends this, again and again, many of them with one token."""
    if path in (f"{COORDINATOR_PATH}/servers", f"{COORDINATOR_PATH}/servers/withdraw"):
        return method not in _READING
    is_of_group = path.startswith(f"{COORDINATOR_PATH}/groups/")
    return method == "POST" and is_of_group and path.rpartition("/")[2] in ("claim", "join", "beat", "leave")


def _is_upload(scope: Scope, headers: Headers) -> bool:
    """Whether the body of a request is the content of a file, or a form with one."""
    if scope["method"] == "PUT":
        return bool(scope["path"].startswith(UPLOADS_PATH))
    is_form = headers.get("content-type", "").lower().startswith("multipart/form-data")
    return scope["method"] == "POST" and scope["path"] == UPLOAD_FORM_PATH and is_form


def _name_of(host: str) -> str:
    """The name in a host header, without the port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower().removesuffix(".")


def _is_from_own_page(headers: Headers, host: str) -> bool:
    """Whether a request that changes something is from a page of this service, or from no browser."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _token(headers: Headers) -> str | None:
    if (token := _bearer(headers)) is not None:
        return token
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(TOKEN_COOKIE)
    except CookieError:
        return None
    return None if cookie is None else cookie.value


def _without_token(scope: Scope) -> Response:
    if scope["path"].startswith("/api/") or scope["path"] == METRICS_PATH or scope["method"] not in _READING:
        refused = _refused(scope, 401, "this needs a valid token: Authorization: Bearer TOKEN, or sign in at /sign-in")
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused
    path, query = scope.get("raw_path") or b"/", scope["query_string"]
    target = quote(path + (b"?" + query if query else b""), safe="")
    return RedirectResponse(f"/sign-in?next={target}", status_code=303)


def _too_many(scope: Scope, seconds: int) -> Response:
    refused = _refused(scope, 429, f"too many requests at once or in a minute; ask again in {seconds} s")
    refused.headers["Retry-After"] = str(seconds)
    return refused


def _refused(scope: Scope, status: int, sentence: str) -> Response:
    if scope["path"].startswith("/api/"):
        return JSONResponse({"detail": sentence}, status)
    return PlainTextResponse(f"Refused: {sentence}.\n", status)


async def _whole_body(scope: Scope, headers: Headers, receive: Receive) -> bytes | Response:
    """The body of a request, or the refusal of one that is too large or does not arrive."""
    too_large = _refused(scope, 413, f"a request has at most {MOST_BODY_BYTES:,} bytes")
    announced = headers.get("content-length", "0")
    if not announced.isdecimal() or len(announced) > 9 or int(announced) > MOST_BODY_BYTES:
        return too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > MOST_BODY_BYTES:
                    return too_large
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    break
    except TimeoutError:
        return _refused(scope, 408, "the request did not arrive in time")
    if body and headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        try:
            strict_json(body.decode())
        except (ValueError, RecursionError) as error:
            return _refused(scope, 400, f"the body cannot be read: {str(error)[:200]}")
    return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, and then what comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
