"""A model server that the user's command starts, for as long as a block needs it.

It ends with this process, whatever ends that: a killed command leaves no server behind that would hold the GPU.
"""

import contextlib
import os
import shlex
import socket
import string
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

from clairgen.child_processes import watched_command
from clairgen.errors import ConfigError
from clairgen.patterns import lazy_pattern
from clairgen.reporting.sanitize import plain_line

LOOPBACK: Final = "127.0.0.1"
_PLACEHOLDERS: Final = ("model", "port", "name")
_GRACE_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.5
_LOG_TAIL_BYTES: Final = 1 << 17
_EXCEPTION: Final = lazy_pattern(
    r"(?:^|[\])] )(\w*(?:Error|Exception): .{1,300})"
)  # after what a logger writes before it


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
    port = free_port()
    words = [word.format(model=model, port=port, name=name) for word in shlex.split(command)]
    with running_server(words, port, "the command of --serve", log, start_timeout_seconds=start_timeout_seconds) as url:
        yield url


@contextlib.contextmanager
def running_server(
    words: Sequence[str],
    port: int,
    called: str,
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    start_timeout_seconds: float = 1800.0,
    host: str = LOOPBACK,
) -> Iterator[str]:
    """Start the program and arguments `words`, which serve on `port` of `host`, an address of this machine; see `served_by`.

    Errors name the server as it is `called`. `environment` is that of the server, ours if left out.
    """
    with log.open("ab") as output:
        began_at = output.tell()
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            watched_command(words, _GRACE_SECONDS),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,  # Ctrl-C in the terminal is for us, who finish what is in flight
        )
        try:
            url = f"http://{host}:{port}/v1"
            _wait(process, url, called, log, began_at, start_timeout_seconds)
            yield url
        finally:
            assert process.stdin is not None  # noqa: S101 - stdin=PIPE above
            process.stdin.close()
            process.wait()


@contextlib.contextmanager
def running_vllm(words: Sequence[str], port: int, log: Path, *, host: str = LOOPBACK) -> Iterator[str]:
    """The same of a vLLM, which asks nobody for a key and reports to nobody."""
    # A key in VLLM_API_KEY would be asked for, and nobody gives it.
    environment = {name: value for name, value in os.environ.items() if name != "VLLM_API_KEY"}
    environment |= {"VLLM_NO_USAGE_STATS": "1", "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
    with running_server(words, port, "vLLM", log, environment=environment, host=host) as url:
        yield url


def vllm_words(options: str) -> tuple[str, ...]:
    """Further arguments of vLLM as a user gave them. Raises ConfigError."""
    try:
        return tuple(shlex.split(options))
    except ValueError as error:
        raise ConfigError(f"--vllm-options {options!r} cannot be read as arguments: {error}") from error


def free_port(host: str = LOOPBACK) -> int:
    """A port of an address of this machine that was free a moment ago."""
    with socket.socket() as free:
        free.bind((host, 0))
        port: int = free.getsockname()[1]
        return port


def _wait(
    process: "subprocess.Popen[bytes]", url: str, called: str, log: Path, began_at: int, timeout_seconds: float
) -> None:
    """Wait until the server lists its models."""
    until = time.monotonic() + timeout_seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            said = _reason(log, began_at)
            raise ConfigError(f"{called} ended before it served the model: {said} ({log} has all that it printed)")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/models", timeout=5).is_success:
                return
        time.sleep(_POLL_SECONDS)
    raise ConfigError(f"{called} did not answer at {url} within {timeout_seconds:g} seconds; see {log}")


def _reason(log: Path, began_at: int) -> str:
    """The first exception that was printed after the position in bytes at which the server began, else the last line.

    What comes after an exception is often only what the end of other processes leads to.
    """
    with log.open("rb") as content:
        content.seek(max(began_at, log.stat().st_size - _LOG_TAIL_BYTES))
        lines = [line.strip() for line in content.read().decode(errors="replace").split("\n") if line.strip()]
    exception = next(filter(None, map(_EXCEPTION.search, lines)), None)
    return plain_line(exception[1] if exception else lines[-1] if lines else "it printed nothing")
