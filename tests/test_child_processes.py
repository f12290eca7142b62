"""Child processes end with their parent, also where the one that watches over them is killed itself."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clairgen.child_processes import watched_command

SLEEPS = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def has_ended(pid: int) -> bool:
    """Whether a process of another parent is gone, within some seconds."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":  # whoever inherited it has not looked yet
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
