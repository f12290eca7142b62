"""A run that loses its machine again and again: `python -m tests.durability.copies --kills 20 --every 2`.

Its process is killed with -9 and its run directory deleted; the same command goes on from the copy. A scripted server counts what
it is asked. The pairs have to be those of an undisturbed run, and what is sent again has to be answered within the last seconds.
With `--budget-usd` the server's own bill has to be within what the run counts as spent, and that within the budget.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from clairgen.pipeline.budget import spent_usd
from clairgen.pipeline.generate import generate
from tests.durability.shards import committed, pairs, started
from tests.runs import config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint

CONCURRENCY = 4
PRICE = {"input": 3, "output": 7}
ROLES = {role: {"concurrency": CONCURRENCY, "price_per_million": PRICE} for role in ("target", "reviser", "stronger")}


def slowly(request: dict[str, Any]) -> Reply:
    return Reply(played(request).body, delay_seconds=random.uniform(0.02, 0.2))


def billed_usd(request: dict[str, Any]) -> float:
    used = json.loads(played(request).body)["usage"]
    return float(PRICE["input"] * used["prompt_tokens"] + PRICE["output"] * used["completion_tokens"]) / 1e6


async def trial(
    folder: Path, *, tasks: int, kills: int, every: float, copy: str | None, budget_usd: float | None
) -> None:
    source, settings = write_tasks(folder / "tasks.jsonl", questions(tasks)), folder / "config.yaml"
    copy = copy or str(folder / "copy")
    answered: dict[int, float] = {}  # when the last reply to a request was sent, by its seed
    on_disk: dict[int, float] = {}  # the last kill at which its answer was on the disk that was lost
    killed: list[float] = []

    def lag_seconds(seed: int, at: float) -> float:
        """How long before the kill that lost it a request was answered."""
        last = on_disk.get(seed, 0.0)
        return (last if last >= at else next(one for one in killed if one >= at)) - at

    lost_seconds: list[float] = []
    lost: list[int] = []
    again: list[float] = []
    say = sys.stdout.write
    async with ScriptedEndpoint(slowly) as endpoint:
        settings.write_text(config_text(endpoint.url, source, budget_usd=budget_usd, **ROLES))
        endpoint.on_sent = lambda request: answered.__setitem__(request["seed"], time.monotonic())
        for number in range(kills + 1):
            run = folder / f"machine-{number}"
            asked = len(endpoint.asked)
            begun = time.monotonic()
            before = dict(answered)
            process = await started("generate", settings, "--run", run, "--copy-to", copy, "--copy-every", f"{every:g}")
            if number == kills:
                code = await process.wait()
            else:
                at_start = random.random() < 0.25  # while it is restored or first copied
                while len(endpoint.asked) == asked and not at_start:  # noqa: ASYNC110 - an endpoint sends no signal
                    await asyncio.sleep(0.02)
                await asyncio.sleep(random.uniform(0.5, 2.5 * every + 1))
                code = None
            repeated = [
                lag_seconds(r["seed"], before[r["seed"]]) for r in endpoint.asked[asked:] if r["seed"] in before
            ]
            if number:
                lost_seconds.append(max(repeated, default=0.0))
                lost.append(len(repeated))
            if code is not None or process.returncode is not None:
                error = (await process.stderr.read()).decode() if process.stderr else ""
                say(f"ended with {process.returncode}: {error}\n")
                break
            process.send_signal(signal.SIGKILL)
            await process.wait()
            await endpoint.clients_gone()  # replies that were on their way are of before the kill
            killed.append(time.monotonic())
            done = committed(run)
            on_disk.update(dict.fromkeys(done, killed[-1]))
            shutil.rmtree(run, ignore_errors=True)  # it may not be there yet
            again.append(killed[-1] - begun)
            say(f"killed after {again[-1]:.1f} s with {len(done):,} answers; sent again since the last kill: ")
            say(
                f"{sum(lost[-1:])}, answered at most {sum(lost_seconds[-1:]):.1f} s before it; load {os.getloadavg()[0]:.0f}\n"
            )
        total, bill = len(endpoint.asked), sum(map(billed_usd, endpoint.asked))
        endpoint.script = played
        await generate(config(endpoint.url, source), folder / "whole")
        needed = len(endpoint.asked) - total
    same = await pairs(run) == await pairs(folder / "whole")
    say(
        f"{len(lost):,} losses; {needed:,} requests needed, {total:,} sent; pairs equal to the undisturbed run: {same}\n"
    )
    say(
        f"sent again a loss {sum(lost) / max(len(lost), 1):.0f}, at most {max(lost)}; answered before the kill by at most "
    )
    say(f"{max(lost_seconds):.2f} s (mean {sum(lost_seconds) / max(len(lost_seconds), 1):.2f}); interval {every:g} s\n")
    counted = await spent_usd([run])
    say(f"bill ${bill:.4f}; the run counts ${counted:.4f} as spent; budget: {budget_usd}\n")
    assert same
    assert budget_usd is None or bill <= counted <= budget_usd


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("--tasks", 3000), ("--kills", 20)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--every", type=float, default=2.0)
    parser.add_argument("--budget-usd", type=float)
    parser.add_argument("--copy", help="another place for the copy than a folder of the trial")
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(trial(Path(name), **vars(parser.parse_args())))
