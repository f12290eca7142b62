"""A command run as a process of its own and killed by SIGKILL at a moment that was drawn or aimed at."""

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.0003


@dataclass(frozen=True, slots=True)
class Aim:
    """When a process is killed: so long (`seconds`) after the event `at` has happened `times` times.

    Events: "start"; "asked", a request was received; "answered", a reply was sent; "commit", the write-ahead log changed; "lock",
    the run's lock was taken; "rename", a data set is whole in its draft folder.
    """

    at: str
    times: int = 1
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.at} {self.times} + {self.seconds:.3f} s"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended; `code` is None if it was killed."""

    code: int | None
    said: str

    @property
    def killed(self) -> bool:
        """Whether it was killed before it ended by itself."""
        return self.code is None


class Killer:
    """Runs commands of clairgen, each with one aim. `happened` is called for the events "asked" and "answered"."""

    def __init__(self, run: Path, out: Path, fault: str | None) -> None:
        self._files: dict[str, Callable[[], object]] = {
            "commit": lambda: _state(run / "run.db-wal"),
            "lock": lambda: _state(run / "lock"),
            "rename": lambda: (out.with_name(f".{out.name}.partial") / "README.md").exists(),
        }
        self._command = [sys.executable, "-m", "clairgen"]
        if fault is not None:
            self._command = [sys.executable, "-m", "tests.durability.planted", fault]
        self._environment = os.environ | {"COLUMNS": "120"}
        self._aim: Aim | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._count = 0

    async def run(self, *arguments: str | Path, aim: Aim | None = None) -> Ended:
        """Run a command to its end, or until it is killed."""
        self._aim, self._count = aim, 0
        before = self._files[aim.at]() if aim and aim.at in self._files else None
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command,
            *map(str, arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
        )
        watch = None
        if aim is not None and aim.at in self._files:
            watch = asyncio.create_task(asyncio.to_thread(self._watch, aim, before, process))
        elif aim is not None and aim.at == "start":
            self._kill_after(aim.seconds)
        said, _ = await process.communicate()
        self._process = None
        if self._timer is not None:
            self._timer.cancel()
        if watch is not None:
            await watch
        killed = process.returncode == -signal.SIGKILL
        return Ended(None if killed else process.returncode, said.decode(errors="replace"))

    def happened(self, event: str) -> None:
        """Kill the process, if this is the event that is aimed at."""
        if self._aim is None or self._aim.at != event or self._process is None:
            return
        self._count += 1
        if self._count == self._aim.times:
            self._kill_after(self._aim.seconds)

    def _kill_after(self, seconds: float) -> None:
        assert self._process is not None
        if seconds:
            self._timer = asyncio.get_running_loop().call_later(seconds, _kill, self._process)
        else:
            _kill(self._process)

    def _watch(self, aim: Aim, before: object, process: asyncio.subprocess.Process) -> None:
        """Look at a file, in a thread, until it has changed as often as aimed at."""
        changes = 0
        while process.returncode is None:
            now = self._files[aim.at]()
            if now != before:
                before, changes = now, changes + 1
                if changes >= aim.times:
                    time.sleep(aim.seconds)
                    _kill(process)
                    return
            time.sleep(_POLL_SECONDS)


def drawn_aim(chance: random.Random, command: str, start_seconds: float, work_seconds: float) -> Aim:
    """An aim for a command that takes `start_seconds` until it works, and then `work_seconds`."""
    anywhere = Aim("start", seconds=chance.uniform(0.3 * start_seconds, start_seconds + work_seconds))
    if command == "migrate":
        work_seconds = 0.1
    locked = Aim("lock", seconds=chance.uniform(0, work_seconds))
    committing = Aim("commit", chance.choice((1, 1, 2, 3, 5, 8, 20, 50)), chance.choice((0, 0, 0.001, 0.005)))
    if command == "generate":
        asked = Aim("asked", chance.randint(1, 80), chance.choice((0, 0.002)))
        answered = Aim("answered", chance.randint(1, 80), chance.choice((0, 0, 0.001, 0.003, 0.01)))
        return chance.choices((anywhere, answered, asked, committing), (40, 25, 10, 25))[0]
    if command == "export":
        return chance.choices((anywhere, Aim("rename", seconds=chance.choice((0, 0, 0.0005, 0.002)))), (40, 60))[0]
    return chance.choices((anywhere, locked, committing), (20, 40, 40))[0]


def _kill(process: asyncio.subprocess.Process) -> None:
    """Not by the process object, which belongs to the loop's thread."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
