"""An experiment's folder: what is in it, records that are written whole or not at all, and who works on which cell.

experiment.yaml      the resolved configuration; another one is refused
data/                runs of the pipeline, and each data set as train.jsonl and test.jsonl (the held-out pairs)
data/sets.json       what each data set holds; written last
references/          log-probabilities of the pairs under the student, shared by all cells
training/CELL/       a training run with its checkpoints, until they are no longer needed
cells/CELL.json      the result of a training, on the dev questions
choices.json         the learning rates chosen; no test question is drawn before it is written
tests/CELL.json      each checkpoint of the chosen trainings on dev and test questions; `student.json`: the student itself
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clairgen.errors import InputError, RunError
from clairgen.experiment.cells import Cell, Combination
from clairgen.experiment.experiment_config import ExperimentConfig, experiment_yaml, load_experiment
from clairgen.whole_files import is_partial, write_whole

_CONFIG = "experiment.yaml"
_CHOICES = "choices.json"
STUDENT = "student"
"""The name of the untrained student's record in tests/."""


class ExperimentFolder:
    """The folder of an experiment at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.references = self.path / "references"

    def require_usable(self, config: ExperimentConfig) -> None:
        """Raise InputError for a folder that holds something else, RunError for one that was begun with another configuration."""
        file = self.path / _CONFIG
        if file.is_file():
            before = load_experiment(file)
            changed = [name for name in type(config).model_fields if getattr(before, name) != getattr(config, name)]
            if changed:
                raise RunError(f"{self.path} was begun with another {changed[0]}; give that one, or another folder")
        elif self.path.exists() and not (self.path.is_dir() and all(map(self._is_ours, self.path.iterdir()))):
            raise InputError(f"{self.path} is not empty and is not an experiment; name another folder")

    def open(self, config: ExperimentConfig) -> None:
        """Create the folder, unless it is there. Raises what `require_usable` raises, and InputError if it cannot be written."""
        self.require_usable(config)
        file = self.path / _CONFIG
        if file.is_file():
            return
        try:
            write_whole(file, experiment_yaml(config))
        except OSError as error:
            raise InputError(f"the folder {self.path} cannot be written: {error.strerror}; name another one") from error

    def _is_ours(self, entry: Path) -> bool:
        """Whether an entry is what a kill left before the configuration was written."""
        return entry.name == "lock" or is_partial(entry, self.path / _CONFIG)

    def config(self) -> ExperimentConfig:
        """The configuration that the experiment was begun with."""
        return load_experiment(self.path / _CONFIG)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock, which the kernel releases even at `kill -9`. Raises RunError if another process has it."""
        with _lock(self.path / "lock") as is_held:
            if not is_held:
                raise RunError(f"another process works on {self.path}; wait until it ends, or name another folder")
            yield

    @contextlib.contextmanager
    def claimed(self, name: str) -> Iterator[bool]:
        """Claim the work on a cell or a test for this process; gives whether nobody else has it."""
        with _lock(self.path / "claims" / name) as is_held:
            yield is_held

    def run(self, name: str) -> Path:
        """The directory of a run of the pipeline."""
        return self.path / "data" / "runs" / name

    def data_set(self, name: str) -> Path:
        """The folder of a data set."""
        return self.path / "data" / name

    @property
    def sets(self) -> Path:
        """What each data set holds."""
        return self.path / "data" / "sets.json"

    def training(self, cell: Cell) -> Path:
        """The output folder of a cell's training."""
        return self.path / "training" / cell.name

    def result(self, cell: Cell) -> Path:
        """The record of a cell's training."""
        return self.path / "cells" / f"{cell.name}.json"

    def test(self, name: str) -> Path:
        """The record of a cell's test, or of the student's."""
        return self.path / "tests" / f"{name}.json"

    def log(self, worker: int) -> Path:
        """What a worker prints."""
        return self.path / f"worker-{worker}.log"

    def remove_training(self, cell: Cell) -> None:
        """Delete the checkpoints of a cell that is not needed any more."""
        shutil.rmtree(self.training(cell), ignore_errors=True)

    def save_choices(self, rates: Mapping[Combination, float]) -> None:
        """Record the chosen learning rates, once."""
        write_record(
            self.path / _CHOICES, {each.name: {**each._asdict(), "learning_rate": rates[each]} for each in rates}
        )

    def choices(self) -> dict[Combination, float] | None:
        """The chosen learning rates; None before they are recorded."""
        content = read_record(self.path / _CHOICES)
        if content is None:
            return None
        return {Combination(each["data_set"], each["objective"]): each["learning_rate"] for each in content.values()}


def read_record(file: Path) -> dict[str, Any] | None:
    """A record that `write_record` wrote; None where there is none. Raises RunError for one that was damaged since."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{file} is damaged ({error}); remove it and run the same command again") from error
    if not isinstance(content, dict):
        raise RunError(f"{file} is damaged: it holds no JSON object; remove it and run the same command again")
    return content


def write_record(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, on disk when this returns; a kill leaves the whole record or none."""
    write_whole(file, json.dumps(content, allow_nan=False) + "\n")


@contextlib.contextmanager
def _lock(file: Path) -> Iterator[bool]:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
