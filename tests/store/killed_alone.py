"""Processes that write a run on a shared file system and are killed at any moment: what each had acknowledged, as JSON lines.

    python -m tests.store.killed_alone RUN MOUNTS KILLS

`MOUNTS` says what /proc/mounts would. Each process is forked from this one and writes keys into the run's metadata.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from clairgen.store import RunDirectory, file_systems, writing

SECONDS = (0.0, 0.06)
"""A process is killed so many seconds after its first commit."""


async def write(run: RunDirectory, name: str, acknowledged: int) -> None:
    """Commit one key after the other and write each to a pipe, until killed."""
    with run.locked():
        async with writing(run) as store:
            for number in range(1_000_000):
                await store.metadata.put(f"{name}-{number}", "x" * 2000)
                os.write(acknowledged, f"{number}\n".encode())


def killed(run: RunDirectory, name: str, rng: random.Random) -> int:
    """How many keys a process had acknowledged before it was killed."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        asyncio.run(write(run, name, writes))
    os.close(writes)
    with os.fdopen(reads, "rb") as said:
        first = said.readline()
        time.sleep(rng.uniform(*SECONDS))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return (first + said.read()).count(b"\n")


def main(run: Path, mounts: Path, kills: int) -> None:
    """Kill so many processes, one after the other."""
    file_systems.MOUNTS = mounts  # type: ignore[misc]
    rng = random.Random(1)
    for number in range(kills):
        count = killed(RunDirectory(run), f"process{number}", rng)
        left = (run / "run.db-wal").exists()
        print(json.dumps({"name": f"process{number}", "keys": count, "left": left}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
