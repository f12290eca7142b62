"""A run's directory: `run.db`, the resolved `config.yaml`, `run.log`, and a lock that one writing command holds at a time."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from clairgen.errors import RunError
from clairgen.folder_lock import LOCK_FILE, locked_folder
from clairgen.store.connection import is_file
from clairgen.wording import counted

_DATABASE = "run.db"
_GIVEN_TASKS = "tasks-"
"""How a file of tasks begins that a program gave, perhaps before the run has a database."""
UNFINISHED = ".restoring"
"""The folder in a run directory in which what is restored from a copy is put together, until all of it is in its place."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The files of a run."""

    path: Path

    @property
    def database(self) -> Path:
        """The store."""
        return self.path / _DATABASE

    @property
    def config(self) -> Path:
        """The resolved configuration that pairs were last generated with."""
        return self.path / "config.yaml"

    @property
    def log(self) -> Path:
        """The output of the embedded servers."""
        return self.path / "engine.log"

    @property
    def events(self) -> Path:
        """The events of the run, as JSON lines."""
        return self.path / "run.log"

    @property
    def batches(self) -> Path:
        """The folder of files that are on their way to a provider."""
        return self.path / "batches"

    @property
    def metrics(self) -> Path:
        """The folder with the figures of all pairs in columns, which can be made again from the store."""
        return self.path / "metrics"

    @property
    def write_ahead_log(self) -> Path:
        """What SQLite has committed and not yet moved into the store; it may not be there."""
        return self.path / f"{_DATABASE}-wal"

    def given_tasks(self, digest: str) -> Path:
        """The file of tasks that a program gave, by the hash of its content."""
        return self.path / f"{_GIVEN_TASKS}{digest}.jsonl"

    def create(self) -> None:
        """Make the folder for a new run. Raises RunError for one that contains something else."""
        with self._usable():
            self.path.mkdir(parents=True, exist_ok=True)
        self.check_new()

    def check_new(self) -> None:
        """Raise RunError for a folder that contains something other than a run; one that does not exist is fine."""
        with self._usable():
            found = [entry.name for entry in self.path.iterdir()] if self.path.exists() else []
            others = [name for name in found if name != LOCK_FILE and not name.startswith(_GIVEN_TASKS)]
        if others and UNFINISHED not in others and not self.database.exists():
            raise RunError(
                f"{self.path} is not a run directory and not empty (it contains {min(others)}); name a new folder for --run"
            )
        self.refuse_emptied()

    def save_config(self, yaml: str) -> None:
        """Write the resolved configuration next to the database, for people to read."""
        draft = self.config.with_suffix(".tmp")
        try:
            draft.write_text(yaml, encoding="utf-8")
            draft.replace(self.config)
        except OSError as error:
            raise RunError(
                f"{self.config} cannot be written: {error.strerror}; check the disk and the permissions"
            ) from error

    def require(self) -> None:
        """Raise RunError unless this is the directory of a run."""
        self.refuse_several()
        if not is_file(self.database):
            lacks = "it has no run.db" if self.path.exists() else "there is no such file or folder"
            raise RunError(f"{self.path} is not a run directory: {lacks}; name the folder that was given to --run")

    def refuse_several(self) -> None:
        """Raise RunError for a folder that is no run directory but contains some, as that of shards does."""
        if runs := runs_inside(self.path):
            raise RunError(
                f"{self.path} is not a run directory but contains {counted(len(runs), 'run')}, such as {runs[0]}; name one "
                f"of them, or make one run of the shards of a run with: clairgen merge {self.path} --run RUN"
            )

    def refuse_emptied(self) -> None:
        """Raise RunError if run.db was emptied: taken for a new run, everything would be requested and paid for again."""
        try:
            if self.database.stat().st_size > 0:
                return
            traces = [path.name for path in self._traces if path.exists() and path.stat().st_size > 0]
        except (OSError, ValueError):
            return  # there is none, as whoever opens it says
        if traces:
            raise RunError(
                f"{self.database} is empty although {traces[0]} shows that the run has begun, so something has emptied it; "
                "restore it from a backup, or begin again in a new folder"
            )

    @property
    def _traces(self) -> tuple[Path, ...]:
        """Files that exist, and are not empty, only once something was written into the database."""
        return (self.config, self.events, self.log, self.write_ahead_log)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except (FileExistsError, NotADirectoryError) as error:
            raise RunError(f"--run {self.path} is a file; name a folder") from error
        except OSError as error:
            raise RunError(
                f"the run directory {self.path} cannot be used: {error.strerror}; choose another for --run"
            ) from error

    def locked(self) -> AbstractContextManager[object]:
        """Hold the run's lock inside a `with`. Raises RunError if another process holds it."""
        return locked_folder(self.path)


def runs_inside(path: Path) -> list[Path]:
    """The run directories in a folder that is none itself, in the order of their names."""
    if is_file(path / _DATABASE) or not path.is_dir():
        return []
    return sorted(folder for folder in path.iterdir() if is_file(folder / _DATABASE))
