"""Answers that take their time: the wall time against a greedy list schedule of the same latencies.

python -m tests.bench.latency

Lognormal latencies with a median of 2 s and sigma 0.6, 512 in flight a role. `asks` is one ask a task; `chains` are those of
CLAIR, whose second ask begins when the first is answered. Latencies go by model and task.
"""

import asyncio
import heapq
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from clairgen.pipeline.generate import generate
from tests.bench.harness import asker, config, folder, question, served, write_tasks
from tests.bench.shaped_server import latency_of

MEDIAN, SIGMA = 2.0, 0.6


def main(
    tasks: Annotated[int, typer.Option(help="Tasks.")] = 3000,
    in_flight: Annotated[int, typer.Option(help="Asks in flight a role.")] = 512,
) -> None:
    """Run single asks, then chains of two, from fresh run directories."""
    with served("--median", str(MEDIAN), "--sigma", str(SIGMA)) as server:
        for run, models in ((asks, ["m"]), (chains, ["target", "reviser"])):
            server.reset()
            ideal = schedule(tasks, in_flight, models)
            seconds = asyncio.run(run(tasks, in_flight, server.url))
            facts = server.facts()
            wire = facts["last"] - facts["first"]
            typer.echo(
                f"{run.__name__}: {wire:.2f} s on the wire, {wire / ideal:.3f} of the schedule's "
                f"{ideal:.2f} s; with all around it {seconds:.2f} s; most in flight {facts['most_in_flight']}"
            )


def schedule(tasks: int, width: int, models: Sequence[str]) -> float:
    """When the last answer comes if every place that is free takes at once what is ready first, a stage after the other."""
    ready = [(0.0, number) for number in range(tasks)]
    for model in models:
        free = [0.0] * width
        done: list[tuple[float, int]] = []
        for at, number in sorted(ready):
            end = max(at, free[0]) + latency_of(MEDIAN, SIGMA, model, number)
            heapq.heapreplace(free, end)
            done.append((end, number))
        ready = done
    return max(at for at, _ in ready)


async def asks(count: int, width: int, url: str) -> float:
    """One ask a task; seconds of the whole."""
    with folder() as place:
        start = time.monotonic()
        async with asker(place, url, concurrency=width) as ask, asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(ask("target", question(number)))
        return time.monotonic() - start


async def chains(count: int, width: int, url: str) -> float:
    """The whole of `generate` with the recipe of CLAIR; seconds."""
    with folder() as place:
        given = config("clair", write_tasks(place / "tasks.jsonl", count), url, concurrency=width)
        start = time.monotonic()
        summary = await generate(given, place / "run")
        assert summary.statuses["clair"] == {"made": count}
        return time.monotonic() - start


if __name__ == "__main__":
    typer.run(main)
