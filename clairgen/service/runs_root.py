"""The folder whose runs are served: a run is a folder in it, found by its name, and nothing outside is ever opened."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clairgen.errors import RunError
from clairgen.folder_lock import LOCK_FILE
from clairgen.store import RunDirectory

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


def _has_kind(path: Path, kind: Callable[[int], bool]) -> bool:
    """Whether there is such a file or folder, and no link in its place."""
    try:
        return kind(path.lstat().st_mode)
    except (OSError, ValueError):
        return False
