"""What the benchmarks share: the shaped server in its own process, tasks and configurations, medians of rounds."""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import yaml

from clairgen.config.file import parse_config
from clairgen.config.models import RunConfig
from clairgen.config.role import Role
from clairgen.embedded.server import EmbeddedServers
from clairgen.inference.factory import open_pools
from clairgen.inference.runtime import Runtime, open_transport
from clairgen.pipeline.completion_client import CompletionClient
from clairgen.pipeline.progress import Progress
from clairgen.records import Message
from clairgen.store import RunDirectory, writing

FILLER = "some words that make the prompt as long as prompts are " * 11


class Server:
    """A shaped server that runs."""

    def __init__(self, port: int, process: subprocess.Popen[str]) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.port = port
        self.kill = process.kill

    def facts(self) -> dict[str, Any]:
        """What it counted since the last reset."""
        return self._get("/count")

    def seeds(self) -> Counter[int]:
        """How often each seed was requested since the last reset; every request has its own."""
        return Counter({int(seed): count for seed, count in self._get("/seeds").items()})

    def reset(self) -> None:
        """Count from nothing, with latencies and limit as at the start."""
        self._get("/reset")

    def _get(self, page: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{page}") as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@contextlib.contextmanager
def served(*shape: str, core: int | None = None) -> Iterator[Server]:
    """A shaped server with these options, on one core if one is named."""
    pinned = ["taskset", "-c", str(core)] if core is not None else []
    command = [*pinned, sys.executable, "-m", "tests.bench.shaped_server", *shape]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Server(int(process.stdout.readline()), process)
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def write_tasks(path: Path, count: int) -> Path:
    """Tasks with prompts of about 600 characters."""
    with path.open("w") as lines:
        for number in range(count):
            lines.write(f'{{"id": "{number}", "prompt": "Question {number}: {FILLER}"}}\n')
    return path


def config_text(recipe: str, tasks: Path, *urls: str, **role: Any) -> str:  # noqa: ANN401 - any field of a role
    """A configuration whose roles are served at `urls`, as YAML."""
    fields = {"endpoints": list(urls), "temperature": 0.7, "max_tokens": 500} | role
    second = "reviser" if recipe == "clair" else "stronger"
    content = {
        "recipes": [recipe],
        "tasks": {"path": str(tasks)},
        "models": {"target": {"model": "target", **fields}, second: {"model": second, **fields}},
    }
    return yaml.safe_dump(content)


def config(recipe: str, tasks: Path, *urls: str, **role: Any) -> RunConfig:  # noqa: ANN401 - any field of a role
    """The same, read."""
    return parse_config(config_text(recipe, tasks, *urls, **role))


@contextlib.asynccontextmanager
async def completion_client(
    run: Path,
    *urls: str,
    second: str | None = None,
    **role: Any,  # noqa: ANN401 - any field of a role
) -> AsyncIterator[CompletionClient]:
    """`ask` for a role `target`, and one that is called `second`, over a run directory, without the rest of `generate`."""
    directory, stop, transport = RunDirectory(run), asyncio.Event(), open_transport()
    directory.create()
    fields = {"endpoints": list(urls), "temperature": 0.7, "max_tokens": 500} | role
    names = ["target", *([second] if second else [])]
    roles = {name: Role.model_validate({"model": name, **fields}) for name in names}
    async with writing(directory) as store, EmbeddedServers(log=directory.log) as servers:
        pools = await open_pools(roles, transport, servers, Runtime(), stop)
        try:
            yield CompletionClient(store, roles, pools, seed=0, reused={}, stop=stop, progress=Progress())
        finally:
            for pool in pools.values():
                await pool.close()
            await transport.close()


def question(number: int) -> tuple[Message, ...]:
    """A prompt of about 600 characters."""
    return (Message("user", f"Question {number}: {FILLER}"),)
