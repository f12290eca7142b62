"""A file that is written whole: after a kill at any point its name holds the former content or the new one."""

import os
from pathlib import Path

import pytest

from clairgen.whole_files import is_partial, write_whole


def test_a_file_and_its_folders_are_written(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b.json"
    write_whole(file, "ä\n")
    write_whole(file, b"new")
    assert file.read_bytes() == b"new"
    assert [path.name for path in file.parent.iterdir()] == ["b.json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_the_former_content_stays_until_the_new_one_is_there(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "b.json"
    write_whole(file, "before")

    def ended(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, ended)
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, "after")
    assert file.read_text() == "before"
    [left] = [path for path in tmp_path.iterdir() if path != file]
    assert is_partial(left, file)
    assert not is_partial(file, file)
    assert not is_partial(left, tmp_path / "c.json")
