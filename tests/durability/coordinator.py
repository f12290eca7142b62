"""Shards as processes that share one paid server by a coordinator: `python -m tests.durability.coordinator`.

The coordinator is killed with -9 and started again, cut off from half of the shards for a while, and a shard is killed and
started again. By the server's own log the rate limit has to be kept within 3%, by its bill the budget; with a larger budget all
goes on, and the merged run has every pair of the run of one machine.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from clairgen.iteration.served_command import free_port
from clairgen.pipeline.generate import generate
from tests.durability.provider import most_within
from tests.durability.shards import committed, pairs, started
from tests.runs import REVISER, config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint

FREE = {"price_per_million": {"input": 0, "output": 0}}
PICODOLLARS = 10**6 * (200 * 10 + 30 * 30)
"""What an answer of the reviser costs, by its tokens and prices."""
WINDOW_SECONDS = 20.0
SHARDS = 4


@dataclass
class Paid:
    """The server: when it was asked what costs something, and what it bills."""

    asked_at: list[float] = field(default_factory=list)
    bill: int = 0

    def reply(self, request: dict[str, Any]) -> Reply:
        """What it answers."""
        found = played(request)
        if request["model"] == REVISER:
            self.asked_at.append(time.monotonic())
            self.bill += PICODOLLARS
        return Reply(found.body, headers=found.headers, delay_seconds=0.2)


class Forwarder:
    """A TCP port that leads to another one while it `is_on`."""

    def __init__(self, port: int) -> None:
        self.is_on = True
        self._to = port
        self._open = set[asyncio.StreamWriter]()
        self._tasks = set[asyncio.Task[None]]()

    async def start(self) -> int:
        """Listen; at which port."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        """Break off what is connected, and take no connections."""
        self.is_on = False
        for one in self._open:
            one.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_on:
            writer.transport.abort()
            return
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, there}
        await asyncio.gather(_piped(reader, there), _piped(there_reader, writer))
        self._open -= {writer, there}


async def _piped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def coordinator(root: Path, port: int) -> asyncio.subprocess.Process:
    serving = await started("serve", root, "--port", str(port), "--jobs", "1")
    async with httpx.AsyncClient() as client:
        for _ in range(600):
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200:
                    return serving
            await asyncio.sleep(0.1)
    raise TimeoutError("no coordinator")


@asynccontextmanager
async def ended(processes: list[asyncio.subprocess.Process]) -> AsyncIterator[None]:
    """Kill what is left of these at the end."""
    try:
        yield
    finally:
        for one in processes:
            if one.returncode is None:
                one.kill()
                await one.wait()


async def trial(folder: Path, *, tasks: int, rate: int, cut_seconds: float) -> None:
    source = write_tasks(folder / "tasks.jsonl", questions(tasks))
    settings, root = folder / "config.yaml", folder / "runs"
    root.mkdir()
    paid, say, processes = Paid(), sys.stdout.write, list[asyncio.subprocess.Process]()
    budget_usd = 0.7 * tasks * PICODOLLARS / 10**12
    port = free_port()
    forwarder = Forwarder(port)
    addresses = [port, port, forwarded := await forwarder.start(), forwarded]
    async with ScriptedEndpoint(paid.reply) as endpoint, ended(processes):
        limits = {"requests_per_minute": rate, "concurrency": 12}
        roles = {"target": FREE, "stronger": FREE, "reviser": limits}
        settings.write_text(config_text(endpoint.url, source, **roles))
        serving = await coordinator(root, port)
        processes.append(serving)

        async def shard(address: int, usd: float) -> asyncio.subprocess.Process:
            arguments: list[str | Path] = ["--shard", f"lease/{SHARDS}", "--run", folder / "shards" / "{shard}"]
            arguments += ["--coordinator", f"http://127.0.0.1:{address}", "--budget-usd", f"{usd:g}"]
            process = await started("generate", settings, *arguments)
            processes.append(process)
            return process

        began = time.monotonic()
        running = [await shard(address, budget_usd) for address in addresses]
        await asyncio.sleep(15)
        serving.send_signal(signal.SIGKILL)
        await serving.wait()
        await asyncio.sleep(2)
        serving = await coordinator(root, port)
        processes.append(serving)
        await asyncio.sleep(15)
        forwarder.cut()
        at = len(paid.asked_at)
        await asyncio.sleep(cut_seconds)
        say(f"cut off for {cut_seconds:g} s, in which the others sent {len(paid.asked_at) - at:,} requests\n")
        forwarder.is_on = True
        await asyncio.sleep(5)
        running[0].send_signal(signal.SIGKILL)
        await running[0].wait()
        on_disk = {seed for number in range(1, SHARDS + 1) for seed in committed(folder / "shards" / str(number))}
        before = len(endpoint.asked)
        running[0] = await shard(port, budget_usd)
        codes = await all_ended(running)
        async with httpx.AsyncClient() as client:
            [group] = (await client.get(f"http://127.0.0.1:{port}/api/coordinator")).json()
        seconds = paid.asked_at[-1] - paid.asked_at[0]
        most, allowed = most_within(WINDOW_SECONDS, paid.asked_at), rate * WINDOW_SECONDS / 60
        bill, in_first = paid.bill, len(paid.asked_at)
        say(f"exit codes {codes} after {time.monotonic() - began:.0f} s\n")
        say(
            f"rate: {60 * in_first / seconds:,.0f} a minute on average, limit {rate:,}; at most {most} in {WINDOW_SECONDS:g} s, "
            f"{100 * most / allowed - 100:+.1f}% of the limit's {allowed:g}\n"
        )
        say(
            f"bill ${bill / 10**12:.4f} of a budget of ${budget_usd:.4f}; the coordinator says ${group['spent_usd']:.4f} spent, "
            f"${group['allotted_usd']:.4f} allotted\n"
        )
        running = [await shard(address, 2 * budget_usd) for address in addresses]
        codes_of_rest = await all_ended(running)
        asked = endpoint.asked[:]
        say(f"with twice the budget: exit codes {codes_of_rest}, bill ${paid.bill / 10**12:.4f}\n")
        merge = await started("merge", folder / "shards", "--run", folder / "merged")
        assert await merge.wait() == 0
        summary = await generate(config(endpoint.url, source, **roles), folder / "merged")
        after_merge = len(endpoint.asked) - len(asked)
        endpoint.script = played
        await generate(config(endpoint.url, source), folder / "whole")
    merged, whole = await pairs(folder / "merged"), await pairs(folder / "whole")
    by_seed = Counter(request["seed"] for request in asked)
    again = sum(request["seed"] in on_disk for request in asked[before:])
    twice = sum(count - 1 for count in by_seed.values())
    say(f"{summary}\n{len(merged):,} pairs, equal to the run of one machine: {merged == whole}\n")
    say(f"sent twice: {twice}, of which on disk before: {again}; sent after the merge: {after_merge}\n")
    assert merged == whole
    assert again == after_merge == 0
    assert bill <= budget_usd * 10**12
    assert bill > 0.9 * budget_usd * 10**12
    assert most <= 1.03 * allowed
    assert set(codes) <= {0, 2}
    assert 2 in codes
    assert set(codes_of_rest) == {0}


async def takeover(folder: Path, *, tasks: int) -> None:
    """A shard's machine is lost: another one goes on from the copy, and what the lost one may have spent beyond it counts."""
    settings, root = folder / "config.yaml", folder / "runs"
    root.mkdir(parents=True)
    source = write_tasks(folder / "tasks.jsonl", questions(tasks))
    paid, say, processes, port = Paid(), sys.stdout.write, list[asyncio.subprocess.Process](), free_port()
    budget_usd = 2 * tasks * PICODOLLARS / 10**12
    async with ScriptedEndpoint(paid.reply) as endpoint, ended(processes):
        roles = {"target": FREE, "stronger": FREE, "reviser": {"requests_per_minute": 900}}
        settings.write_text(config_text(endpoint.url, source, **roles))
        processes.append(await coordinator(root, port))

        async def shard(machine: str) -> asyncio.subprocess.Process:
            arguments: list[str | Path] = ["--shard", "lease/1", "--run", folder / machine / "{shard}"]
            arguments += ["--copy-to", f"file://{folder}/copies/{{shard}}", "--copy-every", "1"]
            arguments += ["--coordinator", f"http://127.0.0.1:{port}", "--budget-usd", f"{budget_usd:g}"]
            process = await started("generate", settings, *arguments)
            processes.append(process)
            return process

        lost = await shard("lost")
        while len(committed(folder / "lost" / "1")) < 1.5 * tasks:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.1)
        lost.kill()
        await lost.wait()
        had, before = committed(folder / "lost" / "1"), len(endpoint.asked)
        codes = await all_ended([await shard("other")])
        again = sum(request["seed"] in had for request in endpoint.asked[before:])
        async with httpx.AsyncClient() as client:
            [group] = (await client.get(f"http://127.0.0.1:{port}/api/coordinator")).json()
    say(
        f"taken over: exit code {codes}; of {len(had):,} answers on the lost disk {again} were asked again; bill "
        f"${paid.bill / 10**12:.4f}, ${group['allotted_usd']:.4f} counted, budget ${budget_usd:.4f}\n"
    )
    assert codes == [0]
    assert paid.bill <= group["allotted_usd"] * 10**12 <= budget_usd * 10**12


async def all_ended(running: Sequence[asyncio.subprocess.Process]) -> list[int]:
    """Wait for processes and print what they said of the coordinator; their exit codes."""
    codes = []
    for one in running:
        _, said = await asyncio.wait_for(one.communicate(), 300)
        lines = [
            line for line in said.decode().splitlines() if "oordinator" in line or "shard" in line or "budget" in line
        ]
        for line in dict.fromkeys(lines[-6:]):
            sys.stdout.write(f"  {line[:300]}\n")
        assert one.returncode is not None
        codes.append(one.returncode)
    return codes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("--tasks", 3000), ("--rate", 900), ("--cut-seconds", 60)):
        parser.add_argument(name, type=int, default=default)
    for variable in ("CLAIRGEN_COORDINATOR", "CLAIRGEN_TOKEN_MEMBER"):
        os.environ.pop(variable, None)
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(trial(Path(name), **vars(parser.parse_args())))
        asyncio.run(takeover(Path(name) / "takeover", tasks=300))
