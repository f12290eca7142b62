"""The process of a shard on its node: `clairgen generate`, which ends with its parent and is started again if it was killed.

It knows nothing of Ray, which only decides on which node this is.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clairgen.child_processes import TERMINATE, watched_command
from clairgen.coordination.coordinator_client import COORDINATOR_VARIABLE, MEMBER_VARIABLES
from clairgen.copies.epochs import KNOWN, newest_epoch, tokens_of
from clairgen.copies.storage import open_storage
from clairgen.errors import COPY, DRAINED, ENDPOINTS, FAILED, REPLACED, USER, InUseError, UserError
from clairgen.folder_lock import check_unused
from clairgen.installed import __version__
from clairgen.keys import digest
from clairgen.pipeline.progress import Counters
from clairgen.pipeline.run_log import last_session
from clairgen.store import RunDirectory, reading
from clairgen.task_shard import TaskShard
from clairgen.whole_files import write_whole

MOST_CRASHES: Final = 5
"""So often in a row a process may crash soon after its start; then nobody starts it again."""
_SOON_SECONDS: Final = 60.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_SECONDS_TO_UNLOCK: Final = 30.0  # for a process whose parent was killed to end as well
_TAIL_BYTES: Final = 1 << 16
_ERROR: Final = "Error: "
_TRACEBACK: Final = "Traceback (most recent call last):"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShardJob:
    """What a shard is made of, on whichever node: the configuration as YAML, and further options of `clairgen generate`.

    `copy_to` is the address of the shard's copy, from which it goes on on another node. `version` is that of the clairgen which
    the command was given to; a node with another one refuses the job.
    """

    shard: TaskShard
    configuration: str
    options: tuple[str, ...] = ()
    copy_to: str | None = None
    version: str = __version__


@dataclass(frozen=True, slots=True)
class ShardEnd:
    """How a shard's process ended: its exit code, the last line that it wrote to standard error, and on which node.

    `is_crash` is whether that is the end of a traceback.
    """

    code: int
    said: str
    node: str
    is_crash: bool = False

    @property
    def has_reached_its_budget(self) -> bool:
        """Whether it went as far as its budget allows, which is no mistake of the user's."""
        return self.code == USER and not self.said.startswith(_ERROR)

    @property
    def sentence(self) -> str:
        """What it said, without the word that begins it."""
        return self.said.removeprefix(_ERROR)


@dataclass(frozen=True, slots=True)
class ShardState:
    """Where a shard is: its node, the counters of its session, if it has begun, and the digest of its configuration."""

    node: str
    counters: Counters | None
    configuration: str = ""


