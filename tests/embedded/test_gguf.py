"""What is read from a GGUF file without llama.cpp."""

import hashlib
from pathlib import Path

import pytest

from clairgen.embedded.gguf import trained_context, weights_revision
from clairgen.errors import ConfigError


def test_revision_is_the_hash_of_the_file(tiny_model: Path) -> None:
    assert weights_revision(tiny_model) == "sha256:" + hashlib.sha256(tiny_model.read_bytes()).hexdigest()


def test_revision_covers_every_shard(tmp_path: Path) -> None:
    first, second = (tmp_path / f"m-{number:05d}-of-00002.gguf" for number in (1, 2))
    first.write_bytes(b"GGUF one")
    second.write_bytes(b"GGUF two")
    assert weights_revision(first) == "sha256:" + hashlib.sha256(b"GGUF oneGGUF two").hexdigest()
    second.unlink()
    with pytest.raises(ConfigError, match=r"00002-of-00002\.gguf cannot be read"):
        weights_revision(first)


def test_trained_context_comes_from_the_metadata(tiny_model: Path) -> None:
    assert trained_context(tiny_model) == 256


def test_metadata_is_read_past_arrays(tiny_model: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "no-context.gguf"
    renamed.write_bytes(tiny_model.read_bytes().replace(b"llama.context_length", b"llama.content_length"))
    assert trained_context(renamed) is None


@pytest.mark.parametrize("kept_bytes", [4, 20, 30, 60, 75])
def test_cut_metadata_is_a_damaged_file(kept_bytes: int, tiny_model: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_model.read_bytes()[:kept_bytes])
    with pytest.raises(ConfigError, match="is damaged"):
        trained_context(cut)
