import pytest

from clairgen.errors import RequestFailedError, RetryableError
from clairgen.inference.announced_limits import RateLimits
from clairgen.inference.concurrency import ConcurrencyLimit
from clairgen.inference.endpoint import Endpoint, EndpointAddress
from clairgen.inference.endpoint_limits import EndpointLimits
from clairgen.inference.rate_limit import RateLimiter
from clairgen.inference.runtime import open_transport
from clairgen.inference.transport import Timeouts, Transport
from clairgen.long_texts import close_workers
from tests.clocks import FakeClock
from tests.scripted import Reply, ScriptedEndpoint, refused, said


def endpoint_at(url: str, clock: FakeClock, transport: Transport) -> Endpoint:
    return Endpoint(
        EndpointAddress(url, url, "sk-secret", Timeouts()),
        limits=EndpointLimits(ConcurrencyLimit(4, clock), RateLimiter(RateLimits(), clock)),
        transport=transport,
        clock=clock,
        wall_clock=clock,
    )


async def fail(endpoint: Endpoint, times: int) -> None:
    for _ in range(times):
        with pytest.raises(RetryableError):
            await endpoint.ask(b"{}", 1)


@pytest.mark.parametrize(
    ("pages", "requested", "alive"),
    [
        ({"/health": 200}, ["/health"], True),
        ({"/health": 503}, ["/health"], False),
        ({"/health": 404, "/v1/models": 200}, ["/health", "/v1/models"], True),
        ({"/health": 404, "/v1/models": 401}, ["/health", "/v1/models"], True),
        ({"/health": 502, "/v1/models": 502}, ["/health", "/v1/models"], False),
    ],
)
async def test_an_endpoint_that_failed_is_probed_before_one_trial_request(
    pages: dict[str, int], requested: list[str], alive: bool
) -> None:
    clock, transport = FakeClock(), open_transport()
    async with ScriptedEndpoint(lambda _: refused(500)) as server:
        server.page = lambda path: Reply(b"", pages[path])
        endpoint = endpoint_at(server.url, clock, transport)
        await fail(endpoint, 5)
        assert endpoint.available_at() == clock() + 1
        clock.seconds += 1
        assert endpoint.available_at() == float("inf")  # not before the probe
        await endpoint.probe()
        assert server.pages == requested
        assert (endpoint.available_at() <= clock()) == alive
        if alive:
            endpoint.acquire(1)
            assert endpoint.available_at() == float("inf")  # one trial request is enough
            endpoint.release()
            server.script = lambda _: said("x")
            await endpoint.ask(b"{}", 1)
            assert not endpoint.circuit_breaker.half_open
    await transport.close()


async def test_an_answer_that_arrives_while_the_breaker_is_open_closes_it() -> None:
    clock, transport = FakeClock(), open_transport()
    async with ScriptedEndpoint(lambda _: refused(500)) as server:
        endpoint = endpoint_at(server.url, clock, transport)
        await fail(endpoint, 5)
        server.script = lambda _: said("x")
        await endpoint.ask(b"{}", 1)
        assert endpoint.available_at() <= clock()
    await transport.close()


async def test_announced_limits_are_kept_to() -> None:
    clock, transport = FakeClock(), open_transport()
    reply = Reply(said("x").body, headers={"X-RateLimit-Limit-Requests": "60", "x-ratelimit-limit-tokens": "1000"})
    async with ScriptedEndpoint(lambda _: reply) as server:
        endpoint = endpoint_at(server.url, clock, transport)
        await endpoint.ask(b"{}", 1)
        assert endpoint.rate_limiter.requests_per_minute == 60
    await transport.close()


@pytest.mark.slow
async def test_a_long_body_is_read_elsewhere_to_the_same_end() -> None:
    clock, transport = FakeClock(), open_transport()
    async with ScriptedEndpoint(lambda _: said("x" * 300_000 + " sk-secret")) as server:
        endpoint = endpoint_at(server.url, clock, transport)
        found = await endpoint.ask(b"{}", 1)
        assert (len(found.text), found.text[-6:], found.finish_reason) == (300_006, " [key]", "stop")
        server.script = lambda _: refused(429, "x" * 300_000, retry_after="7")
        with pytest.raises(RetryableError) as caught:
            await endpoint.ask(b"{}", 1)
        assert (caught.value.reason, caught.value.status, caught.value.retry_after_seconds) == ("rate-limited", 429, 7)
        server.script = lambda _: said("x" * 300_000, finish_reason="content_filter", tokens=(11, 7))
        with pytest.raises(RequestFailedError, match="content-filter") as failed:
            await endpoint.ask(b"{}", 1)
        assert (failed.value.used, failed.value.billed, failed.value.endpoint) == ((11, 7), True, server.url)
    await close_workers()
    await transport.close()


async def test_its_state_says_what_it_waits_for_and_never_its_key() -> None:
    clock, waits = FakeClock(), [refused(429, "slow down", retry_after="30"), *([refused(500, "broken")] * 5)]
    async with ScriptedEndpoint(lambda _: waits.pop(0)) as server:
        transport = open_transport()
        address = EndpointAddress(f"{server.url}?sig=sk-secret-of-mine", server.url, "sk-secret-of-mine", Timeouts())
        limits = RateLimiter(RateLimits(requests_per_minute=600, tokens_per_minute=9000), clock)
        endpoint = Endpoint(
            address,
            limits=EndpointLimits(ConcurrencyLimit(4, clock), limits),
            transport=transport,
            clock=clock,
            wall_clock=clock,
        )
        fresh = endpoint.state()
        assert (fresh.circuit_breaker, fresh.rate_limit_source, fresh.concurrency_limit) == ("closed", "configured", 4)
        assert (fresh.requests_per_minute, fresh.tokens_per_minute) == (600, 9000)
        assert "sk-secret" not in fresh.name
        await fail(endpoint, 1)
        assert endpoint.state().paused_seconds == 30
        await fail(endpoint, 5)
        assert (endpoint.state().circuit_breaker, endpoint.state().open_seconds) == ("open", 1)
        await clock.sleep(2)
        assert (endpoint.state().circuit_breaker, endpoint.state().open_seconds) == ("half-open", 0)
        await transport.close()
