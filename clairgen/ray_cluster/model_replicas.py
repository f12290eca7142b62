"""Replicas of a model, each a vLLM on GPUs of its node that is started again if it ends; and where they serve, for the shards."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import httpx

from clairgen.config.models import RunConfig
from clairgen.errors import ConfigError
from clairgen.iteration.served_command import free_port, running_vllm
from clairgen.wording import counted

MOST_FAILURES: Final = 3
"""So often in a row a vLLM may end before it serves; then nobody starts it again."""
_POLL_SECONDS: Final = 2.0
_SECONDS_TO_ANSWER: Final = 20.0
_MOST_SILENT: Final = 3
_LONGEST_PAUSE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Replicas:
    """What each replica serves: a model's name or folder, on so many GPUs, with further arguments of `vllm serve`."""

    model: str
    gpus: int = 1
    options: tuple[str, ...] = ()

    def words(self, program: str, host: str, port: int) -> list[str]:
        """The command line of one of them."""
        words = [program, "serve", self.model, "--served-model-name", self.model, "--host", host, "--port", str(port)]
        words += ["--tensor-parallel-size", str(self.gpus)] if self.gpus > 1 else []
        return [*words, *self.options]


class ReplicaProcess:
    """One vLLM at an address of its node. `run` is called in one thread, and meanwhile `url` and `end` in others."""

    def __init__(self, replicas: Replicas, host: str, log: Path, *, poll_seconds: float = _POLL_SECONDS) -> None:
        self._replicas, self._host, self._log, self._poll_seconds = replicas, host, log, poll_seconds
        self._url: str | None = None
        self._ending = threading.Event()

    def run(self) -> str:
        """Serve, again and again, until it is ended; the reason if it gives up."""
        program = shutil.which("vllm")
        if program is None:
            return "there is no program vllm on this node; install vLLM beside clairgen"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        failures = 0
        while not self._ending.is_set():
            try:
                self._serve(program)
                failures = 0
            except ConfigError as error:  # it ended before it served
                failures += 1
                if failures == MOST_FAILURES:
                    return str(error)
            self._ending.wait(min(2.0**failures, _LONGEST_PAUSE_SECONDS))
        return "it was ended"

    def url(self) -> str | None:
        """Where it serves; None while it does not."""
        return self._url

    def end(self) -> None:
        """End it."""
        self._ending.set()

    def _serve(self, program: str) -> None:
        """Serve until it ends, or answers nobody any more."""
        port = free_port(self._host)
        words = self._replicas.words(program, self._host, port)
        with running_vllm(words, port, self._log, host=self._host) as url:
            try:
                self._url = url
                silent = 0
                while silent < _MOST_SILENT and not self._ending.wait(self._poll_seconds):
                    silent = 0 if _answers(url) else silent + 1
            finally:
                self._url = None


class RemoteReplica(Protocol):
    """A replica somewhere; see `ReplicaProcess`."""

    async def run(self) -> str:
        """Wait until it gives up; the reason."""

    async def url(self) -> str | None:
        """Where it serves; None while it does not, or cannot be reached."""


class Serving:
    """Follows where replicas serve: `urls` are the addresses. Those that are lost alone are kept until others are there."""

    def __init__(
        self,
        replicas: Sequence[RemoteReplica],
        changed: Callable[[tuple[str, ...]], None],
        tell: Callable[[str], None],
        *,
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        self.urls: tuple[str, ...] = ()
        self._replicas, self._changed, self._tell, self._poll_seconds = replicas, changed, tell, poll_seconds
        self._found: dict[int, str | None] = {}

    async def follow(self) -> None:
        """Follow all of them until cancelled; `changed` is called with the addresses after each change."""
        async with asyncio.TaskGroup() as group:
            for number, replica in enumerate(self._replicas):
                group.create_task(self._follow(number, replica))

    async def _follow(self, number: int, replica: RemoteReplica) -> None:
        while True:
            asking = asyncio.create_task(replica.url())
            done, _ = await asyncio.wait([asking], timeout=_SECONDS_TO_ANSWER)
            if not done:  # it waits for a node, perhaps after it has lost one
                self._note(number, None)
            self._note(number, await asking)
            await asyncio.sleep(self._poll_seconds)

    def _note(self, number: int, url: str | None) -> None:
        self._found[number] = url
        urls = tuple(sorted(url for url in self._found.values() if url is not None))
        if urls and urls != self.urls:
            self.urls = urls
            self._tell(f"{len(urls)} of {counted(len(self._replicas), 'replica')} serve")
            self._changed(urls)


def at_replicas(config: RunConfig, model: str, urls: Sequence[str]) -> RunConfig:
    """The configuration with the roles of a model at its replicas. Raises ConfigError if it has none."""
    roles = {name: role for name, role in config.models.items() if role.model == model}
    if not roles:
        raise ConfigError(
            f"--vllm {model} is the model of no role; write `model: {model}` in those that the replicas are to answer for"
        )
    served: dict[str, Any] = {"endpoints": list(urls), "weights": [], "api_key_env": None, "headers": {}}
    return config.model_copy(
        update={"models": config.models | {name: role.model_copy(update=served) for name, role in roles.items()}}
    )


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/models", timeout=_SECONDS_TO_ANSWER).is_success
    except httpx.HTTPError:
        return False
