"""People's votes and edits in processes that are killed in the middle of the write: prints what came of each as JSON lines.

    python -m tests.store.killed_writes RUN PAIR

Each process is forked from this one and kills itself when SQLite begins a statement, or a moment after it has begun to commit.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from clairgen import api
from clairgen.store import RunDirectory, Vote, connection, store

COMMIT_DELAYS = (0.0, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002)
POINTS = [
    *(("vote", statement, 0.0) for statement in ("INSERT INTO votes", "never")),
    *(("edit", statement, 0.0) for statement in ("INSERT INTO pairs", "INSERT INTO revisions", "never")),
    *((what, "COMMIT", delay) for what in ("vote", "edit") for delay in COMMIT_DELAYS),
]


def kill_at(statement: str, delay: float) -> None:
    """From now on, kill this process when a short write begins this statement, or so many seconds later."""
    opened = connection.open_for_short_write

    def kill() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    def trace(sql: str) -> None:
        if sql.startswith(statement):
            kill() if not delay else threading.Thread(target=kill, daemon=True).start()

    async def watched(path: Path) -> Any:  # noqa: ANN401 - a connection
        found = await opened(path)
        await found.set_trace_callback(trace)
        return found

    store.open_for_short_write = watched  # type: ignore[attr-defined]


def written_in_a_process(run: Path, pair: str, what: str, statement: str, delay: float, who: str) -> bool:
    """Whether a process that writes had its vote or edit acknowledged before it was killed."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        kill_at(statement, delay)
        work = api.cast_vote(run, pair, Vote.KEEP, who) if what == "vote" else api.revise(run, pair, f"of {who}", who)
        asyncio.run(work)
        os.write(writes, b"1")
        os._exit(0)
    os.close(writes)
    os.waitpid(child, 0)
    with os.fdopen(reads, "rb") as said:
        return said.read() == b"1"


def main(run: Path, pair: str) -> None:
    """Go through all points."""
    RunDirectory(run).require()
    for number, (what, statement, delay) in enumerate(POINTS):
        who = f"{what}-{number}"
        acknowledged = written_in_a_process(run, pair, what, statement, delay, who)
        print(json.dumps({"what": what, "at": statement, "who": who, "acknowledged": acknowledged}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
