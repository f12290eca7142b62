"""Shards as processes, killed with -9 and started again, then merged: `python -m tests.durability.shards --kills 20`.

A scripted server counts what it is asked. The merged run has to have every pair of the run of one machine, and no request is
sent again whose answer was committed, whether its process or the merge was killed.
"""

import argparse
import asyncio
import random
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from clairgen import api
from clairgen.keys import seed_for
from clairgen.pipeline.generate import generate
from tests.runs import config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint

CONCURRENCY = 2
ROLES = {role: {"concurrency": CONCURRENCY} for role in ("target", "reviser", "stronger")}


def slowly(request: dict[str, Any]) -> Reply:
    return Reply(played(request).body, delay_seconds=random.uniform(0.02, 0.2))


def committed(run: Path) -> set[int]:
    """The seeds of the requests whose answers are on disk; each request has its own."""
    if not (run / "run.db").exists():
        return set()
    with closing(sqlite3.connect(run / "run.db")) as database:
        try:
            return {seed_for(0, key) for (key,) in database.execute("SELECT key FROM completions")}
        except sqlite3.OperationalError:
            return set()  # killed before the schema was there


async def pairs(run: Path) -> list[tuple[str, str, object]]:
    return [
        (recipe, stored.task.id, stored.outcome)
        for recipe in ("clair", "stronger-preferred")
        for stored in await api.made_pairs(run, recipe)
    ]


async def started(*arguments: str | Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "clairgen",
        *map(str, arguments),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def trial(folder: Path, *, shards: int, tasks: int, kills: int) -> None:
    rows = [*questions(tasks), *questions(tasks // 4)]  # a fifth of the rows repeat a prompt
    source, settings = write_tasks(folder / "tasks.jsonl", rows), folder / "config.yaml"
    runs = {number: folder / "shards" / str(number) for number in range(1, shards + 1)}
    asked_again = merge_kills = 0
    async with ScriptedEndpoint(slowly) as endpoint:
        settings.write_text(config_text(endpoint.url, source, **ROLES))

        async def start(number: int) -> asyncio.subprocess.Process:
            return await started("generate", settings, "--run", runs[number], "--shard", f"{number}/{shards}")

        running = {number: await start(number) for number in runs}
        while kills > 0:
            await asyncio.sleep(random.uniform(0.5, 2))
            alive = [number for number, process in running.items() if process.returncode is None]
            if not alive:
                break
            victims = random.sample(alive, min(len(alive), random.randint(1, 3)))
            for number in victims:
                running[number].send_signal(signal.SIGKILL)
                await running[number].wait()
                kills -= 1
            done, before = {n: committed(runs[n]) for n in victims}, len(endpoint.asked)
            for number in victims:
                running[number] = await start(number)
            await asyncio.sleep(0.5)
            for number in victims:
                asked_again += sum(request["seed"] in done[number] for request in endpoint.asked[before:])
        codes = [await process.wait() for process in running.values()]
        total = len(endpoint.asked)
        while True:
            merge = await started("merge", folder / "shards", "--run", folder / "merged")
            try:
                await asyncio.wait_for(merge.wait(), 0.5 + 0.15 * merge_kills)
            except TimeoutError:
                merge.kill()
                await merge.wait()
                merge_kills += 1
                continue
            break
        asked = len(endpoint.asked)
        summary = await generate(config(endpoint.url, source, **ROLES), folder / "merged")
        after_merge = len(endpoint.asked) - asked
        endpoint.script = played
        await generate(config(endpoint.url, source), folder / "whole")
        needed = len(endpoint.asked) - asked - after_merge
    merged, whole = await pairs(folder / "merged"), await pairs(folder / "whole")
    by_seed = Counter(request["seed"] for request in endpoint.asked[:total])
    say = sys.stdout.write
    say(f"exit codes {codes}, merge killed {merge_kills} times, {summary}\n")
    say(f"{len(merged):,} pairs, equal to the run of one machine: {merged == whole}\n")
    say(
        f"{needed:,} requests needed, {total:,} sent over shards; {sum(n - 1 for n in by_seed.values()):,} sent twice, "
        f"of which committed before: {asked_again}; sent after the merge: {after_merge}\n"
    )
    assert merged == whole
    assert asked_again == after_merge == 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("--shards", 8), ("--tasks", 1000), ("--kills", 20)):
        parser.add_argument(name, type=int, default=default)
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(trial(Path(name), **vars(parser.parse_args())))
