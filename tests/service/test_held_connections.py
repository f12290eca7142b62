"""A connection on which nothing arrives, or from which nothing is read, is ended; one that is used goes on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from clairgen.service.held_connections import TimedConnection

state = ServerState()
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"


class Impatient(TimedConnection):
    """The same with times that a test can wait for."""

    request_seconds = 0.2
    reading_seconds = 0.2


async def _short(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:  # noqa: ANN401 - ASGI
    del scope, receive
    await asyncio.sleep(0.3)  # an answer may take longer than a request may
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def _endless(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:  # noqa: ANN401 - ASGI
    del scope
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(10_000):
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        if not state.connections:
            break
    assert (await receive())["type"] in ("http.request", "http.disconnect")


@asynccontextmanager
async def connected(app: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:  # noqa: ANN401 - ASGI
    """A client's end of a connection to an application."""
    config = uvicorn.Config(app, http=Impatient, lifespan="off", log_config=None, access_log=False)
    config.load()
    server = await asyncio.get_running_loop().create_server(lambda: Impatient(config, state, {}), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()
            for _ in range(100):
                if not state.connections and not state.tasks:
                    break
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("sent", [b"", b"G", HEAD])
async def test_a_request_that_does_not_arrive_ends_its_connection(sent: bytes) -> None:
    async with connected(_short) as (reader, writer):
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), 5) == b""
    assert not state.connections


async def test_drops_of_a_request_do_not_hold_it_longer() -> None:
    async with connected(_short) as (reader, writer):
        ended = asyncio.create_task(reader.read())
        began = asyncio.get_running_loop().time()
        while not ended.done():
            writer.write(b"X")
            await asyncio.sleep(0.05)
        assert asyncio.get_running_loop().time() - began < 2
        assert b" 200 " not in await ended


async def test_a_connection_that_is_used_goes_on() -> None:
    async with connected(_short) as (reader, writer):
        for _ in range(2):
            writer.write(HEAD)
            await asyncio.sleep(0.05)
            writer.write(b"\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
            assert await reader.readexactly(2) == b"ok"


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    async with connected(_endless) as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # what asyncio's streams stand on
        writer.write(HEAD + b"\r\n")
        for _ in range(100):
            await asyncio.sleep(0.05)
            if not state.connections:
                break
        assert not state.connections
