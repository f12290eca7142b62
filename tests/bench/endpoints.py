"""Three endpoints of one role: one fast, one slow, one that is killed by kill -9 and comes back; nothing may be lost.

python -m tests.bench.endpoints

The ideal is what the running ones can answer: slots over latency, for as long as each was up.
"""

import asyncio
import time
from contextlib import ExitStack
from typing import Annotated

import typer

from tests.bench.harness import completion_client, folder, question, served

CONCURRENCY = 32
FAST, SLOW = 0.2, 2.0


def main(
    requests: Annotated[int, typer.Option(help="Requests.")] = 8000,
    dies_after: Annotated[float, typer.Option(help="Seconds until one dies.")] = 8.0,
    dead_for: Annotated[float, typer.Option(help="Seconds until it is back.")] = 6.0,
) -> None:
    """Send all requests, and compare the time with the ideal."""
    with served("--median", str(FAST)) as fast, served("--median", str(SLOW)) as slow:
        seconds, up_seconds = asyncio.run(run(requests, fast.url, slow.url, dies_after, dead_for))
        capacity = CONCURRENCY * (seconds / FAST + seconds / SLOW + up_seconds / FAST)
        typer.echo(
            f"{requests} requests in {seconds:.1f} s: {requests / capacity:.1%} of what the running ones could answer "
            f"(the fast one answered {fast.facts()['answered']}, the slow one {slow.facts()['answered']})"
        )


async def run(requests: int, fast: str, slow: str, dies_after: float, dead_for: float) -> tuple[float, float]:
    """All requests: seconds of the whole and seconds that the killed endpoint was up."""
    numbers = iter(range(requests))
    with ExitStack() as stack:
        killed = stack.enter_context(served("--median", str(FAST)))
        async with completion_client(
            stack.enter_context(folder()), fast, slow, killed.url, concurrency=CONCURRENCY
        ) as ask:

            async def worker() -> None:
                for number in numbers:
                    assert (await ask("target", question(number))).text

            start = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for _ in range(5 * CONCURRENCY):
                    group.create_task(worker())
                await asyncio.sleep(dies_after)
                killed.kill()
                await asyncio.sleep(dead_for)
                stack.enter_context(served("--median", str(FAST), "--port", str(killed.port)))
            seconds = time.monotonic() - start
    return seconds, seconds - dead_for


if __name__ == "__main__":
    typer.run(main)
