"""Processes of clairgen that need not import it: each is forked from a server that has imported every command.

Such a process is as good as one that a user starts in all that tests look at: its descriptors, environment, signals and exit code
are its own, it can be killed, and it ends as Python ends. How Python starts is tested with `tests.cli.commands.interpreter`.
"""

import asyncio
import atexit
import contextlib
import gc
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, cast

from clairgen.cli.app import main
from clairgen.cli.commands import LEAVES, load_command


class Forked:
    """A running clairgen; what it writes goes to two files, unless to descriptors of the test's own."""

    def __init__(self, pid: int, status: asyncio.StreamReader, *written: BinaryIO) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status
        self._written = written

    async def wait(self) -> int:
        """The exit code, negative for a signal."""
        if self.returncode is None:
            self.returncode = int(await self._status.readline())
        return self.returncode

    async def communicate(self) -> tuple[str, str]:
        """What it wrote to the two files, when it has ended."""
        await self.wait()
        for file in self._written:
            file.seek(0)
        out, err = (file.read().decode() for file in self._written)
        return out, err

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing happens to a process that has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


@asynccontextmanager
async def forked(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, out: int | None = None, err: int | None = None
) -> AsyncIterator[Forked]:
    """A clairgen without input, killed when the block is left before its end; `environment` is added to that of the test."""
    order = {
        "arguments": [str(argument) for argument in arguments],
        "environment": {**os.environ, **(environment or {})},
        "folder": str(Path.cwd()),
    }
    here, there = socket.socketpair()
    with (
        tempfile.TemporaryFile() as nothing,
        tempfile.TemporaryFile() as out_file,
        tempfile.TemporaryFile() as err_file,
    ):
        given = out_file.fileno() if out is None else out, err_file.fileno() if err is None else err
        with there:
            socket.send_fds(_server.connection(), [b"."], [there.fileno(), nothing.fileno(), *given])
        status, writer = await asyncio.open_connection(sock=here)
        writer.write(f"{json.dumps(order)}\n".encode())
        running = Forked(int(await status.readline()), status, out_file, err_file)
        try:
            yield running
        finally:
            if running.returncode is None:
                running.send_signal(signal.SIGKILL)
                await running.wait()
            writer.close()


class _Server:
    """The process that forks, started with the first of them."""

    def __init__(self) -> None:
        self._running: tuple[socket.socket, subprocess.Popen[bytes]] | None = None

    def connection(self) -> socket.socket:
        if self._running is None:
            here, there = socket.socketpair()
            command = [sys.executable, "-m", "tests.cli.forked", str(there.fileno())]
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
            with there:
                process = subprocess.Popen(
                    command,
                    env=environment,
                    pass_fds=[there.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            self._running = here, process
            atexit.register(self.end)
        return self._running[0]

    def end(self) -> None:
        """Wait for its end, so that its processor time is counted."""
        if self._running is not None:
            connection, process = self._running
            connection.close()
            process.wait()
            self._running = None


_server = _Server()
end_server = _server.end


def _serve(server: socket.socket) -> None:
    """For each clairgen, fork a process that forks it and reports how it ended."""
    import openai.resources  # noqa: F401 - so that no child takes a second for it

    for name in LEAVES:
        with contextlib.suppress(ImportError):  # of an extra
            load_command(name)
    gc.freeze()
    while (received := socket.recv_fds(server, 1, 4))[0]:
        if os.fork() == 0:
            server.close()
            _watch(*received[1])
        for descriptor in received[1]:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    with contextlib.suppress(ChildProcessError):
        while os.wait():
            pass


def _watch(connection: int, *streams: int) -> None:
    with os.fdopen(connection, "r+b", buffering=0) as answers:
        order = json.loads(answers.readline())
        if child := os.fork():
            answers.write(f"{child}\n".encode())
            answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
            os._exit(0)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    _become(**order)


def _become(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if sys.platform == "darwin":  # its libraries do not survive a fork
        os.execv(sys.executable, [sys.executable, "-m", "clairgen", *arguments])  # noqa: S606 - no shell is wanted
    if encoding := environment.get("PYTHONIOENCODING"):  # Python has read it when it starts
        cast("io.TextIOWrapper", sys.stdout).reconfigure(encoding=encoding)
    sys.argv = ["clairgen", *arguments]
    main()
    sys.exit()


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
