"""Several processes whose people take pairs from one queue at the same time, and vote; prints what each was handed as JSON lines.

    python -m tests.service.voting_processes RUN QUEUE PROCESSES

Each process is forked from this one. A person is in all of them, and each process has one of its own besides.
"""

import asyncio
import json
import os
import sys

from clairgen import api
from clairgen.store import Vote


async def voting(run: str, queue: str, voter: str) -> None:
    """Take pairs and vote on them until there are none left."""
    while (pair := await api.next_pair(run, queue, voter)) is not None:
        cast = await api.cast_vote(run, pair, Vote.KEEP, voter, check=api.voting_in(queue, voter))
        os.write(1, f"{json.dumps({'voter': voter, 'pair': pair, 'is_new': cast.is_new})}\n".encode())


async def two_voting(run: str, queue: str, number: int) -> None:
    """The person of all processes, and that of this one."""
    await asyncio.gather(voting(run, queue, "everywhere"), voting(run, queue, f"of process {number}"))


if __name__ == "__main__":
    for number in range(int(sys.argv[3])):
        if os.fork() == 0:
            asyncio.run(two_voting(sys.argv[1], sys.argv[2], number))
            os._exit(0)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
