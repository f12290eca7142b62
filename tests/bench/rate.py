"""Answers a second when the server answers at once: the requests alone, the whole of `generate`, and other clients.

python -m tests.bench.rate --peers build/peers

Prompts have 600 characters and answers 2 kB of prose, other ones for other models. `requests` is what a run asks, through the
same client, each answer durably committed, and nothing else: what `generate` (tasks read in, pairs measured, filtered and kept)
can reach at most. The second prompt of `clair` is the reviser's. Beside them, in the same rounds, the bare OpenAI SDK under a
semaphore, which commits nothing, and, where `--peers` has their environments (`make bench` makes them), curator and distilabel.
The server is on the last core, the clients are on `--cores`; where others compute too, processor time says more than rates.
"""

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from clairgen.cli.signals import run_coroutine
from clairgen.pipeline.generate import Options, generate
from clairgen.recipes.reviser import REVISER_SLOTS
from clairgen.records import Message
from clairgen.templates import load_template
from tests.bench.harness import completion_client, config, folder, question, served, write_tasks
from tests.bench.shaped_server import answer_text

SERVER_CORE = (os.cpu_count() or 1) - 1
SECOND = {"stronger-preferred": "stronger", "clair": "reviser"}
REQUESTS = {
    "requests": 10_000,
    "generate": 10_000,
    "requests of clair": 8_000,
    "generate clair": 8_000,
    "openai": 1_500,
}
PEERS = {"curator": ("bespokelabs-curator", 1_500), "distilabel": ("distilabel", 3_072)}
"""Packages of the other projects, and the requests that are enough to show their rates."""
RATIOS = [("generate", "requests"), ("generate clair", "requests of clair")]


