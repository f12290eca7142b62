"""A model server announces itself, with a coordinator or in a folder, for as long as it answers."""

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from clairgen.coordination.coordinator_client import CoordinatorClient, SilentError
from clairgen.coordination.wire import ModelServer
from clairgen.errors import ConfigError, RetryableError
from clairgen.hanging_calls import in_thread
from clairgen.inference.endpoint import EndpointAddress
from clairgen.inference.transport import Timeouts, Transport
from clairgen.keys import digest
from clairgen.whole_files import write_whole

_SECONDS: Final = 5.0
_SECONDS_TO_WITHDRAW: Final = 3.0
_PROBE: Final = Timeouts(connect=5.0, first_byte=5.0, total=5.0)


class Registry(Protocol):
    """Where servers announce themselves."""

    async def announce(self, server: ModelServer) -> None:
        """The server is there, for the next seconds. Raises SilentError, ConfigError."""

    async def withdraw(self, server: ModelServer) -> None:
        """The server is no longer there."""


class RegistryFolder:
    """A folder that the machines share, with a file for each server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = threading.Lock()  # a server is withdrawn after what is being written of it

    async def announce(self, server: ModelServer) -> None:
        """See `Registry`."""
        path = self._path(server)

        def write() -> None:
            with self._writing:
                self._folder.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    write_whole(path, server.model_dump_json())
                os.utime(path)

        try:
            await in_thread(write)
        except OSError as error:
            raise ConfigError(f"{self._folder} cannot be written: {error.strerror}; choose another --folder") from error

    async def withdraw(self, server: ModelServer) -> None:
        """See `Registry`."""

        def remove() -> None:
            with self._writing:
                self._path(server).unlink(missing_ok=True)

        with contextlib.suppress(OSError):
            await in_thread(remove)

    def _path(self, server: ModelServer) -> Path:
        return self._folder / f"{digest(json.dumps([server.model, server.url]))[:16]}.json"


class RegistryOfCoordinator:
    """The registry of a coordinator, which the client reaches."""

    def __init__(self, client: CoordinatorClient) -> None:
        self._client = client

    async def announce(self, server: ModelServer) -> None:
        """See `Registry`."""
        await self._client.announce(server)

    async def withdraw(self, server: ModelServer) -> None:
        """See `Registry`."""
        with contextlib.suppress(SilentError):
            await self._client.withdraw(server)


async def keep_announced(
    server: ModelServer,
    registry: Registry,
    transport: Transport,
    stop: asyncio.Event,
    note: Callable[[str], None],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Announce a server as long as it answers, until `stop` is set; `note` is told whenever that changes.

    Raises ConfigError where the registry refuses.
    """
    announcing = asyncio.create_task(_announce(server, registry, transport, note, sleep))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((announcing, stopping), return_when=asyncio.FIRST_COMPLETED)
        if announcing.done():
            announcing.result()
    finally:
        announcing.cancel()
        stopping.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SECONDS_TO_WITHDRAW):
            await registry.withdraw(server)


async def _announce(
    server: ModelServer,
    registry: Registry,
    transport: Transport,
    note: Callable[[str], None],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    """Announce it again and again, which may hang where a folder does."""
    said: str | None = None
    while True:
        if not await _answers(server.url, transport):
            sentence = f"{server.url} does not answer yet, or no longer; it is announced when it does"
        else:
            try:
                await registry.announce(server)
                sentence = f"{server.url} is announced as a server of {server.model}"
            except SilentError as error:
                sentence = f"the coordinator does not answer ({error}); {server.url} is announced when it does"
        if sentence != said:
            note(sentence)
            said = sentence
        await sleep(_SECONDS)


async def _answers(url: str, transport: Transport) -> bool:
    """Whether a server answers by its health page, or by its list of models where it has none."""
    address = EndpointAddress(url, url, None, _PROBE)
    headers: Mapping[str, str] = {"accept": "application/json"}
    try:
        status = (await transport.get(address.page("/health", above_v1=True), headers, _PROBE)).status
        if status == 404:
            status = (await transport.get(address.page("/models"), headers, _PROBE)).status
    except RetryableError:
        return False
    return status < 500
