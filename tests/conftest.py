"""Which tests are slow by their kind, and how many examples Hypothesis tries where time is short."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# No test speaks TLS, and each client reads all certificates that it may trust when it is made: one instead of hundreds.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "nobody.pem")
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent / "none")
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # TRL reports every trainer that is built

# A run's database is written through to its disk with every commit; in memory that costs a quarter less of all a test's time.
_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own there
if "TMPDIR" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 4e9:
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)

SLOW_KINDS = ("browser", "process", "train")

# Examples have no deadline: the first ones compile patterns and import packages, which takes long on a busy machine.
settings.register_profile("whole", deadline=None)
settings.load_profile("whole")
settings.register_profile("few", max_examples=20, deadline=None)  # --hypothesis-profile few; the default is 100


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.get_closest_marker(kind) for kind in SLOW_KINDS):
            item.add_marker(pytest.mark.slow)
