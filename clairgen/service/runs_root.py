"""The folder whose runs are served: a run is a folder in it, found by its name, and nothing outside is ever opened."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clairgen.errors import InputError, RunError
from clairgen.folder_lock import LOCK_FILE
from clairgen.store import RunDirectory

TRAINED: Final = "trained"
"""The folder in the root that trained models are in."""
_LONGEST_NAME: Final = 100
_OPENED = ("run.db", "run.db-wal", "run.db-shm", "run.db-journal", "run.log", LOCK_FILE)


@dataclass(frozen=True, slots=True)
class RunsRoot:
    """The folder with the run directories."""

    path: Path

    def check(self) -> None:
        """Raise RunError for a folder that is not there, or is a run directory itself."""
        try:
            if not self.path.is_dir():
                raise RunError(f"{self.path} is not a folder; name the one that holds your run directories")
        except (OSError, ValueError) as error:
            raise RunError(f"the folder {self.path} cannot be read: {error}; check its name and permissions") from error
        if RunDirectory(self.path).database.exists():
            raise RunError(f"{self.path} is a run directory itself; name the folder that it is in")

    @property
    def own_folder(self) -> Path:
        """What the service keeps besides runs: its database, and a folder for each job."""
        return self.path / ".clairgen"

    @property
    def own_database(self) -> Path:
        """The database of the service, which has its jobs."""
        return self.own_folder / "service.db"

    def make_own_folder(self) -> None:
        """Make it if it is not there. Raises RunError where a link or a file is in its place, or nothing can be written."""
        try:
            self.own_folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.own_folder} cannot be made: {error.strerror}; check its permissions") from error
        if not _has_kind(self.own_folder, stat.S_ISDIR):
            raise RunError(f"{self.own_folder} is a link or a file, where the service keeps its jobs; move it away")

    def run_to_write(self, name: str) -> RunDirectory:
        """The directory of a run that may be new. Raises InputError for a name that a new one cannot have."""
        if (found := self.run(name)) is not None:
            return found
        if (fault := name_fault(name)) is not None:
            raise InputError(f"the name of a run {fault}")
        folder = self.path / name
        if name == TRAINED or (os.path.lexists(folder) and not _has_kind(folder, stat.S_ISDIR)):
            raise InputError(f"there is something else called {name} in the folder of runs; choose another name")
        return RunDirectory(folder)

    def run(self, name: str) -> RunDirectory | None:
        """The run of this name; None where there is none, or where a link leads elsewhere."""
        if name in ("", ".", "..") or any(sign in name for sign in "/\\\0"):
            return None
        folder = self.path / name
        if not _has_kind(folder, stat.S_ISDIR) or not _has_kind(folder / "run.db", stat.S_ISREG):
            return None
        if any((folder / one).is_symlink() for one in _OPENED):
            return None
        return RunDirectory(folder)

    def names(self) -> list[str]:
        """The names of all runs, in order."""
        return sorted(self._names())

    def _names(self) -> Iterator[str]:
        try:
            for entry in self.path.iterdir():
                if self.run(entry.name) is not None:
                    yield entry.name
        except OSError as error:
            raise RunError(f"{self.path} cannot be read: {error.strerror}; check its permissions") from error


def name_fault(name: str) -> str | None:
    """What is wrong with the name of a new folder; None if nothing is."""
    if not name or len(name) > _LONGEST_NAME or len(name.encode("utf-8", "surrogatepass")) > 2 * _LONGEST_NAME:
        return f"has 1 to {_LONGEST_NAME} characters"
    if (
        not name.isprintable()
        or name.startswith((".", "-", " "))
        or name.endswith(" ")
        or any(one in name for one in "/\\")
    ):
        return "is letters, digits and marks without / or \\, and does not begin with a dot, a dash or a space"
    return None


def _has_kind(path: Path, kind: Callable[[int], bool]) -> bool:
    """Whether there is such a file or folder, and no link in its place."""
    try:
        return kind(path.lstat().st_mode)
    except (OSError, ValueError):
        return False
