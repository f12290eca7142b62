"""Which tests are slow by their kind, and how many examples Hypothesis tries where time is short."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No test speaks TLS, and each client reads all certificates that it may trust when it is made: one instead of hundreds.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "nobody.pem")
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent / "none")

SLOW_KINDS = ("browser", "process", "train")

settings.register_profile("few", max_examples=20, deadline=None)  # --hypothesis-profile few; the default is 100


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.get_closest_marker(kind) for kind in SLOW_KINDS):
            item.add_marker(pytest.mark.slow)
