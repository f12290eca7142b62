"""Which runs of a root go on or did lately, where they stand, and how many there are in each state, read again and again."""

import asyncio
import datetime
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from clairgen.errors import ClairgenError
from clairgen.pipeline.run_log import LastSession, last_session
from clairgen.service.kept_figures import KeptFigures
from clairgen.service.runs_root import RunsRoot
from clairgen.store import RunDirectory, reading

MOST_RUNS: Final = 30
"""Active runs that are looked into; so many at most."""
_ACTIVE_SECONDS: Final = 15 * 60.0
_STATES: Final = ("running", "done", "stopped", "killed", "without-log", "unreadable")
_Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """A run that goes on, or did lately: its last session, and its pairs by recipe and status."""

    name: str
    session: LastSession
    statuses: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class RunsSeen:
    """All runs by state; the active ones, and how many of those there are besides."""

    states: Mapping[str, int]
    active: Sequence[ActiveRun]
    left_out: int


class RunsReader:
    """Reads what metrics need of the runs of a root; a log or a database that has not changed is not read again."""

    def __init__(self, root: RunsRoot) -> None:
        self._root = root
        self._statuses = KeptFigures(_statuses)
        self._sessions: dict[str, tuple[_Stamp, LastSession | None]] = {}

    async def read(self, now: datetime.datetime) -> RunsSeen:
        """What is to be seen now. Raises RunError for a root that cannot be read."""
        found = await asyncio.to_thread(self._read_logs, now)
        states = Counter(dict.fromkeys(_STATES, 0))
        states.update(_state(session) for session, _ in found.values())
        lately = [name for name, (_, age_seconds) in found.items() if age_seconds < _ACTIVE_SECONDS]
        lately.sort(key=lambda name: found[name][1])
        active = []
        for name in sorted(lately[:MOST_RUNS]):
            run, (session, _) = self._root.run(name), found[name]
            if run is None or session is None:
                continue
            try:
                statuses = await self._statuses.of(run)
            except ClairgenError:
                states[_state(session)] -= 1
                states["unreadable"] += 1
                statuses = {}
            active.append(ActiveRun(name, session, statuses))
        return RunsSeen(states, active, max(0, len(lately) - MOST_RUNS))

    def _read_logs(self, now: datetime.datetime) -> dict[str, tuple[LastSession | None, float]]:
        """The last session of every run, and the seconds since its log was written."""
        found: dict[str, tuple[LastSession | None, float]] = {}
        kept = {}
        for name in self._root.names():
            path = RunDirectory(self._root.path / name).events
            try:
                facts = path.stat()
            except OSError:
                found[name] = (None, math.inf)
                continue
            stamp, before = (facts.st_size, facts.st_mtime_ns), self._sessions.get(name)
            if before is None or before[0] != stamp or (before[1] is not None and before[1].running):
                before = (stamp, last_session(path, now))
            kept[name] = before
            found[name] = (before[1], now.timestamp() - facts.st_mtime)
        self._sessions = kept
        return found


def _state(session: LastSession | None) -> str:
    if session is None:
        return "without-log"
    if session.running:
        return "running"
    if session.ended is None:
        return "killed"
    return "done" if session.ended == "done" else "stopped"


async def _statuses(run: RunDirectory) -> dict[str, dict[str, int]]:
    async with reading(run, snapshot=True) as store:
        return await store.pairs.statuses()
