"""Replicas of a model: a program that stands for vLLM is started again if it dies, and shards are told where replicas serve."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from clairgen.errors import ConfigError
from clairgen.iteration.served_command import vllm_words
from clairgen.ray_cluster.model_replicas import ReplicaProcess, Replicas, Serving, at_replicas
from tests.runs import REVISER, TARGET, config

VLLM = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
arguments = dict(zip(sys.argv[3::2], sys.argv[4::2]))
assert sys.argv[1] == "serve"
if "broken" in sys.argv[2]:
    sys.exit("ValueError: no kernel for this model")
class Server(BaseHTTPRequestHandler):
    def say(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.say({"data": [{"id": arguments["--served-model-name"], "pid": os.getpid()}]})
    def do_POST(self):
        prompt = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"][-1]["content"]
        said = f"{prompt} is a question and this is an answer to it"
        message = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        self.say({"choices": [message], "usage": {"prompt_tokens": 20, "completion_tokens": 10}})
    def log_message(self, *args): pass
HTTPServer((arguments["--host"], int(arguments["--port"])), Server).serve_forever()
"""


def vllm_in(folder: Path) -> str:
    """A PATH that begins with a folder in which a program stands for vllm."""
    folder.mkdir()
    (folder / "vllm").write_text(f"#!{sys.executable}\n{VLLM}")
    (folder / "vllm").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


async def eventually(what: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not what():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)


@pytest.mark.process
async def test_a_replica_that_dies_serves_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", vllm_in(tmp_path / "bin"))
    replicas = Replicas("some/model", gpus=2, options=("--max-model-len", "4096"))
    replica = ReplicaProcess(replicas, "127.0.0.1", tmp_path / "vllm.log", poll_seconds=0.05)
    running = asyncio.create_task(asyncio.to_thread(replica.run))
    await eventually(replica.url)
    [model] = (await asyncio.to_thread(httpx.get, f"{replica.url()}/models")).json()["data"]
    assert model["id"] == "some/model"
    os.kill(model["pid"], signal.SIGKILL)
    await eventually(lambda: replica.url() is None)
    await eventually(replica.url)
    replica.end()
    assert await running == "it was ended"


@pytest.mark.process
async def test_a_vllm_that_does_not_start_is_given_up_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clairgen.ray_cluster.model_replicas.MOST_FAILURES", 1)
    monkeypatch.setenv("PATH", vllm_in(tmp_path / "bin"))
    reason = await asyncio.to_thread(ReplicaProcess(Replicas("broken"), "127.0.0.1", tmp_path / "vllm.log").run)
    assert reason.startswith("vLLM ended before it served the model: ValueError: no kernel for this model")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        ReplicaProcess(Replicas("m"), "127.0.0.1", tmp_path / "vllm.log").run().startswith("there is no program vllm")
    )


class Moving:
    """A replica that serves at one address after another."""

    def __init__(self, *urls: str | None) -> None:
        self._urls = list(urls)

    async def run(self) -> str:  # noqa: D102 - see RemoteReplica
        return "it was ended"

    async def url(self) -> str | None:  # noqa: D102 - see RemoteReplica
        return self._urls.pop(0) if len(self._urls) > 1 else self._urls[0]


async def test_addresses_are_kept_until_others_are_there() -> None:
    notes: list[str] = []
    seen: list[tuple[str, ...]] = []
    moving = [Moving(None, "http://a/v1", None, "http://b/v1"), Moving(*[None] * 20, "http://c/v1")]
    following = asyncio.create_task(Serving(moving, seen.append, notes.append, poll_seconds=0.001).follow())
    await eventually(lambda: len(seen) == 3)
    following.cancel()
    assert seen == [("http://a/v1",), ("http://b/v1",), ("http://b/v1", "http://c/v1")]
    assert notes == ["1 of 2 replicas serve", "1 of 2 replicas serve", "2 of 2 replicas serve"]


async def test_a_replica_that_waits_for_a_gpu_does_not_hide_the_others() -> None:
    seen: list[tuple[str, ...]] = []
    waiting = Moving(None)
    waiting.url = asyncio.Event().wait  # type: ignore[method-assign, assignment]  # nobody sets it
    following = asyncio.create_task(Serving([waiting, Moving("http://b/v1")], seen.append, print).follow())
    await eventually(lambda: seen)
    following.cancel()
    assert seen == [("http://b/v1",)]


def test_roles_of_the_model_are_served_by_its_replicas() -> None:
    whole = config("http://127.0.0.1:9/v1", Path("tasks.jsonl"))
    found = at_replicas(whole, TARGET, ("http://10.0.0.1:8000/v1",))
    assert found.models["target"].endpoints == ["http://10.0.0.1:8000/v1"]
    assert found.models["reviser"] == whole.models["reviser"]
    with pytest.raises(ConfigError, match="--vllm other is the model of no role"):
        at_replicas(whole, "other", ())


def test_arguments_of_vllm_are_read_as_a_shell_does() -> None:
    assert vllm_words("--chat-template 'a b'") == ("--chat-template", "a b")
    with pytest.raises(ConfigError, match="cannot be read as arguments"):
        vllm_words("'")
    assert REVISER not in Replicas(TARGET).words("vllm", "10.0.0.1", 8000)
