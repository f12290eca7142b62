"""The worker's process as the service sees it: started, woken, started again if it ends by itself, and ended with the service."""

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Self

from clairgen.wording import counted

WAKE: Final = b"w"
STOP: Final = b"s"
"""What the service writes to the worker. The end of its input, which the service's death by any cause leads to, ends it."""
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 60.0
_SECONDS_TO_END: Final = 10.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What the worker is started with: the folder of runs, and the seconds that jobs may drain.

    `jobs` that ask models and `processes` of others run at once. `budget_usd` is over all
    that ask models; the rest is what jobs may name, see `policy_of`.
    """

    root: str
    jobs: int
    processes: int
    drain_seconds: float
    budget_usd: float | None = None
    allow_env: Sequence[str] = ()
    allow_endpoint: Sequence[str] = ()
    allow_hub: bool = False

    def command(self) -> list[str]:
        """The command line of the worker's process."""
        return [sys.executable, "-P", "-m", "clairgen.cli.job_worker", json.dumps(asdict(self))]

    @classmethod
    def of(cls, argument: str) -> Self:
        """The settings that such a command line has."""
        return cls(**json.loads(argument))


class WorkerProcess:
    """A child process that runs `command` and holds the descriptors `pass_fds`, such as those of a lock, as long as it lives.

    Its environment is `variables`. `note` is called with a sentence when it ended by itself.
    """

    def __init__(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        pass_fds: Sequence[int],
        note: Callable[[str], None],
    ) -> None:
        self._command = command
        self._variables = variables
        self._pass_fds = pass_fds
        self._note = note
        self._process: Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a worker now."""
        return self._process is not None and self._process.returncode is None

    def wake(self) -> None:
        """Tell the worker that the queue has changed."""
        self._send(WAKE)

    async def run(self, stop: asyncio.Event, drain_seconds: float) -> None:
        """Keep a worker running until `stop` is set, and then let it drain; when this is cancelled it ends at once."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.create_task(stop.wait(), name="stop the worker")
        pause = _FIRST_PAUSE_SECONDS
        try:
            while not stop.is_set():
                began = loop.time()
                self._process = await self._started()
                ending = asyncio.create_task(self._process.wait(), name="worker")
                try:
                    await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
                    if stop.is_set():
                        self._send(STOP)
                        await asyncio.wait({ending}, timeout=drain_seconds + _SECONDS_TO_END)
                finally:
                    await self._end(ending)
                if stop.is_set():
                    return
                pause = _FIRST_PAUSE_SECONDS if loop.time() - began > _LONGEST_PAUSE_SECONDS else pause
                self._note(
                    f"the worker of jobs ended by itself ({_how(self._process)}); it is started again in "
                    f"{counted(round(pause), 'second') if pause >= 1 else 'a moment'}, and its jobs go on"
                )
                await asyncio.wait({stopping}, timeout=pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        finally:
            stopping.cancel()

    async def _started(self) -> Process:
        # A session of its own: Ctrl-C in the terminal is for the service, which tells the worker.
        return await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=DEVNULL,
            env=self._variables,
            pass_fds=self._pass_fds,
            start_new_session=True,
        )

    def _send(self, word: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(
                ConnectionError, RuntimeError
            ):  # it has ended, and looks at the queue when it begins
                self._process.stdin.write(word)

    async def _end(self, ending: asyncio.Task[int]) -> None:
        """Close the worker's input, which ends it, and wait for that."""
        assert self._process is not None and self._process.stdin is not None  # noqa: S101 - stdin=PIPE above
        self._process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            if self._process.returncode is None:
                self._process.kill()
        await ending


def _how(process: Process) -> str:
    code = process.returncode or 0
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
