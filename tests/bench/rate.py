"""Requests a second when the server answers at once: every answer durably committed, the client on one core.

python -m tests.bench.rate --peers build/peers

Prompts have 600 characters and answers 1.5 kB. Beside it, in the same rounds, the bare OpenAI SDK under a semaphore, which
commits nothing, and, where `--peers` has their environments (`make bench` makes them), curator and distilabel. `generate` is the
whole command: tasks read in, pairs measured, filtered and kept, two requests a pair.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from clairgen.cli.signals import run_coroutine
from clairgen.pipeline.generate import generate
from tests.bench.harness import completion_client, config, folder, question, served, stay_on_core, write_tasks

CLIENT_CORE, SERVER_CORE = 0, 1
REQUESTS = {"clairgen": 12_000, "generate": 3_000, "openai": 1_500}
PEERS = {"curator": ("bespokelabs-curator", 1_500), "distilabel": ("distilabel", 3_072)}
"""Packages of the other projects, and the requests that are enough to show their rates."""


def main(
    in_flight: Annotated[list[int], typer.Option(help="Requests in flight.")] = [64, 256, 1024],  # noqa: B006 - typer's way
    rounds: Annotated[int, typer.Option(help="Rounds, whose median counts.")] = 3,
    peers: Annotated[Path | None, typer.Option(help="Folder with an environment of each peer.")] = None,
    client: Annotated[str, typer.Option(hidden=True)] = "",
    url: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure all clients in turn, each in a process of its own."""
    if client:
        typer.echo(rate_of(client, url, in_flight[0]))
        return
    clients = [*REQUESTS, *(PEERS if peers else ())]
    with served(core=SERVER_CORE) as server:
        heads = [*clients, *(f"clairgen / {name}" for name in clients[2:])]
        typer.echo(f"| in flight | {' | '.join(heads)} |\n|{'--:|' * (len(heads) + 1)}")
        for concurrency in in_flight:
            rates: dict[str, list[float]] = {name: [] for name in clients}
            for _ in range(rounds):
                for name, found in rates.items():
                    found.append(measured(name, server.url, concurrency, peers))
            medians = {name: statistics.median(found) for name, found in rates.items()}
            cells = [f"{medians[name]:,.0f}/s ({min(rates[name]):,.0f}-{max(rates[name]):,.0f})" for name in clients]
            cells += [f"{medians['clairgen'] / medians[name]:.1f}" for name in clients[2:]]
            typer.echo(f"| {concurrency} | {' | '.join(cells)} |")
    versions = (
        [f"{package} {installed(package, peers / name)}" for name, (package, _) in PEERS.items()] if peers else []
    )
    versions.insert(0, f"openai {version('openai')}")
    typer.echo(f"\n{', '.join(versions)}; median of {rounds} rounds (least-most)")


def installed(package: str, environment: Path) -> str:
    """The version of a package in an environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python(environment), "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def python(environment: Path) -> str:
    """The Python of an environment."""
    return str(environment / "bin" / "python")


def measured(client: str, url: str, concurrency: int, peers: Path | None = None) -> float:
    """The rate of a client in its own process, on one core."""
    if peers is not None and client in PEERS:
        script = Path(__file__).parent / "peers" / f"with_{client}.py"
        command = ["taskset", "-c", str(CLIENT_CORE), python(peers / client), str(script)]
        command += [url, str(concurrency), str(PEERS[client][1])]
    else:
        command = [
            sys.executable,
            "-m",
            "tests.bench.rate",
            "--client",
            client,
            "--url",
            url,
            "--in-flight",
            str(concurrency),
        ]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def rate_of(client: str, url: str, concurrency: int) -> float:
    """Requests a second of a client, on one core."""
    stay_on_core(CLIENT_CORE)
    clients = {"clairgen": requests_rate, "generate": generate_rate, "openai": openai_rate}
    return run_coroutine(clients[client](url, concurrency, REQUESTS[client]))


async def requests_rate(url: str, concurrency: int, count: int) -> float:
    """`ask` over a run directory: looked up, sent, committed."""
    with folder() as place:
        async with completion_client(place, url, concurrency=concurrency) as ask:
            numbers = iter(range(count))

            async def worker() -> None:
                for number in numbers:
                    await ask("target", question(number))

            start = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for _ in range(2 * concurrency):  # as many again wait for their commit
                    group.create_task(worker())
            return count / (time.perf_counter() - start)


async def generate_rate(url: str, concurrency: int, count: int) -> float:
    """The whole of `generate`."""
    with folder() as place:
        given = config(
            "stronger-preferred", write_tasks(place / "tasks.jsonl", count // 2), url, concurrency=concurrency
        )
        start = time.perf_counter()
        summary = await generate(given, place / "run")
        assert summary.statuses["stronger-preferred"] == {"made": count // 2}
        return count / (time.perf_counter() - start)


async def openai_rate(url: str, concurrency: int, count: int) -> float:
    """The bare SDK."""
    from openai import AsyncOpenAI

    free = asyncio.Semaphore(concurrency)
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

        async def one(number: int) -> None:
            async with free:
                await client.chat.completions.create(
                    model="m",
                    messages=[{"role": "user", "content": question(number)[0].content}],
                    temperature=0.7,
                    max_tokens=500,
                    seed=number,
                )

        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(one(number))
        return count / (time.perf_counter() - start)


if __name__ == "__main__":
    typer.run(main)
