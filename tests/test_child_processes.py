"""Child processes end with their parent, also where the one that watches over them is killed itself."""

import os
import signal
import subprocess
import sys
import time

import pytest

from clairgen.child_processes import watched_command

SLEEPS = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def has_ended(pid: int) -> bool:
    """Whether a process of another parent is gone, within some seconds."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a process with its parent")
def test_a_command_ends_with_its_watcher_that_is_killed() -> None:
    words = watched_command([sys.executable, "-c", SLEEPS], grace_seconds=0)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher:
        assert watcher.stdout is not None
        pid = int(watcher.stdout.readline())
        watcher.send_signal(signal.SIGKILL)
        assert has_ended(pid)
