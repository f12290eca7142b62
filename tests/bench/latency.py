"""Answers that take their time: the wall time against a greedy list schedule of the same latencies.

python -m tests.bench.latency

Lognormal latencies with a median of 2 s and sigma 0.6, 512 in flight a role. `requests` is one request a task;
`pairs` are those of CLAIR, whose second request starts when the first is answered. Latencies go by model and task.
"""

import asyncio
import heapq
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from clairgen.pipeline.generate import generate
from tests.bench.harness import completion_client, config, folder, question, served, write_tasks
from tests.bench.shaped_server import latency_of

MEDIAN, SIGMA = 2.0, 0.6


def main(
    tasks: Annotated[int, typer.Option(help="Tasks.")] = 3000,
    in_flight: Annotated[int, typer.Option(help="Requests in flight a role.")] = 512,
) -> None:
    """Run single requests, then pairs of two, from fresh run directories."""
    with served("--median", str(MEDIAN), "--sigma", str(SIGMA)) as server:
        for run, models in ((requests, ["target"]), (pairs, ["target", "reviser"])):
            server.reset()
            ideal = schedule(tasks, in_flight, models)
            seconds = asyncio.run(run(tasks, in_flight, server.url))
            facts = server.facts()
            wire = facts["last"] - facts["first"]
            typer.echo(
                f"{run.__name__}: {wire:.2f} s on the network, {wire / ideal:.3f} of the schedule's "
                f"{ideal:.2f} s; with all around it {seconds:.2f} s; most in flight {facts['most_in_flight']}"
            )


def schedule(tasks: int, concurrency: int, models: Sequence[str]) -> float:
    """When the last answer arrives if every free slot takes at once what is ready first, one stage after the other."""
    ready = [(0.0, number) for number in range(tasks)]
    for model in models:
        free = [0.0] * concurrency
        done: list[tuple[float, int]] = []
        for at, number in sorted(ready):
            end = max(at, free[0]) + latency_of(MEDIAN, SIGMA, model, number)
            heapq.heapreplace(free, end)
            done.append((end, number))
        ready = done
    return max(at for at, _ in ready)


async def requests(count: int, concurrency: int, url: str) -> float:
    """One request a task; seconds of the whole."""
    with folder() as place:
        start = time.monotonic()
        async with completion_client(place, url, concurrency=concurrency) as ask, asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(ask("target", question(number)))
        return time.monotonic() - start


async def pairs(count: int, concurrency: int, url: str) -> float:
    """The whole of `generate` with the recipe of CLAIR; seconds."""
    with folder() as place:
        given = config("clair", write_tasks(place / "tasks.jsonl", count), url, concurrency=concurrency)
        start = time.monotonic()
        summary = await generate(given, place / "run")
        assert summary.statuses["clair"] == {"made": count}
        return time.monotonic() - start


if __name__ == "__main__":
    typer.run(main)
