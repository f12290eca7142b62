import asyncio
import contextlib
import gzip
import socket
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clairgen.errors import RetryableError
from clairgen.inference.httpx_transport import HttpxTransport
from clairgen.inference.openai_format import read_response
from clairgen.inference.runtime import open_transport
from clairgen.inference.transport import MAX_BODY_BYTES, Timeouts, Transport
from tests.scripted import Reply, ScriptedEndpoint, said
from tests.streams import TYPE, stream, whole


@pytest.fixture(params=["pyreqwest", "httpx"])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    if request.param == "pyreqwest":
        pytest.importorskip("pyreqwest")
    opened: Transport = open_transport() if request.param == "pyreqwest" else HttpxTransport()
    yield opened
    await opened.close()


async def post(transport: Transport, reply: Reply, timeout_seconds: float = 5.0) -> tuple[int, bytes]:
    async with ScriptedEndpoint(lambda _: reply) as endpoint:
        response = await transport.post(
            f"{endpoint.url}/chat/completions", {"x-a": "b"}, b'{"a": 1}', Timeouts(total=timeout_seconds)
        )
        assert endpoint.asked == [{"a": 1}]
        assert endpoint.headers["x-a"] == "b"
        return response.status, response.body


async def test_bytes_are_sent_and_received_as_they_are(transport: Transport) -> None:
    assert await post(transport, Reply("é\0".encode(), 418)) == (418, "é\0".encode())


@pytest.mark.slow
async def test_a_body_of_the_largest_size_is_received_whole(transport: Transport) -> None:
    assert await post(transport, Reply(b"x" * MAX_BODY_BYTES)) == (200, b"x" * MAX_BODY_BYTES)


GZIP = {"content-encoding": "gzip"}


async def test_what_a_server_packs_is_unpacked(transport: Transport) -> None:
    text = "\u00e9\n" * 100_000
    assert await post(transport, Reply(gzip.compress(text.encode()), headers=GZIP)) == (200, text.encode())


@pytest.mark.slow
@pytest.mark.parametrize("headers", [GZIP, GZIP | {"transfer-encoding": "chunked"}, {"transfer-encoding": "chunked"}])
async def test_a_length_that_a_server_announces_is_no_way_around_the_limit(
    transport: Transport, headers: dict[str, str]
) -> None:
    body = b"x" * (2 * MAX_BODY_BYTES)
    if "content-encoding" in headers:
        body = gzip.compress(body)
    if "transfer-encoding" in headers:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        headers = headers | {"content-length": "1000"}
    _, received = await post(transport, Reply(body, headers=headers))
    assert received == b"x" * (MAX_BODY_BYTES + 1)


