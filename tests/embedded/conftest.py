from pathlib import Path

import pytest

from tests.embedded.tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that llama.cpp really serves; its trained context is 256 tokens."""
    return write_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def damaged_model(tiny_model: Path, tmp_path: Path) -> Path:
    """The same model, broken off in its weights."""
    path = tmp_path / "damaged.gguf"
    path.write_bytes(tiny_model.read_bytes()[:40_000])
    return path
