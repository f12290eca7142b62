"""The folder whose runs are served: a run is a folder in it, found by its name, and nothing outside is ever opened.

What a request names by a path, to read or to write, lies in that folder too, and links do not lead out of it.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clairgen.conversations import is_encodable
from clairgen.errors import ConfigError, InputError, RunError
from clairgen.folder_lock import LOCK_FILE
from clairgen.store import RunDirectory

EXPORTS: Final = "exports"
TRAINED: Final = "trained"
UPLOADS: Final = "uploads"
"""The folders in the root that data sets, trained models and files of users are in."""
_LONGEST_NAME: Final = 100
_SHOWN: Final = 100
_LONGEST_PART: Final = 255
_LONGEST_PATH: Final = 2000
_MOST_ENTRIES: Final = 100_000
_OPENED = ("config.yaml", "run.db", "run.db-wal", "run.db-shm", "run.db-journal", "run.log", LOCK_FILE)


class NotPermittedError(ConfigError):
    """What was submitted names something that the service does not allow; its sentence says what would."""


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
        if RunDirectory(self.path).database.is_file():
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
            raise RunError(
                f"{self.own_folder} cannot be made: {error.strerror}; let the service write there, or take no jobs: --jobs 0"
            ) from error
        if not _has_kind(self.own_folder, stat.S_ISDIR):
            raise RunError(f"{self.own_folder} is a link or a file, where the service keeps its jobs; move it away")

    def run_to_write(self, name: str) -> RunDirectory:
        """The directory of a run that may be new. Raises InputError for a name that a new one cannot have."""
        if (found := self.run(name)) is not None:
            return found
        if (fault := name_fault(name)) is not None:
            raise InputError(f"the name of a run {fault}")
        folder = self.path / name
        if name in (EXPORTS, TRAINED, UPLOADS, *_OPENED) or (
            os.path.lexists(folder) and not _has_kind(folder, stat.S_ISDIR)
        ):
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

    def file(self, text: str, what: str) -> Path:
        """The file of this path, which counts from the root. Raises NotPermittedError outside, InputError for none."""
        path = self._inside(text, what)
        if not path.is_file():
            raise InputError(f"{what}: the folder that is served has no file {shown(text)}; check its name")
        return path

    def folder(self, text: str, what: str) -> Path:
        """The same for a folder, in which no link leads out."""
        path = self._inside(text, what)
        if not path.is_dir():
            raise InputError(f"{what}: the folder that is served has no folder {shown(text)}; check its name")
        base = self.path.resolve()
        for number, entry in enumerate(path.rglob("*")):
            if number == _MOST_ENTRIES or (entry.is_symlink() and not entry.resolve().is_relative_to(base)):
                raise NotPermittedError(
                    f"{what}: a link in {shown(text)} leads out of the folder that is served, or it is too large"
                )
        return path

    def holds_folder(self, text: str, what: str) -> bool:
        """Whether a path names a folder. Raises NotPermittedError outside."""
        return self._inside(text, what).is_dir()

    def new_path(self, text: str, what: str) -> Path:
        """A path to write at, in no run directory. Raises NotPermittedError."""
        path, base = self._inside(text, what), self.path.resolve()
        if path == base or any(_is_run(one) for one in (path, *path.parents) if one.is_relative_to(base)):
            raise NotPermittedError(f"{what}: {shown(text)} is a run or lies in one; name a folder beside the runs")
        return path

    def _inside(self, text: str, what: str) -> Path:
        """A path without links, in the root and not hidden there."""
        base = self.path.resolve()
        given = Path(text)
        refused = NotPermittedError(
            f"{what}: {shown(text)} is not a path in the folder that is served; a relative path counts from it, and what is "
            "outside or hidden cannot be named over HTTP"
        )
        if not text or not text.isprintable() or not is_encodable(text) or text.startswith("~") or ".." in given.parts:
            raise refused
        if any(len(os.fsencode(part)) > _LONGEST_PART for part in given.parts) or len(text) > _LONGEST_PATH:
            raise refused
        try:
            path = (base / given).resolve()
        except (OSError, RuntimeError) as error:  # too long, or links in a circle
            raise refused from error
        if not path.is_relative_to(base) or any(part.startswith(".") for part in path.relative_to(base).parts):
            raise refused
        return path

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


def shown(text: str) -> str:
    """A text that somebody sent, as it stands in a sentence."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _is_run(folder: Path) -> bool:
    database = folder / "run.db"
    return database.is_symlink() or database.is_file()


def _has_kind(path: Path, kind: Callable[[int], bool]) -> bool:
    """Whether there is such a file or folder, and no link in its place."""
    try:
        return kind(path.lstat().st_mode)
    except (OSError, ValueError):
        return False
