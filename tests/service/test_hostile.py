"""Whatever is sent to whichever route: refused or shown as text, no server error, and no key in any answer or log."""

import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from clairgen.service.app import service
from clairgen.service.jobs import Jobs
from clairgen.service.request_checks import HEADERS, MOST_BODY_BYTES, allowed_hosts
from clairgen.service.request_rates import Limits
from clairgen.service.runs_root import RunsRoot
from clairgen.service.tokens import read_tokens
from tests.service.served import ADDRESS, RUN, TODAY, filled, made, policy_for, queue_of, routes_of, rows

CANARY = "sk-canary-0123456789abcdefghijklmnop"
UNLIMITED = Limits(10**9, 10**9, 10**6, 10**6)
TEXTS = [
    "",
    "..",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "C:\\Windows",
    "file:///etc/passwd",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}${7*7}<%= 7*7 %>",
    "'; DROP TABLE votes; --",
    "a\0b",
    "a\r\nSet-Cookie: x=y",
    "\u202e\u2066gnp.exe",
    "\ufeff",
    "𝕏" * 100,
    "x" * 5000,
    "-1",
    "0",
    "9" * 400,
    "1e999",
    "NaN",
    "null",
    "true",
    "[]",
    "*",
    '"',
    "%",
    "_",
    "AND OR NOT NEAR(",
    "0" * 32,
]
BODIES: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"1",
    b"{}",
    b"{",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b'{"vote": NaN}',
    b'{"vote": 1e999}',
    b'{"vote": "keep", "vote": "drop"}',
    b'{"vote": "\\ud800", "voter": "\\udfff"}',
    b'{"vote": "keep", "voter": "a\\u0000b"}',
    b'{"vote": "keep", "voter": "ada", "note": "\\ud83d"}',
    b'{"vote": {"$ne": null}, "voter": ["ada"]}',
    b'{"verb": "generate", "run": "a\\u0000b", "configuration": {"recipes": [{"name": "\\ud800"}]}}',
    b'{"verb": "generate", "run": "new", "configuration": "' + b"[" * 30_000 + b'"}',
    b'{"verb": "train", "name": "a", "data": "/", "settings": {"lora": {"rank": 1e999}}}',
    b'{"verb": "report", "runs": ["<script>alert(1)</script>"]}',
    b'{"verb": "import", "run": "first", "source": "a", "columns": {"a": "\\ud800"}}',
    b'{"__proto__": {"a": 1}, "constructor": {}}',
    b"[" * 100_000,
    b'{"a":' * 40_000,
    b"9" * 100_000,
    b'{"a": ' + b"9" * 5_000 + b"}",
    b"x" * (MOST_BODY_BYTES + 1),
]


class Watched(httpx.ASGITransport):
    """A way to an application on which no answer may be a server's error or hold the canary."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - an ASGI application
        super().__init__(app)
        self.statuses: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, after a look at it."""
        answer = await super().handle_async_request(request)
        body = await answer.aread()
        self.statuses.append(answer.status_code)
        assert answer.status_code < 500, (request.url, body[:300])
        for secret in (CANARY, RUN, "root:x:0:0"):
            assert secret.encode() not in body, (request.url, secret)
            assert secret not in str(answer.headers.raw), (request.url, secret)
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert b"<script>alert" not in body, request.url
            assert b"<img src=x" not in body, request.url
            assert "content-security-policy" in answer.headers
        return answer


@asynccontextmanager
async def attacked(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[httpx.AsyncClient, list[tuple[str, str]], Watched]]:
    """A client with the highest scope, all routes by method and path, and what watches the answers."""
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "CANARY"):
        monkeypatch.setenv(name, CANARY)
    tokens = read_tokens({"CLAIRGEN_TOKEN_RUN": RUN}, None, lambda: TODAY)
    with queue_of(root) as queue:
        jobs = Jobs(policy_for(root), queue)
        app = service(RunsRoot(root), tokens, allowed_hosts("127.0.0.1", []), limits=UNLIMITED, jobs=jobs)
        watched = Watched(app)
        bearer = {"Authorization": f"Bearer {RUN}"}
        async with httpx.AsyncClient(transport=watched, base_url=ADDRESS, headers=bearer) as client:
            await client.post("/api/jobs", json={"verb": "migrate", "run": "first"})
            watched.statuses.clear()
            yield client, routes_of(app), watched


