"""`clairgen serve` with 4 jobs that generate and 50 readers: how much the readers slow the jobs, and how long they wait.

python -m tests.bench.serve_jobs

The jobs go on all the time, against a server with a latency; windows without readers, with readers, and with readers and the
web process at a lower priority take turns, in another order each round. Answers are counted by the server, processor time is that
of the worker. Readers and server run on the same machine, so wall times say more about it than processor times do.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Final

import httpx
import typer

from tests.bench.harness import Server, config_text, folder, served, write_tasks
from tests.other_processes import processor_seconds

QUIET, READ, LOWERED = "no readers", "readers", "readers, web process at nice 10"
TOKEN: Final = "b" * 64
HEADERS: Final = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(slots=True)
class Window:
    """What happened in one window: answers that the server gave, processor seconds, and waits of readers in seconds by page."""

    seconds: float = 0.0
    answers: int = 0
    worker: float = 0.0
    service: float = 0.0
    waits: dict[str, list[float]] = field(default_factory=dict)


def main(
    jobs: Annotated[int, typer.Option(help="Jobs that run at once.")] = 4,
    readers: Annotated[int, typer.Option(help="Readers at once.")] = 50,
    pause: Annotated[float, typer.Option(help="Seconds that a reader looks at a page.")] = 2.0,
    rounds: Annotated[int, typer.Option(help="Rounds, each with one window of every kind.")] = 6,
    seconds: Annotated[float, typer.Option(help="Seconds of a window.")] = 10.0,
    latency: Annotated[float, typer.Option(help="Median seconds of an answer.")] = 1.0,
    concurrency: Annotated[int, typer.Option(help="Requests at once of each model, all jobs together.")] = 64,
) -> None:
    """Measure and print a table."""
    if sys.platform != "linux":
        raise typer.BadParameter("it reads processor times from /proc")
    with served("--median", str(latency), "--sigma", "0.3") as server, folder() as place:
        windows = asyncio.run(measured(server, place, jobs, readers, pause, rounds, seconds, concurrency))
    print_table(windows)


async def measured(
    server: Server, place: Path, jobs: int, readers: int, pause: float, rounds: int, seconds: float, concurrency: int
) -> dict[str, list[Window]]:
    """All windows by kind, the n-th of each from the n-th round."""
    found: dict[str, list[Window]] = {QUIET: [], READ: [], LOWERED: []}
    async with started(place, server.url, jobs) as (service, client):
        for number in range(jobs):
            tasks = write_tasks(place / f"{number}.jsonl", 20_000)
            text = config_text("clair", tasks, server.url, concurrency=concurrency)
            job = {"verb": "generate", "run": f"run-{number}", "configuration": text}
            (await client.post("/api/jobs", json=job)).raise_for_status()
        for _ in range(240):
            if server.facts().get("answered", 0) >= 100 * jobs:
                break
            await asyncio.sleep(0.5)
        async with reading(client, jobs, readers, pause, Window()):
            await asyncio.sleep(8 * pause)  # until every page was shown once
        for number in range(rounds):
            for kind in random.Random(number).sample(list(found), len(found)):
                set_nice(service.pid, 10 if kind == LOWERED else 0)
                window = Window()
                async with reading(client, jobs, 0 if kind == QUIET else readers, pause, window):
                    await asyncio.sleep(2)  # until it is as it stays
                    window.waits.clear()
                    await watch(server, service.pid, seconds, window)
                found[kind].append(window)
        set_nice(service.pid, 0)
        await report_problems(client)
    return found


@contextlib.asynccontextmanager
async def started(place: Path, url: str, jobs: int) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """A running service without limits for its readers, and a client; it is killed in the end."""
    many = [f"--{name}=10000" for name in ("requests-per-minute", "requests-at-once", "streams")]
    many[0] = "--requests-per-minute=1000000"
    command = [sys.executable, "-m", "clairgen", "serve", str(place), "--port=0", f"--allow-endpoint={url}", *many]
    process = await asyncio.create_subprocess_exec(
        *command, f"--jobs={jobs}", stdout=PIPE, env={**os.environ, "CLAIRGEN_TOKEN_RUN": TOKEN}
    )
    assert process.stdout is not None
    try:
        address = re.findall(r"http://\S+", (await process.stdout.readline()).decode())[0]
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=address, headers=HEADERS, timeout=60, limits=limits) as client:
            yield process, client
    finally:
        process.kill()  # and the worker ends with it
        await process.wait()


@contextlib.asynccontextmanager
async def reading(
    client: httpx.AsyncClient, runs: int, count: int, pause: float, window: Window
) -> AsyncIterator[None]:
    """Readers who begin at different moments and go round, while the block runs."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(reader(client, runs, number, pause, window)) for number in range(count)]
        yield
        for task in tasks:
            task.cancel()


