"""A server with a rate limit: how close to it the requests come, and how many get a 429.

python -m tests.bench.rate_limit

6,000 requests a minute in a bucket of 100, 0.2 s an answer, 3,000 requests. Ideal: the burst at once, then the rate: 29.2 s;
without using the burst: 30.2 s. The server names no limits in its headers.
"""

import asyncio
from typing import Annotated, Any

import typer

from clairgen.pipeline.generate import generate
from tests.bench.harness import Server, config, folder, served, write_tasks

PER_MINUTE, BURST, LATENCY = 6000, 100, 0.2
CASES: dict[str, dict[str, Any]] = {
    "configured rate and burst": {"requests_per_minute": PER_MINUTE, "burst": BURST, "concurrency": 256},
    "configured rate": {"requests_per_minute": PER_MINUTE, "concurrency": 256},
    "nothing configured": {},
    "configured too high": {"requests_per_minute": 10 * PER_MINUTE, "concurrency": 256},
}


def main(
    requests: Annotated[int, typer.Option(help="Requests; two a task.")] = 3000,
    case: Annotated[list[str] | None, typer.Option(help="Only these cases.")] = None,
) -> None:
    """Run every case from a fresh run directory."""
    with served("--per-minute", str(PER_MINUTE), "--burst", str(BURST), "--median", str(LATENCY)) as server:
        for name in case or CASES:
            server.reset()
            burst = 0 if name == "configured rate" else BURST
            ideal = (requests - burst) * 60 / PER_MINUTE + LATENCY
            asyncio.run(run(name, requests, server))
            facts = server.facts()
            seconds = facts["last"] - facts["first"]
            typer.echo(
                f"{name}: {seconds:.2f} s, {seconds / ideal:.3f} of the ideal {ideal:.1f} s; "
                f"{facts.get('refused', 0)} with a 429 ({facts.get('refused', 0) / requests:.1%})"
            )


async def run(name: str, requests: int, server: Server) -> None:
    """Make all pairs; none may be lost."""
    with folder() as place:
        given = config(
            "stronger-preferred", write_tasks(place / "tasks.jsonl", requests // 2), server.url, **CASES[name]
        )
        # One model for both roles, so that they share one rate limiter as they share the limit.
        models = {role: facts.model_copy(update={"model": "m"}) for role, facts in given.models.items()}
        models["stronger"] = models["stronger"].model_copy(update={"temperature": 0.1})
        summary = await generate(given.model_copy(update={"models": models}), place / "run")
    assert summary.statuses == {"stronger-preferred": {"made": requests // 2}}, summary.statuses


if __name__ == "__main__":
    typer.run(main)
