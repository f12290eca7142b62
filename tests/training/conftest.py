"""Training needs torch and trl: without the extra these tests are left out, unless the environment requires them."""

import importlib.util
import os

import pytest

_MISSING = [
    package for package in ("torch", "transformers", "trl", "peft") if importlib.util.find_spec(package) is None
]
if _MISSING and os.environ.get("CLAIRGEN_REQUIRE_TRAIN") != "1":
    collect_ignore_glob = ["test_*.py", "*/test_*.py"]
if not _MISSING:
    import torch

    torch.set_num_threads(
        1
    )  # the models are tiny: a second thread costs more than it brings, and spins on a busy machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/training/" in item.path.as_posix():
            item.add_marker(pytest.mark.train)
            item.add_marker(pytest.mark.timeout(300))
            # TRL 1.16 calls activation checkpointing by the name that transformers has given up since
            item.add_marker(
                pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*` is deprecated:FutureWarning")
            )
