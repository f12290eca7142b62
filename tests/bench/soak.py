"""A soak test with every network fault: each task ends exactly once, as a pair or as a named failure, and a later run makes up
for the failures.

python -m tests.bench.soak
"""

import asyncio
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from clairgen.pipeline.generate import Options, Summary, generate
from tests.bench.harness import config, folder, served, write_tasks


def main(
    asks: Annotated[int, typer.Option(help="Requests that would be needed without faults; two a task.")] = 20_000,
    share: Annotated[float, typer.Option(help="Share of the requests that meet a fault.")] = 0.2,
    in_flight: Annotated[int, typer.Option(help="Requests in flight a role.")] = 128,
) -> None:
    """Run against a faulty server, then take up what failed against a healthy one."""
    with folder() as place:
        write_tasks(place / "tasks.jsonl", asks // 2)
        with served("--faults", str(share), "--median", "0.05") as faulty:
            start = time.monotonic()
            first = asyncio.run(made(place, faulty.url, in_flight))
            typer.echo(f"{time.monotonic() - start:.0f} s; server: {dict(sorted(faulty.facts().items()))}")
        settled(place / "run", first, asks // 2)
        with served() as healthy:
            second = asyncio.run(made(place, healthy.url, in_flight, retry_failed=True))
            typer.echo(f"with --retry-failed: {second.statuses}, {healthy.facts()['asked']} requests more")
        assert second.statuses == {"stronger-preferred": {"made": asks // 2}}


async def made(place: Path, url: str, in_flight: int, *, retry_failed: bool = False) -> Summary:
    """A session of `generate`."""
    given = config(
        "stronger-preferred",
        place / "tasks.jsonl",
        url,
        concurrency=in_flight,
        connect_seconds=2,
        first_byte_seconds=1,
        timeout_seconds=5,
    )
    return await generate(given, place / "run", Options(retry_failed=retry_failed))


def settled(run: Path, summary: Summary, tasks: int) -> None:
    """Print how the tasks ended; every one must have ended, and once."""
    assert summary.stopped_by is None, summary.stopped_by
    counts = summary.statuses["stronger-preferred"]
    reasons = Counter({reason: count for _, reason, count, _ in summary.failures})
    typer.echo(f"{counts}; failures: {dict(reasons.most_common())}")
    assert counts.get("made", 0) + counts.get("failed", 0) == tasks == counts["made"] + reasons.total()
    with sqlite3.connect(run / "run.db") as database:
        tried = database.execute("SELECT reason, count(*) FROM attempts GROUP BY 1 ORDER BY 2 DESC").fetchall()
    database.close()
    typer.echo(f"tries that brought nothing: {dict(tried)}")


if __name__ == "__main__":
    typer.run(main)
