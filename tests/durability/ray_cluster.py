"""Nodes of a Ray cluster killed with -9 while shards are made: `python -m tests.durability.ray_cluster --kills 20`.

Three raylets on this machine are the nodes; one that is killed takes all its processes with it, and another one joins. Now and
then the command itself is killed. The provider has a limit a minute, and a bill of its own. At the end all pairs equal those of
one undisturbed run without shards, and nothing was asked twice but what was in flight or younger than the lag of the copies when
its process was killed.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import yaml
from ray.cluster_utils import Cluster

from clairgen.config.file import parse_config
from clairgen.config.models import RunConfig
from clairgen.iteration.served_command import free_port
from clairgen.pipeline.generate import generate
from tests.durability.provider import Provider, config_text, most_within, write_tasks
from tests.durability.shards import pairs
from tests.scripted import Reply, ScriptedEndpoint

CPUS = 3
"""Of a node: one more shard each than three nodes need, so that two have room for most."""
ATTEMPTS = 4
"""To start a node."""
SECONDS_TO_COMMIT = 1.0
"""An answer that was sent so long before a kill was in the process by then, and on its disk."""
SECONDS_TO_COPY = 3.0
"""What a busy machine adds to the lag of a copy."""
# A raylet that is gone is found out within some seconds, in place of half a minute.
QUICK = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}


@dataclass(slots=True)
class Ledger:
    """When each seed was asked and answered, in the provider's time, and when processes were killed."""

    asked: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    answered: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    kills: list[tuple[float, float]] = field(default_factory=list)
    """From the signal to the moment at which all processes were gone."""

    def ages_when_lost(self) -> list[float]:
        """How old, in seconds, the answers of requests that were sent again had become when a kill cost them.

        0 for one that had not arrived, infinite for one that no kill explains.
        """
        return [
            min(
                (self._age(seed, first, before, after) for first, last in self.kills if before <= last <= after),
                default=inf,
            )
            for seed, times in self.asked.items()
            for before, after in pairwise(times)
        ]

    def _age(self, seed: int, killed: float, before: float, after: float) -> float:
        answers = [at for at in self.answered[seed] if before <= at <= after]
        return max(killed - answers[0], 0.0) if answers else 0.0


class Nodes:
    """Nodes of a cluster on this machine, of which one at a time is killed and replaced."""

    def __init__(self, count: int) -> None:
        # No shard is placed on the head, which is never killed.
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK}
        self._cluster = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=False)
        self._nodes = [self._cluster.add_node(num_cpus=CPUS) for _ in range(count)]

    @property
    def address(self) -> str:
        """Of the head."""
        return str(self._cluster.address)

    def kill_one(self, chance: random.Random) -> int:
        """Kill a node with all that runs on it; the number of processes."""
        node = self._nodes.pop(chance.randrange(len(self._nodes)))
        count = kill_tree(node.all_processes["raylet"][0].process.pid)
        node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
        self._cluster.worker_nodes.discard(node)
        return count

    def add_one(self) -> None:
        """Let a node join, which Ray gives up on a busy machine after half a minute."""
        for left in reversed(range(ATTEMPTS)):
            try:
                self._nodes.append(self._cluster.add_node(num_cpus=CPUS))
            except Exception:
                if not left:
                    raise
            else:
                return

    def close(self) -> None:
        """End the cluster."""
        self._cluster.shutdown()


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    children = defaultdict[int, list[int]](list)
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                children[int(fields[1])].append(int(folder.name))
    found, left = [], [pid]
    while left:
        found += (new := children[left.pop()])
        left += new
    return found


def kill_tree(pid: int) -> int:
    """Kill a process and all that it has started as a machine does that loses its power: none notices what becomes of another.

    The number of processes.
    """
    victims: set[int] = set()
    while new := {pid, *descendants(pid)} - victims:  # until none was started meanwhile
        for one in new:
            _send(one, signal.SIGSTOP)
        victims |= new
    for one in victims:
        _send(one, signal.SIGKILL)
    return len(victims)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def recorded_spending(run: Path) -> int:
    """What a run says it has spent, in picodollars."""
    with closing(sqlite3.connect(run / "run.db")) as database:
        [(total,)] = database.execute("SELECT sum(coalesce(cost, max_cost)) FROM spending")
        return int(total or 0)