def _filled(path: str, run: str, pair: str, hostile: str | None = None) -> str:
    """A route's path with the names of what is there, or with one hostile text in place of each of them."""
    known = dict.fromkeys(("name", "name:path"), "service.css") | {"run": run, "pair": pair}
    return filled(path, defaultdict(lambda: "1", known) if hostile is None else defaultdict(lambda: hostile))


async def test_no_text_in_a_path_or_a_query_is_more_than_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await made(tmp_path / "runs", rows(2))
    async with attacked(tmp_path / "runs", monkeypatch) as (client, routes, watched):
        described = (await client.get("/openapi.json")).json()["paths"]
        [pair, _] = [one["id"] for one in (await client.get("/api/runs/first/pairs")).json()["pairs"]]
        asked = {path for method, path in routes if method == "GET"}
        assert len(asked) > 10
        for path in asked - {one for one in asked if one.endswith("/events")}:
            named = [
                one["name"]
                for one in described.get(path, {}).get("get", {}).get("parameters", ())
                if one["in"] == "query"
            ]
            for text in TEXTS:
                if "{" in path:
                    await client.get(_filled(path, "first", pair, text))
                names = named or ["recipe", "mark", "next", "after", "limit", "q"]
                for start in range(0, len(names), 10):  # a client does not send more at once
                    query = dict.fromkeys(names[start : start + 10], text)
                    await client.get(_filled(path, "first", pair), params=query)
            for raw in ("?%ff=%ff", "?a=%00&a=%zz", "?" + "a=1&" * 2000, "?recipe[]=x&recipe=%F0%28%8C%28"):
                await client.get(_filled(path, "first", pair) + raw)
        assert {200, 404, 422} <= set(watched.statuses)


async def test_no_body_is_more_than_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await made(tmp_path / "runs", rows(2))
    async with attacked(tmp_path / "runs", monkeypatch) as (client, routes, watched):
        [pair, _] = [one["id"] for one in (await client.get("/api/runs/first/pairs")).json()["pairs"]]
        changing = {(method, path) for method, path in routes if method != "GET"}
        assert changing
        with caplog.at_level(logging.DEBUG):
            for method, path in changing:
                for body in BODIES:
                    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
                        await client.request(
                            method, _filled(path, "first", pair), content=body, headers={"Content-Type": kind}
                        )
                fields = dict(zip("abcdefghijklm", TEXTS, strict=False))
                await client.request(method, _filled(path, "first", pair), data=fields)
        assert CANARY not in caplog.text
        assert RUN not in caplog.text
        assert (await client.get(f"/api/runs/first/pairs/{pair}/votes")).json() == []
        assert {400, 413, 422} <= set(watched.statuses)


async def test_no_header_is_more_than_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await made(tmp_path / "runs", rows(1))
    headers: list[tuple[str, bytes]] = [
        ("Cookie", b"clairgen_token=" + b"x" * 50_000),
        ("Cookie", b'clairgen_token="\\";\xff\x01'),
        ("Cookie", b"=;=;;clairgen_token"),
        ("Authorization", b"Bearer"),
        ("Authorization", b"Bearer \xff\xfe"),
        ("Authorization", b"Basic Og=="),
        ("Content-Length", b"-1"),
        ("Content-Length", "٣".encode()),
        ("Content-Type", b"application/json; charset=\xff"),
        ("Content-Type", b"multipart/form-data; boundary="),
        ("Origin", b"\xff"),
        ("Origin", b"http://[::1"),
        ("Sec-Fetch-Site", b"same-origin, cross-site"),
        ("X-Forwarded-For", b"127.0.0.1"),
        ("X-Forwarded-Host", b"evil.example"),
        ("Accept", b"text/event-stream"),
        ("Range", b"bytes=0-99999999999999999999"),
        ("Idempotency-Key", b"\xff" * 5000),
        ("If-None-Match", b"*"),
        ("Expect", b"100-continue"),
    ]
    async with attacked(tmp_path / "runs", monkeypatch) as (client, routes, watched):
        for name, value in headers:
            for method, path in (
                ("GET", "/"),
                ("GET", "/api/runs"),
                ("POST", "/sign-in"),
                ("POST", "/api/runs/first/pairs/x/votes"),
                ("POST", "/api/jobs"),
            ):
                await client.request(method, path, headers=[(name.encode(), value)])
        assert len(watched.statuses) == 5 * len(headers)
        assert routes


