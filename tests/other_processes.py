"""Other processes, as tests see them: whether they run, what they have used, and what they do some time."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended may be there until whoever inherited it looks."""
    try:
        return _facts(pid)[0] != "Z"
    except OSError:
        return False


def has_ended(pid: int, within_seconds: float) -> bool:
    """Whether a process of another parent ends in time."""
    until = time.monotonic() + within_seconds
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_running(pid)


def processor_seconds(pid: int) -> float:
    """What a process and its threads have used so far."""
    facts = _facts(pid)
    return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")


async def eventually(what: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(60):
        while not what():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)


def _facts(pid: int) -> list[str]:
    """What Linux says of a process, after its name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
