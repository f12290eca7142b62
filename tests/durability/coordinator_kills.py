"""A service killed with -9 again and again while shards lease and jobs run: `python -m tests.durability.coordinator_kills`.

By the paid server's own log the rate limit has to be kept within 3%, by its bill the budget; no shard ends before its work is
done, the merged run has every pair of the run of one machine, nothing is sent twice, and each job is done.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

import httpx

from clairgen.iteration.served_command import free_port
from clairgen.pipeline.generate import generate
from tests.durability.coordinator import (
    FREE,
    PICODOLLARS,
    SHARDS,
    WINDOW_SECONDS,
    Paid,
    all_ended,
    coordinator,
    ended,
)
from tests.durability.provider import most_within
from tests.durability.shards import pairs, started
from tests.runs import config, config_text, played, questions, write_tasks
from tests.scripted import ScriptedEndpoint
from tests.service.served import job_when, made, rows


async def submitted(client: httpx.AsyncClient, number: int) -> int | None:
    """The id of a job that was submitted now; None while the service is not there."""
    order = {"verb": "report", "runs": ["imported"]}
    try:
        answer = await client.post("/api/jobs", json=order, headers={"idempotency-key": f"job-{number}"})
    except httpx.HTTPError:
        return None
    found: int = answer.raise_for_status().json()["id"]
    return found


async def trial(folder: Path, *, tasks: int, rate: int, kills: int, seed: int) -> None:
    chance, root, say = random.Random(seed), folder / "runs", sys.stdout.write
    root.mkdir()
    await made(root, rows(200), "imported")
    source, settings = write_tasks(folder / "tasks.jsonl", questions(tasks)), folder / "config.yaml"
    paid, port, processes = Paid(), free_port(), list[asyncio.subprocess.Process]()
    budget_usd = 1.1 * tasks * PICODOLLARS / 10**12
    roles = {"target": FREE, "stronger": FREE, "reviser": {"requests_per_minute": rate, "concurrency": 12}}
    address = f"http://127.0.0.1:{port}"
    async with (
        ScriptedEndpoint(paid.reply) as endpoint,
        ended(processes),
        httpx.AsyncClient(base_url=address) as client,
    ):
        settings.write_text(config_text(endpoint.url, source, **roles))
        serving = await coordinator(root, port)
        processes.append(serving)
        arguments: list[str | Path] = ["--shard", f"lease/{SHARDS}", "--run", folder / "shards" / "{shard}"]
        arguments += ["--coordinator", address, "--budget-usd", f"{budget_usd:g}"]
        running = [await started("generate", settings, *arguments) for _ in range(SHARDS)]
        processes += running
        jobs = set[int]()
        for number in range(kills):
            if number % 5 == 0 and (job := await submitted(client, number)) is not None:
                jobs.add(job)
            await asyncio.sleep(chance.uniform(1, 18))
            serving.send_signal(signal.SIGKILL)
            await serving.wait()
            serving = await coordinator(root, port)
            processes.append(serving)
        before = len(paid.asked_at)
        codes = await all_ended(running)
        done = [(await job_when(client, job, "done", "failed", "cancelled"))["state"] for job in jobs]
        [group] = (await client.get("/api/coordinator")).json()
        most, allowed = most_within(WINDOW_SECONDS, paid.asked_at), rate * WINDOW_SECONDS / 60
        asked, bill = endpoint.asked[:], paid.bill
        merge = await started("merge", folder / "shards", "--run", folder / "merged")
        assert await merge.wait() == 0
        endpoint.script = played
        await generate(config(endpoint.url, source), folder / "whole")
    merged, whole = await pairs(folder / "merged"), await pairs(folder / "whole")
    twice = sum(count - 1 for count in Counter(request["seed"] for request in asked).values())
    say(
        f"{kills} kills while {before:,} of {len(paid.asked_at):,} paid requests were sent; exit codes of the shards {codes}\n"
        f"at most {most} requests in {WINDOW_SECONDS:g} s, {100 * most / allowed - 100:+.1f}% of the limit's {allowed:g}\n"
        f"bill ${bill / 10**12:.4f} of a budget of ${budget_usd:.4f}; the coordinator says ${group['spent_usd']:.4f} spent\n"
        f"{len(merged):,} pairs, equal to the run of one machine: {merged == whole}; sent twice: {twice}\n"
        f"jobs: {dict(Counter(done))}\n"
    )
    assert merged == whole
    assert twice == 0
    assert set(codes) == {0}
    assert set(done) == {"done"}
    assert most <= 1.03 * allowed
    assert bill == round(group["spent_usd"] * 10**12) <= budget_usd * 10**12


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("--tasks", 3000), ("--rate", 900), ("--kills", 20), ("--seed", 0)):
        parser.add_argument(name, type=int, default=default)
    for variable in ("CLAIRGEN_COORDINATOR", "CLAIRGEN_TOKEN_MEMBER"):
        os.environ.pop(variable, None)
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(trial(Path(name), **vars(parser.parse_args())))