class Trial:
    """One trial in a folder."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder, self.arguments, self.chance = folder, arguments, random.Random(arguments.seed)
        self.settings, self.run, self.budget_usd = folder / "config.yaml", folder / "run", 0.0
        self.ledger, self.provider = Ledger(), Provider(self.chance)
        self.provider.lenient = True
        self.code: int | None = None
        self.port = 0
        self.stops: list[int | None] = []
        self.node_kills = 0

    def reply(self, request: dict[str, Any]) -> Reply:
        """What the provider says, noted in the ledger."""
        now = time.monotonic()
        self.ledger.asked[request["seed"]].append(now)
        self.ledger.times[request["model"]].append(now)
        return self.provider.reply(request)

    def sent(self, request: dict[str, Any]) -> None:
        """Note an answer."""
        self.ledger.answered[request["seed"]].append(time.monotonic())

    async def start(self, address: str) -> asyncio.subprocess.Process:
        """Start the command."""
        words = ["generate", self.settings, "--run", self.run, "--on", "ray", "--ray-address", address]
        words += ["--shards", self.arguments.shards, "--nodes", self.arguments.nodes, "--budget-usd", self.budget_usd]
        if self.arguments.copy_every:
            words += ["--copy-to", self.folder / "copies", "--copy-every", self.arguments.copy_every]
            words += ["--local-folder", self.folder / "disks"]
        coordinators = {"own": [], "none": ["--no-coordinator"]}
        words += coordinators.get(self.arguments.coordinator, ["--coordinator", f"http://127.0.0.1:{self.port}"])
        with (self.folder / "said.log").open("ab") as said:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "clairgen", *map(str, words), stdout=said, stderr=said, start_new_session=True
            )

    async def whole(self, endpoint: ScriptedEndpoint) -> int:
        """The undisturbed run without shards; what it cost, in picodollars."""
        endpoint.script = self.provider.reply
        before, self.provider.seconds = self.provider.picodollars, (0.0, 0.0)
        await generate(self.config(endpoint.url), self.folder / "whole")
        return self.provider.picodollars - before

    def config(self, url: str, **limits: float) -> RunConfig:
        """Write the configuration, with limits for every role."""
        content = yaml.safe_load(config_text(url, self.folder / "tasks.jsonl"))
        for role in content["models"].values():
            role |= limits
        text = yaml.safe_dump(content)
        self.settings.write_text(text)
        return parse_config(text)

    @contextlib.asynccontextmanager
    async def coordinator(self) -> AsyncIterator[None]:
        """A service that leases the limits and the budget to the shards, if it is to be one that outlives the command."""
        if self.arguments.coordinator != "service":
            yield
            return
        self.port, folder = free_port(), self.folder / "service"
        folder.mkdir()
        words = ["serve", folder, "--port", self.port, "--jobs", "1"]
        with (self.folder / "service.log").open("ab") as said:
            service = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "clairgen", *map(str, words), stdout=said, stderr=said
            )
        try:
            yield
        finally:
            service.terminate()
            await service.wait()

    async def make(self, nodes: Nodes) -> None:
        """Make the run while nodes are killed, until it is made and there were enough kills, or it is made before."""
        driver, events = await self.start(nodes.address), 0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(driver.wait(), self.chance.uniform(4, 4 + self.arguments.every))
                break
            if self.node_kills >= self.arguments.kills or not self.ledger.asked:
                continue
            events, at = events + 1, time.monotonic()
            if events % self.arguments.driver_every == 0:
                await self.stop(driver, events)
                driver = await self.start(nodes.address)
                continue
            count = await asyncio.to_thread(nodes.kill_one, self.chance)
            self.node_kills += 1
            self.ledger.kills.append((at, time.monotonic()))
            say(f"{events}: killed a node with {count} processes; {len(self.ledger.asked):,} requests so far")
            await asyncio.sleep(self.chance.uniform(0, 4))
            await asyncio.to_thread(nodes.add_one)
        self.code = driver.returncode

    async def stop(self, driver: asyncio.subprocess.Process, events: int) -> None:
        """End the command, first with -9 and then in turn by Ctrl-C, after which nothing may be sent again."""
        at, so_far = time.monotonic(), f"{len(self.ledger.asked):,} requests so far"
        if (events // self.arguments.driver_every) % 2:
            driver.kill()
            await driver.wait()
            await asyncio.sleep(3)  # for its shards to notice
            self.ledger.kills.append((at, time.monotonic()))
            say(f"{events}: killed the command; {so_far}")
            return
        driver.send_signal(signal.SIGINT)
        say(f"{events}: stopped the command, which ended with {await driver.wait()}; {so_far}")
        self.stops.append(driver.returncode)

    async def play(self) -> None:
        """Make the run on the cluster and once undisturbed, and compare."""
        write_tasks(self.folder / "tasks.jsonl", self.arguments.tasks)
        async with ScriptedEndpoint(self.reply) as endpoint:
            cost = await self.whole(endpoint)
            endpoint.script, endpoint.on_sent = self.reply, self.sent
            self.provider.seconds, self.provider.picodollars = (0.05, 0.4), 0
            self.config(endpoint.url, requests_per_minute=self.arguments.limit)
            self.budget_usd = round(1.5 * cost / 1e12, 6)
            nodes = await asyncio.to_thread(Nodes, self.arguments.nodes)
            try:
                async with self.coordinator():
                    await self.make(nodes)
            finally:
                await asyncio.to_thread(nodes.close)
        await self.compare(cost)

    async def compare(self, cost: int) -> None:
        """Say how the trial went, and fail if anything was lost, asked again without a reason, or over its limit."""
        ledger = self.ledger
        merged, whole = await pairs(self.run), await pairs(self.folder / "whole")
        lag = SECONDS_TO_COMMIT + (self.arguments.copy_every and self.arguments.copy_every + SECONDS_TO_COPY)
        needed, ages = len(ledger.asked), ledger.ages_when_lost()
        most = {model: most_within(60, times) for model, times in ledger.times.items()}
        bill, recorded = self.provider.picodollars, recorded_spending(self.run)
        others = len(ledger.kills) - self.node_kills
        say(
            f"exit code {self.code}; killed: {self.node_kills} nodes, the command {others} times; {len(self.stops)} times Ctrl-C"
        )
        say(f"{len(merged):,} pairs, equal to the undisturbed run: {merged == whole}")
        say(
            f"{needed:,} requests needed; {len(ages):,} sent again, whose answers were at most {max(ages, default=0):.1f} s old"
        )
        say(f"most a minute {most}, of {self.arguments.limit} allowed")
        figures = {"bill": bill, "recorded": recorded, "budget": self.budget_usd * 1e12, "undisturbed": cost}
        say(", ".join(f"{name} ${amount / 1e12:.6f}" for name, amount in figures.items()))
        assert self.code == 0 and set(self.stops) <= {0, 130} and self.node_kills == self.arguments.kills
        assert merged == whole
        assert max(ages, default=0) <= lag
        assert bill <= self.budget_usd * 1e12
        assert self.arguments.copy_every or bill <= recorded
        assert all(count <= 1.03 * self.arguments.limit for count in most.values())


def say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    numbers = {
        "shards": 8,
        "nodes": 3,
        "tasks": 2400,
        "kills": 20,
        "driver-every": 7,
        "every": 14,
        "limit": 480,
        "seed": 0,
    }
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--copy-every", type=float, default=2.0, help="The lag of the copies; 0 for one disk of all nodes."
    )
    parser.add_argument(
        "--coordinator",
        choices=("own", "service", "none"),
        default="own",
        help="What divides the limits and the budget: the command itself, a service, or an equal share for each shard.",
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        try:
            asyncio.run(Trial(Path(name), given).play())
        except BaseException:
            said = Path(name) / "said.log"
            sys.stderr.write(said.read_text()[-8000:] if said.exists() else "")
            raise
