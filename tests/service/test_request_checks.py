"""A request that a hostile page, a stranger or a broken client sends is refused before anything is done."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from clairgen.service.request_checks import HEADERS, MOST_BODY_BYTES
from clairgen.service.request_rates import Limits
from tests.service.served import ADAS, ADDRESS, OLD, READ, REVIEW, ballot, ids, made, rows, served, tokens_of

VOTE = {"vote": "keep", "voter": "eve"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8321", "", "localhost@evil.example"]
)
async def test_another_host_name_is_refused(tmp_path: Path, host: str) -> None:
    await made(tmp_path / "runs", rows(1))
    async with served(tmp_path / "runs") as client:
        for path in ("/", "/api/runs", "/openapi.json", "/static/service.css"):
            assert (await client.get(path, headers={"Host": host})).status_code == 421


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8321", "localhost", "LOCALHOST:1", "[::1]:8321", "pairs.example", "pairs.example."]
)
async def test_its_own_host_names_are_answered(tmp_path: Path, host: str) -> None:
    await made(tmp_path / "runs", rows(1))
    async with served(tmp_path / "runs") as client:
        assert (await client.get("/api/runs", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site", "Origin": ADDRESS},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_a_form_of_another_site_is_refused(tmp_path: Path, headers: Mapping[str, str]) -> None:
    await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        pair = (await ids(client))[1]
        by_form = await client.post(f"/runs/first/pairs/{pair}", data=VOTE, headers=headers)
        by_api = await client.post(f"/api/runs/first/pairs/{pair}/votes", json=VOTE, headers=headers)
        assert (by_form.status_code, by_api.status_code) == (403, 403)
        assert (await client.get(f"/api/runs/first/pairs/{pair}/votes")).json() == []
        own = {"Origin": ADDRESS, "Sec-Fetch-Site": "same-origin"}
        form = await ballot(client, f"/runs/first/pairs/{pair}", "keep", "ada")
        assert (await client.post(f"/runs/first/pairs/{pair}", data=form, headers=own)).status_code == 303


async def test_a_form_cannot_speak_for_the_api(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs") as client:
        pair = (await ids(client))[1]
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            content = '{"vote": "keep", "voter": "eve"}'
            answer = await client.post(
                f"/api/runs/first/pairs/{pair}/votes", content=content, headers={"Content-Type": kind}
            )
            assert answer.status_code == 422, kind


async def test_an_oversized_body_is_refused_whether_it_is_announced_or_not(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(2))
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b"x" * 65536

    async with served(tmp_path / "runs") as client:
        path = f"/runs/first/pairs/{(await ids(client))[1]}"
        announced = await client.post(path, content=b"x" * (MOST_BODY_BYTES + 1))
        streamed = await client.post(path, content=endless())
        wrong = await client.post(path, content=b"x", headers={"Content-Length": "-1"})
        assert {announced.status_code, streamed.status_code, wrong.status_code} == {413}
    assert sent <= MOST_BODY_BYTES + 2 * 65536


async def test_without_a_valid_token_nothing_is_told(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(1))
    async with served(tmp_path / "runs", tokens_of(tmp_path), Limits(wrong_tokens_per_minute=100)) as client:
        for headers in (
            {},
            bearer("x"),
            bearer(OLD),
            bearer(READ[:-1]),
            {"Authorization": READ},
            {"Cookie": "clairgen_token=x"},
        ):
            for path in ("/api/runs", "/api/runs/first", "/api/runs/none", "/api/nothing"):
                answer = await client.get(path, headers=headers)
                assert (answer.status_code, "first" in answer.text) == (401, False)
            page = await client.get("/runs/first/pairs?kept=true", headers=headers)
            assert (page.status_code, page.headers["location"]) == (
                303,
                "/sign-in?next=%2Fruns%2Ffirst%2Fpairs%3Fkept%3Dtrue",
            )
            assert (await client.post("/runs/first/pairs/x", data=VOTE, headers=headers)).status_code == 401
        assert (await client.get("/sign-in")).status_code == 200


async def test_a_token_allows_what_its_scope_says(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs", tokens_of(tmp_path)) as client:
        client.headers.update(bearer(READ))
        pair = (await ids(client))[1]
        votes = f"/api/runs/first/pairs/{pair}/votes"
        assert (await client.post(votes, json=VOTE)).status_code == 403
        assert "needs one with the scope review" in (await client.get(f"/runs/first/pairs/{pair}")).text
        assert (await client.post(votes, json=VOTE, headers=bearer(REVIEW))).status_code == 201


async def test_a_vote_by_a_named_token_is_in_its_name(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(2))
    async with served(tmp_path / "runs", tokens_of(tmp_path)) as client:
        client.headers.update(bearer(ADAS))
        votes = f"/api/runs/first/pairs/{(await ids(client))[1]}/votes"
        other = await client.post(votes, json=VOTE)
        assert (other.status_code, other.json()["detail"].startswith("this token is 'ada's")) == (403, False)
        assert (await client.post(votes, json={"vote": "tie"})).status_code == 201
        assert [one["voter"] for one in (await client.get(votes)).json()] == ["ada"]


async def test_a_browser_signs_in_and_out(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(1))
    async with served(tmp_path / "runs", tokens_of(tmp_path)) as client:
        wrong = await client.post("/sign-in", data={"token": "x" * 40})
        assert (wrong.status_code, "not valid" in wrong.text, "x" * 40 in wrong.text) == (401, True, False)
        assert "set-cookie" not in wrong.headers
        signed = await client.post("/sign-in?next=/runs/first", data={"token": ADAS}, headers={"Origin": ADDRESS})
        assert (signed.status_code, signed.headers["location"]) == (303, "/runs/first")
        cookie = signed.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        page = await client.get("/")
        assert (page.status_code, "Sign out" in page.text, ADAS in page.text) == (200, True, False)
        await client.post("/sign-out")
        assert (await client.get("/")).status_code == 303


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/a\nb"]
)
async def test_signing_in_leads_nowhere_else(tmp_path: Path, target: str) -> None:
    (tmp_path / "runs").mkdir()
    async with served(tmp_path / "runs", tokens_of(tmp_path)) as client:
        signed = await client.post("/sign-in", params={"next": target}, data={"token": READ})
        assert (signed.status_code, signed.headers["location"]) == (303, "/")


async def test_every_answer_has_the_headers_that_browsers_go_by(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(1))
    async with served(tmp_path / "runs", tokens_of(tmp_path)) as client:
        answers = [
            await client.get(path, headers=headers)
            for path in ("/", "/api/runs", "/nothing", "/static/service.css", "/openapi.json", "/runs/first")
            for headers in ({}, bearer(READ), {"Host": "evil.example"})
        ]
    for answer in answers:
        assert HEADERS.items() <= {name.title(): value for name, value in answer.headers.items()}.items(), answer.url
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
