"""The command line in this process (`clairgen`), in one of its own (`process`), and from the start of Python (`interpreter`)."""

import asyncio
import gc
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from typer.testing import CliRunner

from clairgen.cli.app import main
from tests.cli.forked import forked

COLUMNS = {"COLUMNS": "120"}


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def pairs_in(out: str, recipe: str) -> dict[str, int]:
    """The row of a recipe in the table of pairs that a command printed."""
    titles = ("made", "kept", "dropped", "failed", "to be made")
    [figures] = re.findall(
        rf"^{re.escape(recipe)} +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+)$", out, re.MULTILINE
    )
    return {title: int(figure.replace(",", "")) for title, figure in zip(titles, figures, strict=True)}


async def clairgen(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Done:
    """Run the command line in a thread of this process, so that this loop goes on serving it; one command at a time."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Done] = loop.create_future()

    def work() -> None:
        try:
            done = _called([str(argument) for argument in arguments], {**COLUMNS, **(environment or {})})
        except BaseException as error:  # noqa: BLE001 - raised again where the command was called
            _tell(loop, ended.set_exception, error)
        else:
            _tell(loop, ended.set_result, done)

    threading.Thread(target=work, daemon=True).start()  # a command that hangs must not keep pytest from ending
    return await ended


def _called(arguments: list[str], environment: dict[str, str]) -> Done:
    with (
        CliRunner().isolation(env=environment) as (out, err, _),
        patch.object(sys, "argv", ["clairgen", *arguments]),
        _own_collector(),
    ):
        code = 0
        try:
            main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
        return Done(code, out.getvalue().decode(), err.getvalue().decode())


@contextmanager
def _own_collector() -> Iterator[None]:
    """Undo what a command sets for the garbage collector of its process."""
    threshold = gc.get_threshold()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)


def _tell(loop: asyncio.AbstractEventLoop, call: Any, value: object) -> None:  # noqa: ANN401 - a setter of a future
    if not loop.is_closed():  # else the test was ended before its command
        loop.call_soon_threadsafe(call, value)


async def process(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, out: int | None = None, err: int | None = None
) -> Done:
    """Run `clairgen` in a process of its own, which is forked (see there); `out` and `err` are descriptors to write to."""
    async with forked(*arguments, environment={**COLUMNS, **(environment or {})}, out=out, err=err) as running:
        said = await running.communicate()
        return Done(await running.wait(), *said)


async def interpreter(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, shell_prefix: str = ""
) -> Done:
    """Run `python -m clairgen` as a user does; `shell_prefix` stands before it in a shell, such as a limit."""
    command = [sys.executable, "-m", "clairgen", *map(str, arguments)]
    if shell_prefix:
        command = ["sh", "-c", f'{shell_prefix}; exec "$@"', "sh", *command]
    variables = {**os.environ, **COLUMNS, **(environment or {})}
    running = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=variables
    )
    try:
        out, err = await running.communicate()
    finally:
        if running.returncode is None:  # we are cancelled
            running.kill()
    return Done(running.returncode or 0, out.decode(), err.decode())
