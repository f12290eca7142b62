"""What an address of an embedded model may say, and the sentence for each way to get it wrong."""

from pathlib import Path

import pytest

from clairgen.embedded.gguf import EmbeddedAddress, embedded_address, is_embedded
from clairgen.errors import ConfigError


def test_file_with_options(tiny_model: Path) -> None:
    found = embedded_address(f"gguf:{tiny_model}?context=128&slots=2&threads=1")
    assert found == EmbeddedAddress(tiny_model, context=128, slots=2, threads=1)


def test_two_spellings_of_one_file_are_equal(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_model.parent)
    assert embedded_address("gguf:./tiny.gguf") == embedded_address(f"gguf:{tiny_model}")


def test_classroom_name_leads_to_the_shipped_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.resources.files", lambda _package: tmp_path)
    with pytest.raises(ConfigError, match="not part of this installation"):
        embedded_address("classroom:student")
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "model.gguf").write_bytes(b"GGUF")
    assert embedded_address("classroom:student").path == tmp_path / "student" / "model.gguf"


def test_only_our_schemes_are_embedded() -> None:
    assert is_embedded("gguf:a.gguf")
    assert is_embedded("classroom:teacher")
    assert not is_embedded("http://127.0.0.1:8000/v1")


@pytest.mark.parametrize(
    ("endpoint", "sentence"),
    [
        ("gguf:", "names no model"),
        ("gguf:nowhere.gguf", r"There is no model file .*nowhere\.gguf"),
        ("classroom:head", "classroom:student or classroom:weaker or classroom:stronger or classroom:teacher"),
        ("gguf:{text}", "is not a GGUF file"),
        ("gguf:{empty}", "is not a GGUF file"),
        ("gguf:{model}?contxt=4096", "Unknown option 'contxt'"),
        ("gguf:{model}?slots=0", "slots .* must be a whole number above 0"),
        ("gguf:{model}?threads=two", "threads .* must be a whole number above 0"),
        ("gguf:{model}?slots=", "slots .* must be a whole number above 0"),
    ],
)
def test_every_mistake_has_its_sentence(endpoint: str, sentence: str, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.gguf").write_text("not weights")
    (tmp_path / "empty.gguf").touch()
    files = {"text": tmp_path / "notes.gguf", "empty": tmp_path / "empty.gguf", "model": tiny_model}
    with pytest.raises(ConfigError, match=sentence):
        embedded_address(endpoint.format(**files))