async def reader(client: httpx.AsyncClient, runs: int, number: int, pause: float, window: Window) -> None:
    """Somebody who looks at the runs, at a report, at pairs, at one of them, and at the live events, again and again."""
    draw = random.Random(number)

    async def look(page: str, path: str) -> str:
        await asyncio.sleep(draw.uniform(0.5, 1.5) * pause)
        began = time.perf_counter()
        answer = await client.get(path)
        answer.raise_for_status()
        window.waits.setdefault(page, []).append(time.perf_counter() - began)
        return answer.text

    await asyncio.sleep(draw.uniform(0, pause))
    while True:
        run = f"/runs/run-{draw.randrange(runs)}"
        await look("runs", "/")
        await look("report", run)
        links = re.findall(r'href="(/runs/[^"?]+/pairs/[^"?]+)', await look("pairs", f"{run}/pairs"))
        if links:
            await look("pair", draw.choice(links))
        await follow(client, f"/api{run}/events", pause, window)


async def follow(client: httpx.AsyncClient, path: str, pause: float, window: Window) -> None:
    """Follow a run for `pause` seconds; the wait is that for the first event."""
    began = time.perf_counter()
    async with client.stream("GET", path) as stream:
        stream.raise_for_status()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:
                async for line in stream.aiter_lines():
                    if line.startswith("data:") and limit.when() is None:
                        window.waits.setdefault("events", []).append(time.perf_counter() - began)
                        limit.reschedule(asyncio.get_running_loop().time() + pause)


async def watch(server: Server, service: int, seconds: float, window: Window) -> None:
    """Fill in what happens in the next seconds."""
    worker = child_of(service)
    before = time.perf_counter(), server.facts()["answered"], processor_seconds(worker), processor_seconds(service)
    await asyncio.sleep(seconds)
    after = time.perf_counter(), server.facts()["answered"], processor_seconds(worker), processor_seconds(service)
    window.seconds, window.answers, window.worker, window.service = (b - a for a, b in zip(before, after, strict=True))


def child_of(pid: int) -> int:
    """The one child of a process."""
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def set_nice(pid: int, nice: int) -> None:
    """Give all threads of a process a priority."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, int(thread.name), nice)


async def report_problems(client: httpx.AsyncClient) -> None:
    """Say so if a job does not run any more, as its figures would count less."""
    for job in (await client.get("/api/jobs")).json()["jobs"]:
        if job["state"] != "running":
            typer.echo(f"job {job['id']} is {job['state']}: {json.dumps(job['sentence'])}", err=True)


def print_table(windows: dict[str, list[Window]]) -> None:
    """Print medians, and ratios to the window without readers of the same round with their lowest and highest."""
    quiet = windows[QUIET]
    typer.echo("| | answers a second | ratio | worker, ms an answer | ratio | web process, cores | readers p50 | p95 |")
    typer.echo("|---|--:|--:|--:|--:|--:|--:|--:|")
    for kind, ones in windows.items():
        rates = [one.answers / one.seconds for one in ones]
        costs = [1000 * one.worker / max(one.answers, 1) for one in ones]
        of_rate = [rate * base.seconds / base.answers for rate, base in zip(rates, quiet, strict=True)]
        of_cost = [cost * base.answers / base.worker / 1000 for cost, base in zip(costs, quiet, strict=True)]
        waits = sorted(wait for one in ones for kept in one.waits.values() for wait in kept)
        cores = median(one.service / one.seconds for one in ones)
        typer.echo(
            f"| {kind} | {median(rates):.1f} | {spread(of_rate)} | {median(costs):.2f} | {spread(of_cost)} | {cores:.2f} "
            f"| {share(waits, 0.5)} | {share(waits, 0.95)} |"
        )
    typer.echo("\n| page | looks | p50 | p95 |\n|---|--:|--:|--:|")
    for page in ("runs", "report", "pairs", "pair", "events"):
        waits = sorted(wait for one in windows[READ] for wait in one.waits.get(page, []))
        typer.echo(f"| {page} | {len(waits):,} | {share(waits, 0.5)} | {share(waits, 0.95)} |")


def spread(ratios: list[float]) -> str:
    """The median of ratios, with the lowest and the highest."""
    return f"{median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f})"


def share(ordered: list[float], part: float) -> str:
    """A quantile of waits in milliseconds."""
    return f"{1000 * ordered[int(part * (len(ordered) - 1))]:.0f} ms" if ordered else "–"


if __name__ == "__main__":
    typer.run(main)
