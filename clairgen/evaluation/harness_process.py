"""A harness as a child process in an environment of its own: what it is called with, its log, and its end with ours."""

import asyncio
import contextlib
import os
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from clairgen.errors import ConfigError
from clairgen.inference.redaction import Redaction

GRACE_SECONDS: Final = 5.0
_LONGEST_WAITING: Final = 8192  # bytes of a line; a key is shorter
_MODULE_WITH_PARENT: Final = """
import os, runpy, sys, threading
def end_with_parent():
    while os.read(0, 1024): pass
    os._exit(1)
threading.Thread(target=end_with_parent, daemon=True).start()
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
_VERSION_OF: Final = """
import sys
from importlib.metadata import PackageNotFoundError, version
try: print(version(sys.argv[1]))
except PackageNotFoundError: pass
"""


async def installed_version(python: Path, package: str, environment: Mapping[str, str]) -> str | None:
    """The version of a package in another environment; None where it is not installed.

    Raises ConfigError where `python` cannot be run.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(python), "-c", _VERSION_OF, package),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            env=dict(environment),
        )
    except OSError as error:
        raise ConfigError(
            f"--python {python} cannot be run ({error.strerror}); name the python of an environment, such as .venv/bin/python"
        ) from error
    output, _ = await process.communicate()
    return output.decode(errors="replace").strip() or None


async def run_module(
    python: Path,
    module: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    redaction: Redaction,
    log: Path,
    stop: asyncio.Event,
) -> int | None:
    """Run a module of another environment to its end, and append what it prints to `log`, without keys.

    Returns its exit code; None if it was ended because `stop` was set. It ends with this process, whatever ends that.
    """
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-c", _MODULE_WITH_PARENT, module, *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
        env=dict(environment),
        start_new_session=True,  # Ctrl-C in the terminal is for us
    )
    copying = asyncio.create_task(_copy(process, log, redaction))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({copying, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not copying.done():
            return None
        await copying
        return await process.wait()
    finally:
        stopping.cancel()
        await _end(process)
        await copying


async def _copy(process: Process, log: Path, redaction: Redaction) -> None:
    """Whole lines are written, so that a key that arrives in two parts is recognised; a very long line in parts."""
    assert process.stdout is not None  # noqa: S101 - stdout=PIPE above
    with log.open("ab") as file:
        waiting = b""
        while chunk := await process.stdout.read(65536):
            waiting = redaction.body(waiting + chunk)
            whole = max(waiting.rfind(b"\n"), waiting.rfind(b"\r"), len(waiting) - _LONGEST_WAITING) + 1
            file.write(waiting[:whole])
            file.flush()
            waiting = waiting[whole:]
        file.write(waiting)


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        process.terminate()
        async with asyncio.timeout(GRACE_SECONDS):
            await process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)  # what it started as well
    await process.wait()
