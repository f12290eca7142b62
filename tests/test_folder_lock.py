"""The lock on a folder; that it holds between real processes is tested where commands train and generate."""

import os
from pathlib import Path

import pytest

from clairgen.errors import RunError
from clairgen.folder_lock import locked_folder


def test_the_lock_is_held_by_one_which_it_names_and_let_go(tmp_path: Path) -> None:
    with (
        locked_folder(tmp_path),
        pytest.raises(RunError, match=f"is in use by process {os.getpid()}; "),
        locked_folder(tmp_path),
    ):
        pass
    with locked_folder(tmp_path):
        pass


def test_a_deleted_lock_file_lets_nobody_in(tmp_path: Path) -> None:
    with locked_folder(tmp_path):
        (tmp_path / "lock").unlink()
        with pytest.raises(RunError, match="is in use by process"), locked_folder(tmp_path):
            pass
    with locked_folder(tmp_path):
        assert (tmp_path / "lock").exists()


def test_a_duplicate_of_the_descriptors_keeps_the_lock(tmp_path: Path) -> None:
    with locked_folder(tmp_path) as descriptors:
        kept = [os.dup(each) for each in descriptors]  # as a child process has them
    with pytest.raises(RunError, match="is in use by process"), locked_folder(tmp_path):
        pass
    for each in kept:
        os.close(each)
    with locked_folder(tmp_path):
        pass


def test_a_folder_that_cannot_hold_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with (
        pytest.raises(RunError, match="cannot be written: Is a directory; check its permissions"),
        locked_folder(tmp_path),
    ):
        pass
