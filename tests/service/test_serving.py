"""`clairgen serve` as a process: it says where it listens, refuses what would be unsafe, and loses no vote to a kill."""

import asyncio
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest

from clairgen.pipeline.run_log import RunLog
from tests.cli.commands import clairgen
from tests.cli.forked import Forked, forked
from tests.service.served import READ, REVIEW, ids, made, rows


@asynccontextmanager
async def serving(
    root: Path, *options: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Forked, httpx.AsyncClient, Path]]:
    """A running service, a client of it, and the file with what it printed."""
    said = root.parent / "said.txt"
    with said.open("wb") as file:
        async with forked(
            "serve", root, "--port", "0", *options, environment=environment, out=file.fileno(), err=file.fileno()
        ) as running:
            for _ in range(600):
                if found := re.search(r"http://\S+:\d+/\n(?=.*\n)", said.read_text()):
                    break
                await asyncio.sleep(0.05)
            else:
                raise TimeoutError(said.read_text())
            async with httpx.AsyncClient(base_url=found.group().strip(), timeout=60) as client:
                yield running, client, said
            running.send_signal(signal.SIGKILL)
            await running.wait()


@pytest.mark.process
async def test_a_vote_outlives_kill_9(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(3))
    async with serving(tmp_path / "runs") as (running, client, _):
        pair = (await ids(client))[1]
        votes = f"/api/runs/first/pairs/{pair}/votes"
        assert (await client.post(votes, json={"vote": "keep", "voter": "ada"})).status_code == 201
        running.send_signal(signal.SIGKILL)
        await running.wait()
    async with serving(tmp_path / "runs") as (running, client, said):
        assert [one["voter"] for one in (await client.get(votes)).json()] == ["ada"]
        assert (await client.post(votes, json={"vote": "keep", "voter": "ben"})).status_code == 201
        with closing(RunLog(tmp_path / "runs" / "first" / "run.log")) as log:
            log.event("started")
        async with client.stream("GET", "/api/runs/first/events", timeout=5) as stream:
            received = stream.aiter_lines()
            assert await anext(received) == "event: state"
            running.send_signal(signal.SIGTERM)
            assert "event: end" not in [line async for line in received]  # the run goes on: only the service ends
        assert await asyncio.wait_for(running.wait(), 5) == 0
        assert "Everybody on this machine can read, vote, and run jobs with the models that ship." in said.read_text()


@pytest.mark.process
async def test_a_token_never_stands_in_what_it_prints(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(1))
    tokens = {"CLAIRGEN_TOKEN_READ": READ, "CLAIRGEN_TOKEN_REVIEW": REVIEW}
    async with serving(tmp_path / "runs", environment=tokens) as (running, client, said):
        assert (await client.get("/api/runs")).status_code == 401
        answer = await client.get("/api/runs", headers={"Authorization": f"Bearer {READ}"})
        assert answer.status_code == 200
        wrong = b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + READ.encode() + b"\xff\x00\r\n\r\n"
        _, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(wrong)
        await writer.drain()
        writer.close()
        await client.get("/api/runs")
        running.send_signal(signal.SIGTERM)
        await running.wait()
        printed = said.read_text()
        assert "A token is needed." in printed
        assert READ not in printed
        assert REVIEW not in printed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "so the service needs a token there: set CLAIRGEN_TOKEN_REVIEW"),  # noqa: S104
        (["--host", "192.0.2.1"], "so the service needs a token there"),
        (["--host", "192.0.2.1", "--allow-hub"], "so the service needs a token there: set CLAIRGEN_TOKEN_RUN"),
        (["--host", "::"], "so the service needs a token there"),
        (["--host", "example.com"], "--host is an IP address of this machine"),
        (["--tokens", "none.yaml"], "there is no configuration file none.yaml"),
        (["--allow-env", "OPENAI_API_KEY"], "needs a token for them, also on this machine: set CLAIRGEN_TOKEN_RUN"),
        (["--allow-endpoint", "localhost:8000"], "needs a token for them"),
        (["--allow-hub"], "needs a token for them"),
        (["--allow-env", "sk-proj-abcdefghijklmnop1234567890"], "takes the name of an environment variable"),
        (["--allow-endpoint", "localhost"], "--allow-endpoint 'localhost': give a base URL such as"),
    ],
)
async def test_what_would_be_unsafe_is_refused(tmp_path: Path, options: list[str], said: str) -> None:
    await made(tmp_path / "runs", rows(1))
    done = await clairgen("serve", tmp_path / "runs", *options)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert said in done.err


async def test_all_addresses_need_the_names_that_they_are_reached_by(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(1))
    tokens = {"CLAIRGEN_TOKEN_REVIEW": REVIEW}
    done = await clairgen("serve", tmp_path / "runs", "--host", "0.0.0.0", environment=tokens)  # noqa: S104
    assert (done.code, "--allow-host NAME" in done.err) == (2, True)


async def test_a_port_in_use_and_a_folder_that_is_none_are_one_sentence(tmp_path: Path) -> None:
    await made(tmp_path / "runs", rows(1))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = await clairgen("serve", tmp_path / "runs", "--port", str(taken.getsockname()[1]))
    assert (done.code, "nothing can listen at 127.0.0.1" in done.err) == (2, True)
    gone = await clairgen("serve", tmp_path / "none")
    assert (gone.code, "is not a folder" in gone.err) == (2, True)
    assert "CLAIRGEN_TOKEN_REVIEW" not in os.environ
