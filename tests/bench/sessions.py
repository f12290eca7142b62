"""Several sessions of `generate` in one process on one API key: what goes beyond the server's limit, and the part of each.

python -m tests.bench.sessions

3,000 requests a minute in a bucket of 10, 0.2 s an answer; each session begins a second after the one before. The server names
no limits in its headers. The parts are counted while all sessions run.
"""

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from clairgen.inference.runtime import Runtime
from clairgen.inference.shared_limits import SharedLimits
from clairgen.pipeline.generate import generate
from tests.bench.harness import config, folder, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused, said

A_SECOND, BURST, LATENCY = 50, 10, 0.2
CASES: dict[str, dict[str, Any]] = {
    "configured": {"requests_per_minute": 60 * A_SECOND, "concurrency": 256},
    "nothing configured": {},
    "16 slots": {"concurrency": 16},
}


def main(
    sessions: Annotated[list[int], typer.Option(help="Sessions at once.")] = [2, 4],  # noqa: B006 - typer's way
    requests: Annotated[int, typer.Option(help="Requests of each session.")] = 400,
) -> None:
    """Measure every case with and without shared limits."""
    typer.echo("| case | sessions | limits | seconds | with a 429 | most in flight | parts while all run |")
    typer.echo("|---|--:|---|--:|--:|--:|---|")
    for case in CASES:
        for count in sessions:
            for shared in (False, True):
                facts = asyncio.run(measured(case, count, requests, shared=shared))
                typer.echo(f"| {case} | {count} | {'shared' if shared else 'each its own'} | {facts} |")


class Server:
    """A token bucket, and what each session sent when, by the last word of its prompts."""

    def __init__(self, *, limited: bool) -> None:
        self.limited = limited
        self.refused = 0
        self.accepted: list[tuple[float, str]] = []
        self._left, self._at = float(BURST), time.monotonic()

    def reply(self, request: dict[str, Any]) -> Reply:
        """An answer, or a 429."""
        now = time.monotonic()
        self._left, self._at = min(BURST, self._left + (now - self._at) * A_SECOND), now
        if self.limited and self._left < 1:
            self.refused += 1
            return refused(429, "slow down")
        self._left -= 1
        self.accepted.append((now, request["messages"][-1]["content"].split()[-1]))
        return Reply(said(f"answer {len(self.accepted)}").body, delay_seconds=LATENCY)


async def measured(case: str, sessions: int, requests: int, *, shared: bool) -> str:
    """What the server saw of these sessions; none may lose a pair."""
    server = Server(limited=case != "16 slots")
    runtime = Runtime(shared_limits=SharedLimits() if shared else None)
    async with ScriptedEndpoint(server.reply) as endpoint:
        with folder() as place:
            start = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for number in range(sessions):
                    group.create_task(run(place / str(number), number, requests, endpoint.url, CASES[case], runtime))
            seconds = time.monotonic() - start
    names = {name for _, name in server.accepted}
    began = max(min(at for at, name in server.accepted if name == one) for one in names)
    ended = min(max(at for at, name in server.accepted if name == one) for one in names)
    parts = Counter(name for at, name in server.accepted if began <= at <= ended)
    shares = ", ".join(f"{parts[name] / max(1, parts.total()):.1%}" for name in sorted(names))
    assert len(server.accepted) == sessions * requests
    return f"{seconds:.1f} | {server.refused} | {endpoint.most_in_flight} | {shares}"


async def run(place: Path, number: int, requests: int, url: str, role: dict[str, Any], runtime: Runtime) -> None:
    """One session, which begins `number` seconds later."""
    await asyncio.sleep(number)
    tasks = write_tasks(place.with_suffix(".jsonl"), requests // 2)
    tasks.write_text(tasks.read_text().replace('"}', f' session{number}"}}'))
    given = config("stronger-preferred", tasks, url, **role)
    # One model for both roles, as one key and model is what a provider counts by.
    models = {name: facts.model_copy(update={"model": "m"}) for name, facts in given.models.items()}
    models["stronger"] = models["stronger"].model_copy(update={"temperature": 0.1})
    summary = await generate(given.model_copy(update={"models": models}), place / "run", runtime=runtime)
    assert summary.statuses == {"stronger-preferred": {"made": requests // 2}}, summary.statuses


if __name__ == "__main__":
    typer.run(main)
