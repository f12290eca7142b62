"""Replicas of a model: a program that stands for vLLM is started again if it dies, and shards are told where replicas serve."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest

from clairgen.errors import ConfigError
from clairgen.iteration.served_command import vllm_words
from clairgen.ray_cluster.model_replicas import ReplicaProcess, Replicas, Serving, at_replicas
from tests.other_processes import eventually
from tests.runs import REVISER, TARGET, config
from tests.scripted_vllm import vllm_in

VLLM = """
arguments = dict(zip(sys.argv[3::2], sys.argv[4::2]))
assert sys.argv[1] == "serve"
if "broken" in sys.argv[2]:
    sys.exit("ValueError: no kernel for this model")
def answer(prompt):
    return f"{prompt} is a question and this is an answer to it"
"""


@pytest.mark.process
async def test_a_replica_that_dies_serves_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", vllm_in(tmp_path / "bin", VLLM))
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
    monkeypatch.setenv("PATH", vllm_in(tmp_path / "bin", VLLM))
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
