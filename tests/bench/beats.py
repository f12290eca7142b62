"""What reports of members cost a coordinator: `python -m tests.bench.beats`.

Members of one group report to a `clairgen serve` as fast as it answers. Printed is its processor time for each report, and how
many members that makes for one core at the usual pace.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from clairgen.coordination.coordinator_client import CoordinatorAddress, CoordinatorClient
from clairgen.coordination.wire import BEAT_SECONDS, Beat, EndpointLimit, EndpointUse, Join, MoneyUse
from clairgen.inference.runtime import open_transport
from clairgen.iteration.served_command import free_port
from tests.durability.coordinator import coordinator, ended
from tests.other_processes import processor_seconds

PAID = [EndpointLimit(endpoint=f"model {n}", requests_per_minute=60_000, tokens_per_minute=1e8) for n in range(2)]

_AT_ONCE = 8


async def member(client: CoordinatorClient, name: str, reports: int, every: int, turn: asyncio.Semaphore) -> int:
    """Report so often, and ask for more money in one of `every` reports; how many bytes were sent."""
    spent, allotted, lease, sent = 0, 0, 0, 0
    for sequence in range(1, reports + 1):
        spent += 1000
        uses = tuple(EndpointUse(endpoint=one.endpoint, sent=50, tokens=50_000, waiting=1) for one in PAID)
        wanted = spent + 10**6 if sequence % every == 0 else allotted
        money = MoneyUse(spent=spent, allotted=max(allotted, spent), needed=spent, wanted=max(wanted, spent))
        beat = Beat(session=name, run_id=name, sequence=sequence, lease=lease, endpoints=uses, money=money)
        async with turn:
            granted = await client.beat(beat)
        assert granted.money is not None
        allotted, lease = granted.money.allotted, granted.lease
        sent += len(beat.model_dump_json(exclude_none=True))
    return sent


async def measured(members: int, reports: int, every: int) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        port, transport = free_port(), open_transport()
        serving = await coordinator(Path(folder), port)
        async with ended([serving]):
            client = CoordinatorClient(transport, CoordinatorAddress(f"http://127.0.0.1:{port}"), "g")
            for n in range(members):
                join = Join(
                    session=f"m{n}", run_id=f"m{n}", run="run", location="p", spent=0, budget=10**15, limits=tuple(PAID)
                )
                await client.join(join)
            before = processor_seconds(serving.pid)
            turn = asyncio.Semaphore(_AT_ONCE)
            sent = await asyncio.gather(*[member(client, f"m{n}", reports, every, turn) for n in range(members)])
            used = processor_seconds(serving.pid) - before
        await transport.close()
    each = used / (members * reports)
    print(  # noqa: T201 - a program
        f"{members} members: {1000 * each:.2f} ms of processor time for a report of {sum(sent) // (members * reports)} bytes; "
        f"at one in {BEAT_SECONDS:g} s a core serves {BEAT_SECONDS / each:,.0f} members"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("--members", 50), ("--reports", 40), ("--every", 10)):
        parser.add_argument(name, type=int, default=default)
    asyncio.run(measured(**vars(parser.parse_args())))
