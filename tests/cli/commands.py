"""The command line as a user runs it: a process of its own."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


async def clairgen(*arguments: str | Path, environment: dict[str, str] | None = None, shell_prefix: str = "") -> Done:
    """Run `clairgen` with these arguments; `shell_prefix` goes before it in a shell, such as a limit."""
    command = [sys.executable, "-m", "clairgen", *map(str, arguments)]
    if shell_prefix:
        command = ["sh", "-c", f'{shell_prefix}; exec "$@"', "sh", *command]
    variables = {**os.environ, "COLUMNS": "120", **(environment or {})}
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=variables
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:  # we are cancelled
            process.kill()
    return Done(process.returncode or 0, out.decode(), err.decode())