class ShardProcess:
    """Runs a job in a folder of this node, in which the run is called by the shard's number.

    `run` is called in one thread, and meanwhile `state`, `reconfigure` and `drain` in others.
    """

    def __init__(self, job: ShardJob, folder: Path, node: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._job, self._node, self._clock = job, node, clock
        name = str(job.shard.number)
        self._run = RunDirectory(folder / name)
        self._config, self._output = folder / f"{name}.yaml", folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        # The options say which coordinator, or none, whatever the node's environment has.
        self._environment = {name: value for name, value in os.environ.items() if name != COORDINATOR_VARIABLE}
        self._configuration = job.configuration
        self._has_changed = False
        self._is_ending = False
        self._last: ShardState | None = None
        self._starting = threading.Lock()
        self._draining = threading.Event()

    def run(self, token: str | None = None) -> ShardEnd:
        """Run the process until it ends by itself, or has been drained; one that was killed is started again.

        It has the `token` for its coordinator in its environment, and in no file.
        """
        if token is not None:
            self._environment[MEMBER_VARIABLES[0]] = token
        if self._job.version != __version__:
            return self.ended(
                USER,
                f"{_ERROR}clairgen {__version__} is installed there, and {self._job.version} where the command was given; "
                "install one version everywhere",
            )
        try:
            self._prepare()
            return self._run_until_ended()
        except OSError as error:
            return self.ended(USER, f"{_ERROR}{error.filename or self._run.path} cannot be written: {error.strerror}")
        except UserError as error:
            return self.ended(USER, f"{_ERROR}{error}")

    def state(self) -> ShardState:
        """Where the shard is."""
        if self._last is not None:
            return self._last
        session = last_session(self._run.events)
        counters = session.counters if session is not None else None
        return ShardState(self._node, counters, digest(self._configuration))

    def reconfigure(self, configuration: str) -> None:
        """Go on with another configuration, once the process has finished what is in flight."""
        with self._starting:
            if configuration == self._configuration:
                return
            self._configuration, self._has_changed = configuration, True
            if self._process is not None:
                self._terminate(self._process)

    def drain(self) -> None:
        """Let the process finish what is in flight and end."""
        self._draining.set()
        with self._starting:
            if self._process is not None:
                self._terminate(self._process)

    def _run_until_ended(self) -> ShardEnd:
        crashes = 0
        while not self._draining.is_set():
            started = self._clock()
            end = self._once()
            if self._has_ended(end):
                self._last = self.state()
                if self._job.copy_to is not None and end.code in (0, FAILED):
                    shutil.rmtree(self._run.path)  # the copy is complete, and the node's disk may be small
                return end
            if self._draining.is_set():
                break
            if end.code == DRAINED and self._has_changed:
                continue
            crashes = crashes + 1 if self._clock() - started < _SOON_SECONDS else 1
            if crashes == MOST_CRASHES:
                return end
            _log.warning("shard %s ended with code %d, and is started again: %s", self._job.shard, end.code, end.said)
            self._draining.wait(min(2.0**crashes, _LONGEST_PAUSE_SECONDS))
        return self.ended(DRAINED, "")

    def _prepare(self) -> None:
        """Make the folder, and leave of what an earlier process made here only what the shard can go on from."""
        self._config.parent.mkdir(parents=True, exist_ok=True)
        self._wait_until_unused()
        if self._job.copy_to is not None and asyncio.run(_went_on_elsewhere(self._run, self._job.copy_to)):
            shutil.rmtree(self._run.path)

    def _wait_until_unused(self) -> None:
        until = self._clock() + _SECONDS_TO_UNLOCK
        while True:
            try:
                return check_unused(self._run.path)
            except InUseError:
                if self._clock() > until or self._draining.wait(0.2):
                    raise

    def _once(self) -> ShardEnd:
        """Run the process once."""
        words = [sys.executable, "-P", "-m", "clairgen", "generate", str(self._config), "--run", str(self._run.path)]
        words += ["--shard", str(self._job.shard), *self._job.options]
        words += ["--copy-to", self._job.copy_to] if self._job.copy_to is not None else []
        with self._starting, self._output.open("ab") as output:
            write_whole(self._config, self._configuration)
            self._has_changed, self._is_ending, began_at = False, False, output.tell()
            self._process = process = subprocess.Popen(  # noqa: S603 - our own command
                watched_command(words, grace_seconds=0),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=output,
                env=self._environment,
                start_new_session=True,
            )
            if self._draining.is_set():  # meanwhile
                self._terminate(process)
        code = process.wait()
        with self._starting:
            self._process = None
            assert process.stdin is not None  # noqa: S101 - stdin=PIPE above
            process.stdin.close()
        said = _written(self._output, began_at)
        lines = [line.strip() for line in said.split("\n") if line.strip()]
        return ShardEnd(code, lines[-1] if lines else "", self._node, is_crash=_TRACEBACK in said)

    def _has_ended(self, end: ShardEnd) -> bool:
        """Whether a process came to an end of its own; else something killed it, or it crashed."""
        if end.code == DRAINED:
            return self._draining.is_set()
        return end.code in (0, FAILED, USER, ENDPOINTS, COPY, REPLACED) and not end.is_crash

    def _terminate(self, process: "subprocess.Popen[bytes]") -> None:
        """Have the process drain; a second signal would have it leave what is in flight."""
        if self._is_ending:
            return
        self._is_ending = True
        assert process.stdin is not None  # noqa: S101 - stdin=PIPE above
        with contextlib.suppress(BrokenPipeError):  # it has ended
            process.stdin.write(TERMINATE)
            process.stdin.flush()

    def ended(self, code: int, said: str) -> ShardEnd:
        """An end on this node."""
        return ShardEnd(code, said, self._node)


async def _went_on_elsewhere(run: RunDirectory, copy_to: str) -> bool:
    """Whether the copy has what came after a run directory, on another node, so that only the copy can be gone on from."""
    newest = newest_epoch(open_storage(copy_to))
    if newest is None or not run.database.exists():
        return False
    async with reading(run) as store:
        return newest.token not in tokens_of(await store.metadata.get(f"{KNOWN}{newest.copy}"))


def _written(file: Path, began_at: int) -> str:
    """The end of what a file has after a position in bytes."""
    with file.open("rb") as content:
        content.seek(max(began_at, file.stat().st_size - _TAIL_BYTES))
        return content.read().decode(errors="replace")
