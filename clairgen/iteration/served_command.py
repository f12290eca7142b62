"""A model server that the user's command starts, for as long as a block needs it; run as a module this is the server's parent.

The command is the child of a small process that ends it once our standard input to it ends, which our death by any cause does as
well: a killed command leaves no server behind that would hold the GPU.
"""

import contextlib
import os
import shlex
import signal
import socket
import string
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx

from clairgen.errors import ConfigError
from clairgen.reporting.sanitize import plain_line

_PLACEHOLDERS: Final = ("model", "port", "name")
_GRACE_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.5
_LOG_TAIL_BYTES: Final = 4000


def check_command(command: str) -> None:
    """Raise ConfigError for a command that does not say where the model and the port go, or has another placeholder."""
    try:
        named = {
            name
            for word in shlex.split(command)
            for _, name, _, _ in string.Formatter().parse(word)
            if name is not None
        }
    except ValueError as error:
        raise ConfigError(f"--serve {command!r} cannot be read as a command: {error}") from error
    if unknown := sorted(named - set(_PLACEHOLDERS)):
        raise ConfigError(
            f"--serve has {{{unknown[0]}}}; it may have {{model}}, {{port}} and {{name}}, and a brace is written twice"
        )
    for name in ("model", "port"):
        if name not in named:
            raise ConfigError(
                f"--serve does not say where the {name} goes; write {{{name}}} there, as in: vllm serve {{model}} "
                f"--port {{port}} --served-model-name {{name}}"
            )


@contextlib.contextmanager
def served_by(
    command: str, *, model: str, name: str, log: Path, start_timeout_seconds: float = 1800.0
) -> Iterator[str]:
    """Start the command and give the base URL, `http://127.0.0.1:PORT/v1`, once it lists its models; end it with the block.

    `{model}`, `{port}` and `{name}` in it are replaced. What it prints is appended to `log`. Raises ConfigError if it ends, or
    does not answer in time.
    """
    check_command(command)
    port = _free_port()
    words = [word.format(model=model, port=port, name=name) for word in shlex.split(command)]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            [sys.executable, "-P", "-m", "clairgen.iteration.served_command", *words],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C in the terminal is for us, who finish what is in flight
        )
        try:
            url = f"http://127.0.0.1:{port}/v1"
            _wait(process, url, log, start_timeout_seconds)
            yield url
        finally:
            assert process.stdin is not None  # noqa: S101 - stdin=PIPE above
            process.stdin.close()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path, timeout_seconds: float) -> None:
    until = time.monotonic() + timeout_seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise ConfigError(f"the command of --serve ended before it served the model: {_last_line(log)}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/models", timeout=5).is_success:
                return
        time.sleep(_POLL_SECONDS)
    raise ConfigError(f"the command of --serve did not answer at {url} within {timeout_seconds:g} seconds; see {log}")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _last_line(log: Path) -> str:
    with log.open("rb") as content:
        content.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        lines = content.read().decode(errors="replace").split("\n")
    return next((plain_line(line.strip()) for line in reversed(lines) if line.strip()), "it printed nothing")


def main() -> None:
    """Run the command of the arguments until it ends, or standard input does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    except OSError as error:
        sys.exit(f"{sys.argv[1]} cannot be started: {error.strerror}")
    is_ending = threading.Event()
    ending = threading.Thread(target=_end_with_parent, args=(process, is_ending), daemon=True)
    ending.start()
    code = process.wait()
    if is_ending.is_set():
        ending.join()
    sys.exit(code)


def _end_with_parent(process: "subprocess.Popen[bytes]", is_ending: threading.Event) -> None:
    """Wait until standard input ends, then end the command with all its processes."""
    while os.read(0, 1024):
        pass
    is_ending.set()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)


if __name__ == "__main__":
    main()
