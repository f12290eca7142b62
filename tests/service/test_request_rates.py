"""One client that asks too much waits, and the others do not notice."""

import asyncio
from pathlib import Path

import httpx
import pytest

from clairgen.service.request_checks import RequestChecks, allowed_hosts
from clairgen.service.request_rates import Clients, Limits, network_of
from clairgen.service.tokens import read_tokens
from tests.clocks import FakeClock
from tests.service.served import ADAS, ADDRESS, READ, REVIEW, RUN, TODAY, made, rows, served, tokens_of


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_permits_come_back_with_time_and_each_client_has_its_own() -> None:
    clock = FakeClock()
    clients = Clients(Limits(requests_per_minute=60), clock)
    assert [clients.too_many_requests("a") for _ in range(16)] == [None] * 15 + [1]
    assert clients.too_many_requests("b") is None
    clock.seconds += 1
    assert [clients.too_many_requests("a") for _ in range(2)] == [None, 1]
    clock.seconds += 3600
    assert [clients.too_many_requests("a") for _ in range(16)] == [None] * 15 + [1]


def test_whoever_comes_back_after_many_others_is_not_remembered() -> None:
    clients = Clients(Limits(requests_per_minute=4), FakeClock())
    assert [clients.too_many_requests("a") for _ in range(2)] == [None, 15]
    for number in range(10_000):
        clients.too_many_requests(str(number))
    assert clients.too_many_requests("a") is None
    assert len(clients._requests._known) == 10_000


def test_wrong_tokens_make_their_address_wait_but_not_who_was_known_there() -> None:
    clock = FakeClock()
    clients = Clients(Limits(wrong_tokens_per_minute=3), clock)

    def refused(address: str, token: str, *, is_valid: bool) -> bool:
        return clients.too_many_wrong_tokens(address, token, is_valid=is_valid) is not None

    assert not refused("a", "good", is_valid=True)
    assert [refused("a", f"guess {n}", is_valid=False) for n in range(4)] == [False, False, False, True]
    assert refused("a", "right at last", is_valid=True)
    assert not refused("a", "good", is_valid=True)
    assert refused("a", "good", is_valid=False)  # it has expired
    assert not refused("b", "right at last", is_valid=True)
    clock.seconds += 20
    assert not refused("a", "right at last", is_valid=True)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::/64"),
        ("2001:db8::ffff:0:1", "2001:db8::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_a_client_is_counted_by_its_network(address: str, network: str) -> None:
    assert network_of(address) == network


async def test_a_storm_of_one_client_is_refused_and_another_goes_on(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(1))
    async with served(tmp_path / "runs", tokens_of(tmp_path), Limits(requests_per_minute=4)) as client:
        storm = [(await client.get("/api/runs", headers=bearer(READ))) for _ in range(3)]
        assert [one.status_code for one in storm] == [200, 429, 429]
        wait = storm[-1].headers["retry-after"]
        assert 1 <= int(wait) <= 15 and f"ask again in {wait} s" in storm[-1].json()["detail"]
        assert (await client.get("/api/runs", headers=bearer(ADAS))).status_code == 200
        assert (await client.get("/static/service.css", headers=bearer(READ))).status_code == 200
        page = await client.get("/", headers=bearer(READ))
        assert (page.status_code, page.headers["content-type"]) == (429, "text/plain; charset=utf-8")


async def test_wrong_tokens_are_counted_at_the_api_and_at_the_sign_in(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(1))
    async with served(tmp_path / "runs", tokens_of(tmp_path), Limits(wrong_tokens_per_minute=4)) as client:
        assert (await client.get("/api/runs", headers=bearer(REVIEW))).status_code == 200
        for _ in range(2):
            assert (await client.get("/api/runs", headers=bearer("x" * 40))).status_code == 401
            assert (await client.post("/sign-in", data={"token": "x" * 40})).status_code == 401
        refused = await client.get("/api/runs", headers=bearer("x" * 40))
        assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
        late = await client.post("/sign-in", data={"token": READ})
        assert (late.status_code, "set-cookie" in late.headers, "Too many" in late.text) == (429, False, True)
        assert (await client.get("/api/runs", headers=bearer(REVIEW))).status_code == 200
        assert (await client.get("/sign-in", headers=bearer("x" * 40))).status_code == 200


async def test_a_client_holds_only_so_many_requests_and_streams_at_once() -> None:
    let_go = asyncio.Event()

    async def slow(scope: dict[str, object], receive: object, send: object) -> None:
        del scope, receive
        await let_go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

    environment = {"CLAIRGEN_TOKEN_READ": READ, "CLAIRGEN_TOKEN_RUN": RUN}
    tokens = read_tokens(environment, None, lambda: TODAY)
    clients = Clients(Limits(at_once=3, streams=2))
    app = RequestChecks(slow, tokens, allowed_hosts("127.0.0.1", []), clients)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS) as client:

        async def get(path: str, token: str = READ) -> int:
            return (await client.get(path, headers=bearer(token))).status_code

        held = [asyncio.create_task(get("/api/events")) for _ in range(2)]
        await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert await get("/api/events") == 429
        held.append(asyncio.create_task(get("/api/runs")))
        for _ in range(20):
            await asyncio.sleep(0)
        assert await get("/api/runs") == 429
        held.append(asyncio.create_task(get("/api/events", RUN)))
        for _ in range(20):
            await asyncio.sleep(0)
        let_go.set()
        assert await asyncio.gather(*held) == [200] * 4
        assert await get("/api/events") == 200
    assert not clients._open


@pytest.mark.parametrize(
    ("method", "path", "least"),
    [
        ("GET", "/api/jobs", "read"),
        ("POST", "/api/runs/first/pairs/x/votes", "review"),
        ("POST", "/runs/first/pairs/x", "review"),
        ("DELETE", "/api/runs/first/votes", "review"),
        ("POST", "/api/jobs", "run"),
        ("POST", "/jobs/new", "run"),
        ("PUT", "/api/anything/new", "run"),
        ("DELETE", "/api/jobs/1", "run"),
        ("POST", "/api/runs", "run"),
    ],
)
async def test_what_starts_work_needs_the_scope_run(tmp_path: Path, method: str, path: str, least: str) -> None:
    await made(tmp_path / "runs", rows(1))
    order = {"read": READ, "review": REVIEW, "run": RUN}
    async with served(tmp_path / "runs", tokens_of(tmp_path)) as client:
        for number, token in enumerate(order.values()):
            answer = await client.request(method, path, headers=bearer(token))
            is_allowed = number >= list(order).index(least)
            assert (f"needs one with the scope {least}" in answer.text) is not is_allowed, (token, answer.text)
            assert is_allowed or answer.status_code == 403
