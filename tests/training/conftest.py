"""Training needs torch and trl: without the extra these tests are left out, unless the environment requires them."""

import importlib.util
import os

import pytest

_MISSING = [
    package for package in ("torch", "transformers", "trl", "peft") if importlib.util.find_spec(package) is None
]
if _MISSING and os.environ.get("CLAIRGEN_REQUIRE_TRAIN") != "1":
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/training/" in item.path.as_posix():
            item.add_marker(pytest.mark.train)
            item.add_marker(pytest.mark.timeout(300))
            # TRL 1.16 calls activation checkpointing by the name that transformers has given up since
            item.add_marker(
                pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*` is deprecated:FutureWarning")
            )
