import pytest

from clairgen.errors import RetryableError
from clairgen.inference.concurrency import Width
from clairgen.inference.endpoint import Address, Endpoint
from clairgen.inference.rate_limit import Limits, Pace
from clairgen.inference.transport import HttpTransport, Timeouts
from tests.clocks import FakeClock
from tests.scripted import Reply, ScriptedEndpoint, refused, said


def endpoint_at(url: str, clock: FakeClock, transport: HttpTransport) -> Endpoint:
    return Endpoint(
        Address(url, url, "sk-secret", Timeouts()),
        width=Width(4, clock),
        transport=transport,
        pace=Pace(Limits(), clock),
        clock=clock,
        wall_clock=clock,
    )


async def fail(endpoint: Endpoint, times: int) -> None:
    for _ in range(times):
        with pytest.raises(RetryableError):
            await endpoint.chat(b"{}", 1)


@pytest.mark.parametrize(
    ("pages", "asked", "proven"),
    [
        ({"/health": 200}, ["/health"], True),
        ({"/health": 503}, ["/health"], False),
        ({"/health": 404, "/v1/models": 200}, ["/health", "/v1/models"], True),
        ({"/health": 404, "/v1/models": 401}, ["/health", "/v1/models"], True),
        ({"/health": 502, "/v1/models": 502}, ["/health", "/v1/models"], False),
    ],
)
async def test_an_endpoint_that_failed_is_probed_before_one_ask_tries_it(
    pages: dict[str, int], asked: list[str], proven: bool
) -> None:
    clock, transport = FakeClock(), HttpTransport()
    async with ScriptedEndpoint(lambda _: refused(500)) as server:
        server.page = lambda path: Reply(b"", pages[path])
        endpoint = endpoint_at(server.url, clock, transport)
        await fail(endpoint, 5)
        assert endpoint.opens_at() == clock() + 1
        clock.seconds += 1
        assert endpoint.opens_at() == float("inf")  # not before the probe
        await endpoint.probe()
        assert server.pages == asked
        assert (endpoint.opens_at() <= clock()) == proven
        if proven:
            endpoint.enter(1)
            assert endpoint.opens_at() == float("inf")  # one ask is enough to try it
            endpoint.leave()
            server.script = lambda _: said("x")
            await endpoint.chat(b"{}", 1)
            assert not endpoint.health.on_trial
    await transport.close()


async def test_an_answer_that_comes_during_a_rest_ends_it() -> None:
    clock, transport = FakeClock(), HttpTransport()
    async with ScriptedEndpoint(lambda _: refused(500)) as server:
        endpoint = endpoint_at(server.url, clock, transport)
        await fail(endpoint, 5)
        server.script = lambda _: said("x")
        await endpoint.chat(b"{}", 1)
        assert endpoint.opens_at() <= clock()
    await transport.close()


async def test_announced_limits_are_kept_to() -> None:
    clock, transport = FakeClock(), HttpTransport()
    reply = Reply(said("x").body, headers={"X-RateLimit-Limit-Requests": "60", "x-ratelimit-limit-tokens": "1000"})
    async with ScriptedEndpoint(lambda _: reply) as server:
        endpoint = endpoint_at(server.url, clock, transport)
        await endpoint.chat(b"{}", 1)
        assert endpoint.pace.requests_per_minute == 60
    await transport.close()
