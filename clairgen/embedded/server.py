"""The engine as a child process that runs exactly as long as the `async with` block that needs it."""

import asyncio
import contextlib
import importlib.util
import json
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Self

from clairgen.embedded.gguf import EmbeddedAddress, trained_context
from clairgen.errors import ConfigError, MissingExtraError
from clairgen.long_texts import usable_cores

MOST_CONTEXT = 4096
MOST_THREADS = 8
SMALL_MODEL_BYTES = 64 << 20
GRACE_SECONDS = 3.0


@contextlib.asynccontextmanager
async def serve(
    address: EmbeddedAddress, slots: int = 16, *, log: Path | None = None, start_timeout_seconds: float = 600.0
) -> AsyncIterator[str]:
    """Serve a model and yield the base URL, `http://127.0.0.1:PORT/v1`, once it answers.

    `slots` should be the client's concurrency, since further requests wait; the address's own `slots` overrides it. The engine's
    messages are appended to `log`, if one is given. Raises ConfigError, with llama.cpp's reason, if the model cannot be served,
    and MissingExtraError without the `local` extra.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise MissingExtraError("The embedded server", "local")
    command = _command(address, slots)
    with _opened(log) as messages:
        began_at = messages.seek(0, os.SEEK_END)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=messages, start_new_session=True
        )
        try:
            try:
                async with asyncio.timeout(start_timeout_seconds):
                    port = await _announced_port(process)
            except TimeoutError:
                raise ConfigError(
                    f"The model {address.path} was not loaded within {start_timeout_seconds:g} seconds; try a smaller one."
                ) from None
            if port is None:
                messages.seek(began_at)
                reason = _reason(messages.read().decode(errors="replace"))
                raise ConfigError(f"The model {address.path} cannot be served: {reason}")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            await _end(process)


class EmbeddedServers:
    """The engines of a run: one for each model file, started when first needed, ended with the `async with`."""

    def __init__(self, *, log: Path | None = None) -> None:
        self._log = log
        self._stack = contextlib.AsyncExitStack()
        self._starting = asyncio.Lock()
        self._served: dict[Path, tuple[EmbeddedAddress, str]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._served.clear()
        await self._stack.aclose()

    async def url_for(self, address: EmbeddedAddress, slots: int = 16) -> str:
        """The base URL of the engine that serves this file; roles that name the same file share it.

        The first call sets the slots, so give it the sum over the roles that will share the file. Raises
        ConfigError if the file is already served with other options, and what `serve` raises.
        """
        async with self._starting:
            if address.path not in self._served:
                url = await self._stack.enter_async_context(serve(address, slots, log=self._log))
                self._served[address.path] = (address, url)
            first, url = self._served[address.path]
            if first != address:
                raise ConfigError(f"Two endpoints name {address.path} with different options; give both the same ones.")
            return url


def _command(address: EmbeddedAddress, slots: int) -> list[str]:
    context = address.context or min(trained_context(address.path) or MOST_CONTEXT, MOST_CONTEXT)
    return [
        # -P: a user's file that is called xllamacpp.py must not be imported from the current folder.
        *(sys.executable, "-P", "-m", "clairgen.embedded.engine"),
        f"--model={address.path}",
        f"--context={context}",
        f"--slots={address.slots or slots}",
        f"--threads={address.threads or _threads(address.path)}",
    ]


def _threads(model: Path) -> int:
    """One thread for a small model, else the CPUs that this process may use, in a container often fewer than the machine has.

    llama.cpp's threads spin while they wait for each other: on two busy CPUs a second thread made a model of 4 MB five to
    ten times slower.
    """
    if model.stat().st_size < SMALL_MODEL_BYTES:
        return 1
    return min(usable_cores(), MOST_THREADS)


def _opened(log: Path | None) -> BinaryIO:
    """The file for the engine's messages; without a log a temporary one, so that a failed start can be explained."""
    if log is None:
        return tempfile.TemporaryFile()
    return log.open("a+b")


async def _announced_port(process: Process) -> int | None:
    """The port that the engine announces once the model is loaded; None when it ended before that."""
    assert process.stdout is not None  # noqa: S101 - stdout=PIPE above
    line = await process.stdout.readline()
    return int(json.loads(line)["port"]) if line else None


def _reason(messages: str) -> str:
    """llama.cpp's first line at level E, which is the most specific, else its last line of any level."""
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    if not lines:
        return "the engine said nothing."
    first_error = next((line.partition(" E ")[2] for line in lines if " E " in line), lines[-1])
    return first_error.partition("error loading model: ")[2] or first_error


async def _end(process: Process) -> None:
    """Terminate the engine; kill it after GRACE_SECONDS, or at once when this is cancelled meanwhile."""
    try:
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            process.terminate()
            async with asyncio.timeout(GRACE_SECONDS):
                await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
