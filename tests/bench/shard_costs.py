"""What a pair costs in shards, in bytes and in processor time: the constants of docs/background/scale.md.

python -m tests.bench.shard_costs --pairs 4000

Two shards of `clair` (two answers a pair, prompts of 600 characters, answers of 2 kB) against a server that answers
at once, with copies; then what is done with their folder. Processor time is that of this process and of its children.
"""

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Annotated, Any

import typer

from clairgen import api
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.merge_shards import merge_shards
from clairgen.reporting.lint.lint_pairs import lint
from clairgen.task_shard import TaskShard
from tests.bench.harness import completion_client, config, folder, question, served, write_tasks


def main(
    pairs: Annotated[int, typer.Option(help="Pairs in both shards together.")] = 4000,
    on: Annotated[Path | None, typer.Option(help="A folder on the disk to measure; else a temporary one.")] = None,
) -> None:
    """Print each constant with its value."""
    with served(core=1) as server, folder() as place:
        asyncio.run(measure(on or place, server.url, pairs))


async def measure(place: Path, url: str, pairs: int) -> None:
    """Make the shards, and time what is done with them."""
    given = config("clair", write_tasks(place / "tasks.jsonl", pairs), url, concurrency=64)
    shards = place / "shards"
    rows = 10 * pairs
    of_many = config("clair", write_tasks(place / "many.jsonl", rows), url)
    await timed("read_row_us", rows, generate(of_many, place / "one", Options(shard=TaskShard(1, rows))))
    await timed("answer_commit_us", pairs, committed(place / "bare", url, pairs))
    for number in (1, 2):
        options = Options(shard=TaskShard(number, 2), copy_to=str(place / "copies" / str(number)))
        made = generate(given, shards / str(number), options)
        await timed("generate_pair_us", pairs // 2, made)
    await timed("export_pair_us", pairs, api.export(shards, place / "pairs"))
    await timed("lint_pair_us", pairs, lint(shards))
    await timed("merge_pair_us", pairs, merge_shards([shards], place / "run"))
    await timed("report_pair_us", pairs, api.report(place / "run"))
    run = sum((shards / str(number) / "run.db").stat().st_size for number in (1, 2))
    say("stored_pair_bytes", run / pairs)
    say("merged_pair_bytes", (place / "run" / "run.db").stat().st_size / pairs)
    say("exported_pair_bytes", size(place / "pairs") / pairs)
    say("copied_pair_bytes", size(place / "copies") / pairs)


async def committed(run: Path, url: str, count: int) -> None:
    """`ask` alone: each answer looked up, requested and committed."""
    async with completion_client(run, url, concurrency=64) as ask:
        numbers = iter(range(count))

        async def worker() -> None:
            for number in numbers:
                await ask("target", question(number))

        async with asyncio.TaskGroup() as group:
            for _ in range(128):
                group.create_task(worker())


async def timed(name: str, count: int, work: Awaitable[Any]) -> None:
    """Print the processor time of some work by the count, in microseconds."""
    start = sum(os.times()[:4])
    await work
    say(name, 1e6 * (sum(os.times()[:4]) - start) / count)


def size(path: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def say(name: str, value: float) -> None:
    """Print one constant."""
    typer.echo(f"{name:<22}{value:>12,.1f}")


if __name__ == "__main__":
    typer.run(main)
