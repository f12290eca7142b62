"""A run that goes by batch: seconds of clairgen's own processor time and its memory, at several sizes.

python -m tests.bench.batches --requests 20000 --requests 100000

Two requests a task, target and reviser both by batch, from a provider in this process. clairgen runs in one of its own.
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from tests.batch_provider import BatchProvider
from tests.bench.harness import folder, write_tasks
from tests.other_processes import processor_seconds
from tests.runs import REVISER, TARGET, played


def main(
    requests: Annotated[list[int] | None, typer.Option(help="Requests; two a task. May be repeated.")] = None,
    waiting: Annotated[int, typer.Option(help="`batch.waiting` of each role.")] = 50_000,
    batch: Annotated[int, typer.Option(help="Requests of one batch.")] = 50_000,
) -> None:
    """Print a line for each size."""
    for count in requests or [2000]:
        with folder() as place:
            typer.echo(asyncio.run(measured(place, count // 2, waiting, batch)))


async def measured(place: Path, tasks: int, waiting: int, batch: int) -> str:
    """One run from its start to its end, in words."""
    async with BatchProvider(played) as provider:
        settings = {
            "requests": batch,
            "waiting": waiting,
            "quiet_seconds": 2,
            "collect_seconds": 3600,
            "poll_seconds": 0.5,
        }
        role = {
            "endpoints": [provider.url],
            "max_tokens": 100,
            "delivery": "batch",
            "batch": settings,
            "price_per_million": {"input": 1, "output": 2},
        }
        content = {
            "recipes": ["clair"],
            "tasks": {"path": str(write_tasks(place / "tasks.jsonl", tasks))},
            "models": {"target": {"model": TARGET, **role}, "reviser": {"model": REVISER, **role}},
        }
        config = place / "config.yaml"
        await asyncio.to_thread(config.write_text, json.dumps(content))
        command = (
            sys.executable,
            "-m",
            "clairgen",
            "generate",
            str(config),
            "--run",
            str(place / "run"),
        )
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        ended, kilobytes, seconds = asyncio.create_task(process.communicate()), 0, 0.0
        while not (await asyncio.wait((ended,), timeout=0.5))[0]:
            kilobytes, seconds = looked_at(process.pid) or (kilobytes, seconds)
        each = 1000 * seconds / (2 * tasks)
        said = "" if process.returncode == 0 else (await ended)[1].decode()[-2000:]
        return (
            f"{2 * tasks:,} requests in {len(provider.batches)} batches: exit code {process.returncode}, {seconds:.0f} s of "
            f"processor time ({each:.2f} ms a request), {kilobytes / 1000:,.0f} MB at most, {len(provider.paid_twice)} paid "
            f"twice{said}"
        )


def looked_at(pid: int) -> tuple[int, float] | None:
    """The most memory that a process had, in kilobytes, and its seconds of processor time so far; None once it has ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    if "VmHWM:" not in status:
        return None
    return int(status.split("VmHWM:")[1].split()[0]), processor_seconds(pid)


if __name__ == "__main__":
    typer.run(main)
