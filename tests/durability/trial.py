"""A run under kills: each command is killed so often, what it did is held against the invariants, and then it ends by itself."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from clairgen import api
from clairgen.errors import ClairgenError, RunError
from tests.durability.invariants import Money, Snapshot, after_rework, after_session, files, snapshot
from tests.durability.killer import Aim, Ended, Killer, drawn_aim
from tests.durability.provider import Provider, Session
from tests.scripted import ScriptedEndpoint

PICODOLLARS: Final = 10**12
_TRIES: Final = 3
"""A command that ends before it is killed is run again: so many times as often as it is to be killed, at most."""

_LOOKED_AT: Final = 0.5
"""Share of the kills after which the run is looked at, as a user does, before the next command."""

Check = Callable[[], Awaitable[Iterable[str]]]
"""What is violated after a command, beside what always must hold."""


@dataclass(slots=True)
class Tally:
    """What trials saw: kills by command and by aim, answers that were paid for and those lost to kills, violations."""

    kills: Counter[str] = field(default_factory=Counter)
    aims: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    paid_twice: int = 0
    most_unanswered: int = 0
    most_uncommitted: int = 0
    violations: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds until a command begins to work, and those that each command then works."""

    start: float = 0.6
    work: dict[str, float] = field(default_factory=dict)


class Trial:
    """One run in `folder`, served by a provider of its own. `fault` is planted into the processes.

    Set `budget_usd` to what the next command has for its budget; 0 is for a run without prices.
    """

    def __init__(
        self, folder: Path, seed: int, tally: Tally, durations: Durations | None = None, fault: str | None = None
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.run, self.out = folder / "run", folder / "out"
        self.chance = random.Random(seed)
        self.provider = Provider(self.chance)
        self.answered: Counter[int] = Counter()
        self.budget_usd = 0.0
        self.tally = tally
        self._durations = durations or Durations()
        self._name = f"seed {seed}"
        self._killer = Killer(self.run, self.out, fault)
        self._endpoint = ScriptedEndpoint(self.provider.reply)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve the provider; its base URL."""
        async with self._endpoint:
            self._endpoint.on_sent = self._sent
            self.provider.on_asked = partial(self._killer.happened, "asked")
            yield self._endpoint.url

    async def through(
        self, kills: float, *command: str | Path, codes: Sequence[int] = (0,), check: Check | None = None
    ) -> None:
        """Kill a command so often, going on each time, and then let it end with one of the exit `codes`.

        `generate` and `migrate` may end before they were killed so often; then nothing is left for them to do.
        """
        name, left = str(command[0]), round(kills)
        for _ in range(_TRIES * left):
            if not left:
                break
            aim = drawn_aim(self.chance, name, self._durations.start, self._durations.work.get(name, 0.5))
            ended = await self.watched(*command, aim=aim, codes=codes, check=check)
            if ended.killed:
                left -= 1
                self.tally.kills[name] += 1
                self.tally.aims[aim.at] += 1
            elif name in ("generate", "migrate"):
                return
        await self.watched(*command, codes=codes, check=check)

    async def watched(
        self, *command: str | Path, aim: Aim | None = None, codes: Sequence[int] = (0,), check: Check | None = None
    ) -> Ended:
        """Run a command, and hold what it did against the invariants."""
        before = snapshot(self.run / "run.db")
        session = self.provider.session = Session()
        ended = await self._killer.run(*command, aim=aim)
        sent = set(session.sent)
        await self._endpoint.clients_gone()  # what a killed process sent may still be read, and is billed
        after = snapshot(self.run / "run.db")
        where = f"{command[0]}, {f'killed at {aim}' if ended.killed else f'exit code {ended.code}'}"
        if not ended.killed and ended.code not in codes:
            self.violated([f"{ended.said[-2000:]}"], where)
        self.violated(self._broken(str(command[0]), before, after, session, killed=ended.killed), where)
        if check is not None:
            self.violated(await check(), where)
        if ended.killed and self.chance.random() < _LOOKED_AT:
            self.violated(await self._unreadable(), where)
        self.answered += session.answered
        if ended.killed:
            uncommitted = session.answered.keys() - after.seeds.keys()
            self.tally.most_uncommitted = max(self.tally.most_uncommitted, len(uncommitted))
            self.tally.most_unanswered = max(self.tally.most_unanswered, len(uncommitted - sent))
        return ended

    def violated(self, violations: Iterable[str], where: str) -> None:
        """Keep what was violated, and where."""
        self.tally.violations += [f"{self._name}, {where}: {violation}" for violation in violations]

    async def export_is_one_of(self, expected: Sequence[Mapping[str, str]]) -> Iterable[str]:
        """An export of the run as it is now is one of these data sets, or is refused since filters have not seen all."""
        try:
            await api.export(self.run, self.folder / "now", overwrite=True)
        except RunError:
            return ()
        except ClairgenError as error:
            return (f"an export failed: {error}",)
        if files(self.folder / "now") in expected:
            return ()
        return ("an export gives neither the old data set nor the new one",)

    async def _unreadable(self) -> Iterable[str]:
        """Why `status` cannot say how a killed run stands; that it has yet to be migrated or begun is an answer."""
        try:
            await api.status(self.run)
        except RunError:
            return ()
        except ClairgenError as error:
            return (f"the run cannot be read: {error}",)
        return ()

    def _broken(
        self, command: str, before: Snapshot, after: Snapshot, session: Session, *, killed: bool
    ) -> Iterator[str]:
        if command != "generate":
            return after_rework(before, after, session)
        money = Money(self.provider.picodollars, int(self.budget_usd * PICODOLLARS)) if self.budget_usd else None
        return after_session(before, after, session, money, killed=killed)

    def _sent(self, request: dict[str, object]) -> None:
        self.provider.sent(request)
        self._killer.happened("answered")