@pytest.mark.parametrize("name", ['a".html', "a;filename=b.html", "<script>é\u202e.html", "a%2f..%2fb.svg"])
async def test_a_file_of_a_job_is_downloaded_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    await made(tmp_path / "runs", rows(1))
    async with attacked(tmp_path / "runs", monkeypatch) as (client, _, _):
        folder = tmp_path / "runs" / ".clairgen" / "jobs" / "1" / "files"
        folder.mkdir(parents=True)
        (folder / name).write_text("<script>alert(1)</script>")
        [listed] = (await client.get("/api/jobs/1/files")).json()
        assert listed["name"] == name
        answer = await client.get(f"/api/jobs/1/files/{quote(name, safe='')}")
        archive = await client.get("/api/jobs/1/archive")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
    assert answer.headers["content-disposition"] == f"attachment; filename*=utf-8''{quote(name)}"
    assert archive.headers["content-disposition"] == "attachment; filename*=utf-8''files.tar"
    for one in (answer, archive):
        assert HEADERS.items() <= {header.title(): value for header, value in one.headers.items()}.items()


async def test_no_form_with_a_file_is_more_than_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await made(tmp_path / "runs", rows(1))
    async with attacked(tmp_path / "runs", monkeypatch) as (client, routes, watched):
        for text in TEXTS:
            await client.post("/uploads", files={"file": (text, b"{}")})
        assert set(watched.statuses) == {400}
        for method, path in ((method, path) for method, path in routes if method != "GET"):
            for body in BODIES[:4]:
                for kind in ("multipart/form-data; boundary=x", "multipart/form-data"):
                    where = _filled(path, "first", "0" * 32)
                    await client.request(method, where, content=body, headers={"Content-Type": kind})
    assert list((tmp_path / "runs").glob("uploads/*")) == []


async def test_names_and_texts_from_elsewhere_are_shown_as_text_in_every_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    content = [{"prompt": script, "chosen": f"c {script}", "rejected": f"r {script}", "source": script}]
    name = "<img src=x onerror=alert(1)>"
    await made(tmp_path / "runs", content, name)
    (tmp_path / "runs" / "<script>alert(2)<").mkdir()
    (tmp_path / "runs" / "<script>alert(2)<" / "run.db").write_text(script)
    async with attacked(tmp_path / "runs", monkeypatch) as (client, routes, watched):
        run = quote(name, safe="")
        [pair] = [one["id"] for one in (await client.get(f"/api/runs/{run}/pairs")).json()["pairs"]]
        vote = json.dumps({"vote": "keep", "voter": script, "note": script})
        cast = await client.post(
            f"/api/runs/{run}/pairs/{pair}/votes", content=vote, headers={"Content-Type": "application/json"}
        )
        assert cast.status_code == 201
        for method, path in routes:
            if method == "GET" and not path.endswith("/events"):
                await client.get(_filled(path, name, pair))
        for path in (
            "/runs/<script>alert(1)</script>",
            "/<script>alert(1)</script>",
            "/sign-in?next=<script>alert(1)</script>",
        ):
            await client.get(path)
        assert watched.statuses.count(200) > 8
