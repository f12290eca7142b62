import asyncio
import socket

import pytest

from clairgen.errors import RetryableError
from clairgen.inference.transport import HttpTransport, Timeouts
from tests.scripted import Reply, ScriptedEndpoint, said


async def post(reply: Reply, timeout_seconds: float = 5.0) -> tuple[int, bytes]:
    async with ScriptedEndpoint(lambda _: reply) as endpoint:
        transport = HttpTransport()
        try:
            response = await transport.post(
                f"{endpoint.url}/chat/completions", {"x-a": "b"}, b'{"a": 1}', Timeouts(total=timeout_seconds)
            )
        finally:
            await transport.close()
        assert endpoint.asked == [{"a": 1}]
        assert endpoint.headers["x-a"] == "b"
        return response.status, response.body


async def test_bytes_go_and_come_as_they_are() -> None:
    assert await post(Reply("é\0".encode(), 418)) == (418, "é\0".encode())


async def test_ten_megabytes_come_whole() -> None:
    assert await post(Reply(b"x" * 10_000_000)) == (200, b"x" * 10_000_000)


async def test_header_names_are_in_lower_case_and_redirects_are_not_followed() -> None:
    reply = Reply(b"", 302, {"Location": "http://127.0.0.1:1/", "Retry-After": "3"})
    async with ScriptedEndpoint(lambda _: reply) as endpoint:
        transport = HttpTransport()
        response = await transport.post(endpoint.url, {}, b"{}", Timeouts())
        await transport.close()
    assert response.status == 302
    assert response.headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(b"", reset=True), "torn-connection"),
        (Reply(b'{"choices": []}', cut=5), "torn-connection"),
        (Reply(b"late", delay_seconds=5), "timed-out"),
    ],
)
async def test_what_was_sent_and_lost_may_have_been_billed(reply: Reply, reason: str) -> None:
    with pytest.raises(RetryableError) as caught:
        await post(reply, timeout_seconds=0.3)
    assert (caught.value.reason, caught.value.billed) == (reason, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_who_cannot_be_reached_has_billed_nothing(host: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    transport = HttpTransport()
    with pytest.raises(RetryableError) as caught:
        await transport.post(f"http://{host}:{port}/v1", {}, b"{}", Timeouts())
    await transport.close()
    assert (caught.value.reason, caught.value.billed) == ("unreachable", False)


async def test_a_server_that_takes_no_connection_in_time_has_billed_nothing() -> None:
    with socket.socket() as server, socket.socket() as one, socket.socket() as two, socket.socket() as three:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for waiting in (one, two, three):  # what is left of its queue
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        transport = HttpTransport()
        start = asyncio.get_running_loop().time()
        with pytest.raises(RetryableError) as caught:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
            await transport.post(url, {}, b"{}", Timeouts(connect=0.3, first_byte=30, total=30))
        await transport.close()
    assert (caught.value.reason, caught.value.billed) == ("unreachable", False)
    assert asyncio.get_running_loop().time() - start < 10


async def test_an_answer_that_stalls_half_way_is_given_up_as_one_that_never_began() -> None:
    stalled = Reply(b"half of it", headers={"content-length": "100"})
    async with ScriptedEndpoint(lambda _: stalled) as endpoint:
        transport = HttpTransport()
        with pytest.raises(RetryableError) as caught:
            await transport.post(endpoint.url, {}, b"{}", Timeouts(first_byte=0.3, total=30))
        await transport.close()
    assert (caught.value.reason, caught.value.billed) == ("timed-out", True)


async def test_connections_are_kept_alive() -> None:
    async with ScriptedEndpoint(lambda _: said("hi")) as endpoint:
        transport = HttpTransport()
        for _ in range(5):
            await transport.post(endpoint.url, {}, b"{}", Timeouts())
        assert endpoint.connections == 1
        await transport.close()


@pytest.mark.parametrize("timeouts", [Timeouts(first_byte=0.2, total=9), Timeouts(first_byte=9, total=0.2)])
async def test_a_first_byte_that_is_late_may_have_been_billed_as_a_whole_answer_that_is_late(
    timeouts: Timeouts,
) -> None:
    async with ScriptedEndpoint(lambda _: Reply(b"late", delay_seconds=5)) as endpoint:
        transport = HttpTransport()
        with pytest.raises(RetryableError, match="in time") as caught:
            await transport.post(endpoint.url, {}, b"{}", timeouts)
        await transport.close()
    assert (caught.value.reason, caught.value.billed) == ("timed-out", True)
