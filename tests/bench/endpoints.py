"""Three endpoints of one role: one fine, one slow, one that dies by kill -9 and comes back; nothing may be lost.

python -m tests.bench.endpoints

The ideal is what those that live can answer: places over latency, for as long as each lived.
"""

import asyncio
import time
from contextlib import ExitStack
from typing import Annotated

import typer

from tests.bench.harness import asker, folder, question, served

WIDTH = 32
FINE, SLOW = 0.2, 2.0


def main(
    asks: Annotated[int, typer.Option(help="Asks.")] = 8000,
    dies_after: Annotated[float, typer.Option(help="Seconds until one dies.")] = 8.0,
    dead_for: Annotated[float, typer.Option(help="Seconds until it is back.")] = 6.0,
) -> None:
    """Ask them all, and compare the time with the ideal."""
    with served("--median", str(FINE)) as fine, served("--median", str(SLOW)) as slow:
        seconds, alive = asyncio.run(run(asks, fine.url, slow.url, dies_after, dead_for))
        capacity = WIDTH * (seconds / FINE + seconds / SLOW + alive / FINE)
        typer.echo(
            f"{asks} asks in {seconds:.1f} s: {asks / capacity:.1%} of what the living ones could answer "
            f"(the fine one answered {fine.facts()['answered']}, the slow one {slow.facts()['answered']})"
        )


async def run(asks: int, fine: str, slow: str, dies_after: float, dead_for: float) -> tuple[float, float]:
    """All asks; seconds of the whole and seconds that the mortal endpoint lived."""
    numbers = iter(range(asks))
    with ExitStack() as stack:
        mortal = stack.enter_context(served("--median", str(FINE)))
        async with asker(stack.enter_context(folder()), fine, slow, mortal.url, concurrency=WIDTH) as ask:

            async def chain() -> None:
                for number in numbers:
                    assert (await ask("target", question(number))).text

            start = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for _ in range(5 * WIDTH):
                    group.create_task(chain())
                await asyncio.sleep(dies_after)
                mortal.kill()
                await asyncio.sleep(dead_for)
                stack.enter_context(served("--median", str(FINE), "--port", str(mortal.port)))
            seconds = time.monotonic() - start
    return seconds, seconds - dead_for


if __name__ == "__main__":
    typer.run(main)
