"""The engine over real HTTP, and that it lives exactly as long as whoever started it."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from clairgen.embedded.gguf import EmbeddedAddress
from clairgen.embedded.server import EmbeddedServers, serve
from clairgen.errors import ConfigError, MissingExtraError
from tests.embedded.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.slow

GONE_WITHIN_SECONDS = 5.0
CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""None: the engine is at an http address, and reading those of the system takes longer than asking it."""
PARENT = """
import asyncio, signal, sys
from pathlib import Path
from clairgen.embedded.gguf import EmbeddedAddress
from clairgen.embedded.server import serve

async def main():
    async with serve(EmbeddedAddress(Path(sys.argv[1])), slots=1) as url:
        print(url, flush=True)
        await asyncio.sleep(60)

signal.signal(signal.SIGINT, signal.SIG_IGN)
asyncio.run(main())
"""


async def test_answers_over_http_and_ends_with_the_block(tiny_model: Path) -> None:
    async with serve(EmbeddedAddress(tiny_model), slots=2) as url:
        answer = await _chat(url, max_tokens=8)
        assert answer["usage"]["completion_tokens"] == 8
        assert answer["choices"][0]["finish_reason"] == "length"
        async with httpx.AsyncClient(verify=CERTIFICATES) as client:
            models = (await client.get(f"{url}/models")).json()
        assert models["data"][0]["id"] == "tiny"
    assert _is_gone(url)


async def test_several_samples_in_one_request(tiny_model: Path) -> None:
    async with serve(EmbeddedAddress(tiny_model), slots=4) as url:
        answer = await _chat(url, n=3, temperature=1.0, seed=7)
    assert len({choice["message"]["content"] for choice in answer["choices"]}) == 3


async def test_temperature_zero_and_a_seed_are_reproducible(tiny_model: Path) -> None:
    texts: list[list[str]] = []
    for _ in range(2):
        async with serve(EmbeddedAddress(tiny_model), slots=4) as url:
            greedy = await asyncio.gather(*(_chat(url) for _ in range(4)))
            seeded = await asyncio.gather(*(_chat(url, temperature=1.0, seed=seed) for seed in range(4)))
        texts.append([answer["choices"][0]["message"]["content"] for answer in [*greedy, *seeded]])
    assert texts[0] == texts[1]
    assert len(set(texts[0][:4])) == 1
    assert len(set(texts[0][4:])) == 4


async def test_every_slot_has_the_whole_context(tmp_path: Path) -> None:
    model = write_tiny_gguf(tmp_path / "longer.gguf", context=512)
    prompt = "a" * 400  # a token each
    async with serve(EmbeddedAddress(model), slots=3) as url:
        answers = await asyncio.gather(*(_chat(url, prompt=prompt, max_tokens=8) for _ in range(3)))
    assert [answer["usage"]["completion_tokens"] for answer in answers] == [8, 8, 8]
    async with serve(EmbeddedAddress(model, context=256), slots=3) as url:
        with pytest.raises(httpx.HTTPStatusError, match="400"):
            await _chat(url, prompt=prompt)


async def test_more_requests_than_slots_wait_their_turn(tiny_model: Path) -> None:
    async with serve(EmbeddedAddress(tiny_model, slots=1, threads=1)) as url:
        answers = await asyncio.gather(*(_chat(url) for _ in range(20)))
    assert len(answers) == 20


async def test_damaged_model_is_refused_with_the_reason(damaged_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"damaged\.gguf cannot be served: .*corrupted or incomplete$"):
        async with serve(EmbeddedAddress(damaged_model)):
            pytest.fail("nothing can be served")


async def test_slow_start_is_given_up(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"was not loaded within 0\.001 seconds"):
        async with serve(EmbeddedAddress(tiny_model), start_timeout_seconds=0.001):
            pytest.fail("no engine starts in a millisecond")


async def test_engine_ends_when_the_block_is_cancelled(tiny_model: Path) -> None:
    serving: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def wait_inside() -> None:
        async with serve(EmbeddedAddress(tiny_model)) as url:
            serving.set_result(url)
            await asyncio.sleep(60)

    waiting = asyncio.create_task(wait_inside())
    url = await serving
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert _is_gone(url)


async def test_log_keeps_what_the_engine_says(tiny_model: Path, tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("an earlier run: E failed to load\n")
    async with serve(EmbeddedAddress(tiny_model), log=log), asyncio.timeout(60):
        while "CORS" not in log.read_text():  # noqa: ASYNC110 - llama.cpp warns of it at a moment of its own
            await asyncio.sleep(0.02)
    assert log.read_text().startswith("an earlier run")


async def test_missing_wheel_names_the_extra(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtraError, match=r"clairgen\[local\]"):
        async with serve(EmbeddedAddress(tiny_model)):
            pytest.fail("there is nothing to serve with")


async def test_roles_share_the_server_of_a_file(tiny_model: Path, tmp_path: Path) -> None:
    other = write_tiny_gguf(tmp_path / "other.gguf", seed=1)
    async with EmbeddedServers() as servers:
        first, second, third = await asyncio.gather(
            servers.url_for(EmbeddedAddress(tiny_model)),
            servers.url_for(EmbeddedAddress(tiny_model)),
            servers.url_for(EmbeddedAddress(other)),
        )
        assert first == second
        assert first != third
        with pytest.raises(ConfigError, match="different options"):
            await servers.url_for(EmbeddedAddress(tiny_model, context=64))
        await _chat(third)
    assert _is_gone(first)
    assert _is_gone(third)


def test_engine_ends_when_its_parent_is_killed(tiny_model: Path) -> None:
    with _parent(tiny_model) as parent:
        url = _first_line(parent)
        parent.kill()
        parent.wait()
    _wait_until_gone(url)


def test_interrupt_of_the_whole_group_is_left_to_the_parent(tiny_model: Path) -> None:
    with _parent(tiny_model) as parent:
        url = _first_line(parent)
        os.killpg(parent.pid, signal.SIGINT)
        time.sleep(0.3)
        assert not _is_gone(url)
        parent.terminate()
        parent.wait()
    _wait_until_gone(url)


async def _chat(url: str, *, prompt: str = "hello", max_tokens: int = 16, **fields: float) -> dict[str, Any]:
    message = {"role": "user", "content": prompt}
    body = {"model": "tiny", "messages": [message], "max_tokens": max_tokens, "temperature": 0, **fields}
    async with httpx.AsyncClient(timeout=30, verify=CERTIFICATES) as client:
        response = await client.post(f"{url}/chat/completions", json=body)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


def _parent(model: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(model)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def _first_line(parent: "subprocess.Popen[str]") -> str:
    assert parent.stdout is not None
    return parent.stdout.readline().strip()


def _is_gone(url: str) -> bool:
    address = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) != 0


def _wait_until_gone(url: str) -> None:
    deadline = time.monotonic() + GONE_WITHIN_SECONDS
    while not _is_gone(url):
        assert time.monotonic() < deadline, "the engine outlives its parent"
        time.sleep(0.05)
