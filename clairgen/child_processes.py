"""Child processes that end with their parent, whatever ends that: their standard input is a pipe from it, which then ends.

A child that is our own code calls `end_with_parent`. Any other command runs under this module, as `watched_command` writes it.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final

TERMINATE: Final = b"t"
KILL: Final = b"k"
"""What the parent of a watched command writes to send it, and what it has started, SIGTERM or SIGKILL."""
_SECONDS_TO_KILL: Final = 20.0
_SET_PARENT_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG of prctl(2)


def end_with_parent(obey: Callable[[bytes], None] = lambda _words: None) -> threading.Thread:
    """End this process at once when its standard input ends; `obey` is called, in a thread, with what comes before."""
    watching = threading.Thread(target=_watch_parent, args=(obey,), daemon=True)
    watching.start()
    return watching


def watched_command(words: Sequence[str], grace_seconds: float) -> list[str]:
    """The command line under which a program and its arguments run until they end, or standard input does.

    Then the program and what it has started get SIGTERM, and after `grace_seconds` SIGKILL.
    """
    return [sys.executable, "-P", "-m", "clairgen.child_processes", f"{grace_seconds:g}", *words]


def main() -> None:
    """Run the command of the arguments, after the first one, until it ends, or standard input does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    grace_seconds, *words = sys.argv[1:]
    try:
        # No thread runs yet, so that there may be something to do between fork and exec.
        process = subprocess.Popen(  # noqa: S603 - our parent's
            words, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_killed_with(os.getpid())
        )
    except OSError as error:
        sys.exit(f"{words[0]} cannot be started: {error.strerror}")
    is_ending = threading.Event()
    ending = threading.Thread(target=_end_with_input, args=(process, float(grace_seconds), is_ending), daemon=True)
    ending.start()
    code = process.wait()
    if is_ending.is_set():
        ending.join()
    sys.exit(code)


def _killed_with(parent: int) -> Callable[[], None] | None:
    """What a new process does so that the kernel kills it if its parent is killed, which could not do so itself (Linux only)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask_kernel() -> None:
        prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed just now
            os._exit(1)

    return ask_kernel


def _watch_parent(obey: Callable[[bytes], None]) -> None:
    while words := os.read(sys.stdin.fileno(), 1024):
        obey(words)
    os._exit(0)  # nobody waits for what is in flight, and what was not committed is done again


def _end_with_input(process: "subprocess.Popen[bytes]", grace_seconds: float, is_ending: threading.Event) -> None:
    """Wait until standard input ends, then end the command with all its processes."""
    while words := os.read(0, 1024):
        _send(process, signal.SIGKILL if KILL in words else signal.SIGTERM)
    is_ending.set()
    for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, _SECONDS_TO_KILL)):
        _send(process, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def _send(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


if __name__ == "__main__":
    main()