@pytest.mark.parametrize("packed", [gzip.compress(b"x" * 100_000, mtime=0)[:60], b"not packed at all"])
async def test_what_cannot_be_unpacked_is_a_connection_that_broke_off(transport: Transport, packed: bytes) -> None:
    with pytest.raises(RetryableError) as caught:
        await post(transport, Reply(packed, headers=GZIP))
    assert (caught.value.reason, caught.value.billed) == ("torn-connection", True)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_an_answer_without_end_is_read_up_to_the_limit(transport: Transport, encoding: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        packing = zlib.compressobj(wbits=31)
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            while True:
                piece = b"x" * (1 << 20)
                writer.write(packing.compress(piece) if encoding == "gzip" else piece)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()
        gone.set()

    gone = asyncio.Event()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        before = memory_bytes("VmRSS")
        count_peak_from_here()
        response = await transport.get(f"http://127.0.0.1:{port}/", {}, Timeouts())
        assert memory_bytes("VmHWM") - before < 5 * MAX_BODY_BYTES
        await gone.wait()
    assert response.body == b"x" * (MAX_BODY_BYTES + 1)


def count_peak_from_here() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def memory_bytes(name: str) -> int:
    return 1024 * int(Path("/proc/self/status").read_text().partition(f"{name}:")[2].split()[0])


async def test_header_names_are_in_lower_case_and_redirects_are_not_followed(transport: Transport) -> None:
    reply = Reply(b"", 302, {"Location": "http://127.0.0.1:1/", "Retry-After": "3"})
    async with ScriptedEndpoint(lambda _: reply) as endpoint:
        response = await transport.post(endpoint.url, {}, b"{}", Timeouts())
    assert response.status == 302
    assert response.headers["retry-after"] == "3"


async def test_only_headers_that_are_read_and_ascii_are_kept(transport: Transport) -> None:
    headers = {"X-RateLimit-Limit-Requests": "60", "x-request-id": "caf\xe9", "retry-after": "\xe9", "x-other": "1"}
    async with ScriptedEndpoint(lambda _: Reply(b"{}", headers=headers)) as endpoint:
        response = await transport.post(endpoint.url, {}, b"{}", Timeouts())
    assert response.headers == {"x-ratelimit-limit-requests": "60"}


async def test_a_page_is_got(transport: Transport) -> None:
    async with ScriptedEndpoint(lambda _: said("x")) as endpoint:
        endpoint.page = lambda path: Reply(path.encode(), 503)
        response = await transport.get(f"{endpoint.url}/models", {"x-a": "b"}, Timeouts())
        assert endpoint.headers["x-a"] == "b"
    assert (response.status, response.body) == (503, b"/v1/models")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(b"", reset=True), "torn-connection"),
        (Reply(b'{"choices": []}', cut=5), "torn-connection"),
        (Reply(b"late", delay_seconds=5), "timed-out"),
    ],
)
async def test_what_was_sent_and_lost_may_have_been_billed(transport: Transport, reply: Reply, reason: str) -> None:
    with pytest.raises(RetryableError) as caught:
        await post(transport, reply, timeout_seconds=0.3)
    assert (caught.value.reason, caught.value.billed) == (reason, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_what_cannot_be_reached_has_billed_nothing(transport: Transport, host: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(RetryableError) as caught:
        await transport.post(f"http://{host}:{port}/v1", {}, b"{}", Timeouts())
    assert (caught.value.reason, caught.value.billed) == ("unreachable", False)


async def test_a_server_that_accepts_no_connection_in_time_has_billed_nothing(transport: Transport) -> None:
    with socket.socket() as server, socket.socket() as one, socket.socket() as two, socket.socket() as three:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for waiting in (one, two, three):  # what is left of its queue
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        start = asyncio.get_running_loop().time()
        with pytest.raises(RetryableError) as caught:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
            await transport.post(url, {}, b"{}", Timeouts(connect=0.3, first_byte=30, total=30))
    assert (caught.value.reason, caught.value.billed) == ("unreachable", False)
    assert asyncio.get_running_loop().time() - start < 10


async def test_an_answer_that_stalls_half_way_is_given_up_like_one_that_never_began(transport: Transport) -> None:
    stalled = Reply(b"half of it", headers={"content-length": "100"})
    async with ScriptedEndpoint(lambda _: stalled) as endpoint:
        with pytest.raises(RetryableError) as caught:
            await transport.post(endpoint.url, {}, b"{}", Timeouts(first_byte=0.3, total=30))
    assert (caught.value.reason, caught.value.billed) == ("timed-out", True)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("chunk_bytes", [None, 1, 37])
async def test_a_stream_is_received_as_the_answer_without_streaming(
    transport: Transport, chunk_bytes: int | None, packed: bool
) -> None:
    body = stream(*whole("Grüße, 東京"), end="\r\n")
    reply = Reply(
        gzip.compress(body) if packed else body, headers=TYPE | (GZIP if packed else {}), chunk_bytes=chunk_bytes
    )
    async with ScriptedEndpoint(lambda _: reply) as endpoint:
        for _ in range(3):
            found = await transport.post(endpoint.url, {}, b"{}", Timeouts())
            assert read_response(found, now_seconds=0.0).text == "Grüße, 東京"
        assert endpoint.connections == 1


async def test_a_stream_whose_pieces_are_packed_one_by_one_is_whole_or_broken_off(transport: Transport) -> None:
    packed = b"".join(gzip.compress(stream(one)) for one in whole("Grüße, 東京"))
    for size in (1, 50, 10_000):
        reply = Reply(packed, headers=TYPE | GZIP, chunk_bytes=size)
        if isinstance(transport, HttpxTransport):
            assert b"Gr\xc3\xbc\xc3\x9fe, " in (await post(transport, reply))[1]
        else:  # its client takes one packed body alone
            with pytest.raises(RetryableError, match=r"torn-connection|broken-off"):
                await post(transport, reply)


@pytest.mark.parametrize("cut", [0, 20])
async def test_a_stream_whose_connection_breaks_may_have_been_billed(transport: Transport, cut: int) -> None:
    body = stream(*whole("half of it")[:-1])
    reply = Reply(body[: len(body) - cut], headers=TYPE, chunk_bytes=50, cut=0)
    with pytest.raises(RetryableError) as caught:
        await post(transport, reply)
    assert (caught.value.reason, caught.value.billed) == ("torn-connection", True)


@pytest.mark.parametrize("timeouts", [Timeouts(first_byte=0.4, total=30), Timeouts(first_byte=30, total=0.4)])
async def test_comments_do_not_hold_a_request_for_ever(transport: Transport, timeouts: Timeouts) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + stream(*whole("half")[:-2]))
        with contextlib.suppress(ConnectionError):
            while not given_up.is_set():
                writer.write(b": keep-alive\n\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        gone.set()

    given_up, gone = asyncio.Event(), asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        start = asyncio.get_running_loop().time()
        with pytest.raises(RetryableError) as caught:
            await transport.post(url, {}, b"{}", timeouts)
        assert asyncio.get_running_loop().time() - start < 10
        given_up.set()
        await gone.wait()
    assert (caught.value.reason, caught.value.billed) == ("timed-out", True)


async def test_connections_are_kept_alive(transport: Transport) -> None:
    async with ScriptedEndpoint(lambda _: said("hi")) as endpoint:
        for _ in range(5):
            await transport.post(endpoint.url, {}, b"{}", Timeouts())
        assert endpoint.connections == 1


@pytest.mark.slow
async def test_a_hundred_requests_are_in_flight_at_once(transport: Transport) -> None:
    async with ScriptedEndpoint(lambda _: Reply(said("hi").body, delay_seconds=1.0)) as endpoint:
        await asyncio.gather(*(transport.post(endpoint.url, {}, b"{}", Timeouts()) for _ in range(100)))
        assert endpoint.most_in_flight == 100


async def test_a_cancelled_request_leaves_the_transport_usable(transport: Transport) -> None:
    slow = Reply(said("slow").body, delay_seconds=0.3)
    async with ScriptedEndpoint(lambda request: slow if request else said("quick")) as endpoint:
        cancelled = asyncio.create_task(transport.post(endpoint.url, {}, b'{"slow": 1}', Timeouts()))
        await asyncio.sleep(0.1)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        for _ in range(3):
            response = await transport.post(endpoint.url, {}, b"{}", Timeouts())
            assert b"quick" in response.body


@pytest.mark.parametrize("timeouts", [Timeouts(first_byte=0.2, total=9), Timeouts(first_byte=9, total=0.2)])
async def test_a_late_first_byte_may_have_been_billed_like_a_late_whole_answer(
    transport: Transport, timeouts: Timeouts
) -> None:
    async with ScriptedEndpoint(lambda _: Reply(b"late", delay_seconds=5)) as endpoint:
        with pytest.raises(RetryableError, match="in time") as caught:
            await transport.post(endpoint.url, {}, b"{}", timeouts)
    assert (caught.value.reason, caught.value.billed) == ("timed-out", True)


@pytest.mark.parametrize("name", ["pyreqwest", "httpx"])
async def test_proxies_of_the_environment_are_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "pyreqwest":
        pytest.importorskip("pyreqwest")
    async with ScriptedEndpoint(lambda _: said("by proxy")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        transport = open_transport() if name == "pyreqwest" else HttpxTransport()
        response = await transport.post("http://no-such-host.invalid/v1", {}, b"{}", Timeouts())
        await transport.close()
        assert len(proxy.asked) == 1
    assert b"by proxy" in response.body


async def test_httpx_is_used_with_a_note_where_pyreqwest_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyreqwest.client", None)
    monkeypatch.delitem(sys.modules, "clairgen.inference.pyreqwest_transport", raising=False)
    notes: list[str] = []
    transport = open_transport(notes.append)
    await transport.close()
    assert isinstance(transport, HttpxTransport)
    assert len(notes) == 1
    assert "pyreqwest is not installed, so requests are sent with httpx" in notes[0]