def main(
    in_flight: Annotated[list[int], typer.Option(help="Requests in flight a role.")] = [64, 256, 1024],  # noqa: B006 - typer's way
    rounds: Annotated[int, typer.Option(help="Rounds, whose median counts.")] = 3,
    peers: Annotated[Path | None, typer.Option(help="Folder with an environment of each peer.")] = None,
    cores: Annotated[str, typer.Option(help="Cores of the clients, such as 0 or 0-3; all by default.")] = "",
    jobs: Annotated[int | None, typer.Option(help="As --jobs of `generate`.")] = None,
    share: Annotated[float, typer.Option(help="Share of the usual requests, for a quick look.")] = 1.0,
    client: Annotated[str, typer.Option(hidden=True)] = "",
    url: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure all clients in turn, each in a process of its own."""
    if client:
        typer.echo(" ".join(map(str, rate_of(client, url, in_flight[0], jobs, share))))
        return
    there = {name: peers / name for name in PEERS if peers is not None and (peers / name).is_dir()}
    clients = [*REQUESTS, *there]
    ratios = [*RATIOS, *(("requests", name) for name in clients[4:]), *(("generate", name) for name in clients[4:])]
    cores = cores or f"0-{SERVER_CORE}"
    with served(core=SERVER_CORE) as server:
        heads = [*clients, *(f"{one} / {other}" for one, other in ratios)]
        typer.echo(f"| in flight | {' | '.join(heads)} |\n|{'--:|' * (len(heads) + 1)}")
        for concurrency in in_flight:
            found: dict[str, list[list[float]]] = {name: [] for name in clients}
            for _ in range(rounds):
                for name, measures in found.items():
                    measures.append(measured(name, server.url, concurrency, cores, jobs, share, there.get(name)))
            typer.echo(rates_row(concurrency, found, ratios))
            typer.echo(f"Processor time, µs an answer: {processor_times(found)}", err=True)
    absent = [f"{name} is not installed" for name in PEERS if name not in there]
    versions = [f"{PEERS[name][0]} {installed(PEERS[name][0], path)}" for name, path in there.items()]
    facts = [f"openai {version('openai')}", *versions, *absent, f"cores {cores}"]
    typer.echo(f"\n{', '.join(facts)}; median of {rounds} rounds (least-most)")


def rates_row(concurrency: int, found: dict[str, list[list[float]]], ratios: list[tuple[str, str]]) -> str:
    """A row of the table: medians of the rates, and of some their ratios."""
    rates = {name: [rate for rate, *_ in measures] for name, measures in found.items()}
    medians = {name: statistics.median(each) for name, each in rates.items()}
    cells = [f"{medians[name]:,.0f}/s ({min(each):,.0f}-{max(each):,.0f})" for name, each in rates.items()]
    cells += [f"{medians[one] / medians[other]:.2f}" for one, other in ratios]
    return f"| {concurrency} | {' | '.join(cells)} |"


def processor_times(found: dict[str, list[list[float]]]) -> str:
    """Of each client: its process and others that it started; of clairgen's also the event loop, which is one thread."""
    said = []
    for name, measures in found.items():
        _, own, others, *loop = [statistics.median(column) for column in zip(*measures, strict=True)]
        of_loop = f" (its loop {loop[0]:,.0f})" if loop else ""
        said.append(f"{name} {own:,.0f}{of_loop}{f' + {others:,.0f} in other processes' if others >= 1 else ''}")
    return "; ".join(said)


def installed(package: str, environment: Path) -> str:
    """The version of a package in an environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python(environment), "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def python(environment: Path) -> str:
    """The Python of an environment."""
    return str(environment / "bin" / "python")


def measured(
    client: str, url: str, concurrency: int, cores: str, jobs: int | None, share: float, environment: Path | None = None
) -> list[float]:
    """The rate of a client in its own process, and its processor times in µs an answer; see `timed`."""
    if environment is not None:
        script = Path(__file__).parent / "peers" / f"with_{client}.py"
        command = [python(environment), str(script), url, str(concurrency), str(int(share * PEERS[client][1]))]
    else:
        command = [sys.executable, "-m", "tests.bench.rate", "--client", client, "--url", url]
        command += ["--in-flight", str(concurrency), "--share", str(share)]
        command += ["--jobs", str(jobs)] if jobs is not None else []
    command = ["taskset", "-c", cores, *command]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(number) for number in printed.splitlines()[-1].split()]


def rate_of(client: str, url: str, concurrency: int, jobs: int | None, share: float = 1.0) -> list[float]:
    """Requests a second of a client, and its processor times."""
    count = 2 * int(share * REQUESTS[client] / 2)
    recipe = "clair" if client.endswith("clair") else "stronger-preferred"
    if client == "openai":
        return run_coroutine(openai_rate(url, concurrency, count))[:3]
    with folder() as place:
        if client.startswith("requests"):
            return run_coroutine(requests_rate(place, recipe, url, concurrency, count))
        return run_coroutine(generate_rate(place, recipe, url, concurrency, count, jobs))


async def timed(work: Callable[[], Awaitable[object]], count: int) -> list[float]:
    """Answers a second of `work`, which gets `count`, and its µs an answer: of the process, its children, and its loop."""
    start = time.perf_counter(), time.process_time(), _seconds_of_children(), time.thread_time()
    await work()
    end = time.perf_counter(), time.process_time(), _seconds_of_children(), time.thread_time()
    wall, *taken = (now - then for now, then in zip(end, start, strict=True))
    return [count / wall, *(1e6 * seconds / count for seconds in taken)]


async def requests_rate(place: Path, recipe: str, url: str, concurrency: int, count: int) -> list[float]:
    """The requests of a recipe's tasks: looked up, sent, committed."""
    revise = load_template("revise", REVISER_SLOTS)
    second = SECOND[recipe]
    async with completion_client(place, url, second=second, concurrency=concurrency) as ask:
        numbers = iter(range(count // 2))

        async def worker() -> None:
            for number in numbers:
                prompt = question(number)
                await ask("target", prompt)
                if second == "reviser":
                    answer = answer_text("target", number)
                    filled = revise.fill(task=prompt[0].content, student_solution=answer)
                    await ask(second, (Message("user", filled),), template=revise)
                else:
                    await ask(second, prompt)

        async def all_of_them() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(3 * concurrency):  # two roles, and as many again wait for their commit
                    group.create_task(worker())

        return await timed(all_of_them, count)


async def generate_rate(
    place: Path, recipe: str, url: str, concurrency: int, count: int, jobs: int | None
) -> list[float]:
    """The whole of `generate`."""
    given = config(recipe, write_tasks(place / "tasks.jsonl", count // 2), url, concurrency=concurrency)

    async def whole() -> None:
        summary = await generate(given, place / "run", Options(jobs=jobs))
        assert summary.statuses[recipe] == {"made": count // 2}

    return await timed(whole, count)


async def openai_rate(url: str, concurrency: int, count: int) -> list[float]:
    """The bare SDK."""
    from openai import AsyncOpenAI

    free = asyncio.Semaphore(concurrency)
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=600) as client:

        async def one(number: int) -> None:
            async with free:
                await client.chat.completions.create(
                    model="m",
                    messages=[{"role": "user", "content": question(number)[0].content}],
                    temperature=0.7,
                    max_tokens=500,
                    seed=number,
                )

        async def all_of_them() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(count):
                    group.create_task(one(number))

        return await timed(all_of_them, count)


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    typer.run(main)
