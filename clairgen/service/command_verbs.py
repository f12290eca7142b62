"""The verbs that ask no model, as jobs: the command line itself, in a process that ends with this one."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from typing import Final

from clairgen.child_processes import KILL, TERMINATE, watched_command
from clairgen.errors import ClairgenError, DrainedError
from clairgen.service.job_output import JobOutput
from clairgen.service.job_worker import Outcome, Work

_FINDINGS: Final = {"lint": 1}
"""The exit code of a command that was done and has found something."""
_CHUNK_BYTES: Final = 65_536
_LONGEST_SENTENCE: Final = 1000


class CommandError(ClairgenError):
    """A command that ended with another exit code than that of its success."""


async def command_job(work: Work) -> Outcome:
    """Run the command of a request to its end; once the job is to stop, it gets SIGTERM and may finish what it is at."""
    ready = await asyncio.to_thread(work.request.prepared, work.policy)
    words = [sys.executable, "-P", "-m", "clairgen", *ready.words(work.policy.root, work.folder)]
    await asyncio.to_thread(work.folder.files.mkdir, parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *watched_command(words, work.drain_seconds),
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
        start_new_session=True,  # Ctrl-C in the terminal is for the service
    )
    stopping = asyncio.create_task(_terminate_when(work.stop, process), name="stop the command")
    try:
        last = await _copied(process, work.output)
        code = await process.wait()
    finally:
        stopping.cancel()
        await _end(process)
    sentence = last or f"exit code {code}"
    if code in (0, _FINDINGS.get(work.request.verb)):
        return Outcome(sentence, None, some_failed=code != 0)
    stopped_by = DrainedError(sentence) if work.stop.is_set() else CommandError(sentence)
    return Outcome(sentence, stopped_by, code=code)


async def _terminate_when(stop: asyncio.Event, process: Process) -> None:
    await stop.wait()
    _send(process, TERMINATE)


async def _copied(process: Process, output: JobOutput) -> str:
    """Copy what the command prints to the output, until it ends; its last line."""
    assert process.stdout is not None  # noqa: S101 - stdout=PIPE above
    tail = b""
    while chunk := await process.stdout.read(_CHUNK_BYTES):
        output.write(chunk)
        tail = (tail + chunk)[-_CHUNK_BYTES:]
    lines = [line for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].strip().removeprefix("Error: ")[:_LONGEST_SENTENCE] if lines else ""


async def _end(process: Process) -> None:
    """Kill what still runs."""
    if process.returncode is None:
        _send(process, KILL)
        await process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _send(process: Process, word: bytes) -> None:
    if process.stdin is not None:
        with contextlib.suppress(ConnectionError, RuntimeError):  # it has ended
            process.stdin.write(word)
