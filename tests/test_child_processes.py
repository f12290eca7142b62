"""Child processes end with their parent, also where the one that watches over them is killed itself."""

import signal
import subprocess
import sys

import pytest

from clairgen.child_processes import watched_command
from tests.other_processes import has_ended

SLEEPS = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a process with its parent")
def test_a_command_ends_with_its_watcher_that_is_killed() -> None:
    words = watched_command([sys.executable, "-c", SLEEPS], grace_seconds=0)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher:
        assert watcher.stdout is not None
        pid = int(watcher.stdout.readline())
        watcher.send_signal(signal.SIGKILL)
        assert has_ended(pid, 20)
