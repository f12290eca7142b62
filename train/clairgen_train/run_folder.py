"""The output folder of a training run: what it was begun with, whether it can be continued, and from which checkpoint."""

import json
import shutil
from contextlib import AbstractContextManager
from itertools import takewhile
from pathlib import Path
from typing import Any

from clairgen.config.strict_yaml import mapping, read_text, validated
from clairgen.errors import InputError, RunError
from clairgen.folder_lock import LOCK_FILE, locked_folder
from clairgen.whole_files import is_partial, write_whole
from clairgen_train.saved_weights import is_whole
from clairgen_train.settings import MACHINE_SETTINGS, TrainingSettings, settings_yaml

_SETTINGS = "training.yaml"
_RESULT = "result.json"
_MODEL = "model.json"
_STATE = "trainer_state.json"
_UNBEGUN = {LOCK_FILE, "pairs", "data.json"}


class RunFolder:
    """OUT of `clairgen train DATA OUT`.

    It holds the trained model (safetensors) with its card; the settings in `training.yaml`; the weights that it began with, as a
    hash, in `model.json`; the pairs in `data.json` and `pairs/`; `trajectories.parquet`; `log.jsonl`; `checkpoint-N/`; and
    `result.json` once the run is finished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.trajectories = self.path / "trajectories.parquet"
        self.log = self.path / "log.jsonl"
        self.result = self.path / _RESULT

    @property
    def is_finished(self) -> bool:
        """Whether the folder holds the run's final model."""
        return self.result.is_file()

    def locked(self) -> AbstractContextManager[tuple[int, ...]]:
        """Hold the folder's lock inside a `with`, which gives its file descriptors; creates the folder of a new run.

        Raises RunError if another process holds it, InputError for a folder that holds something else.
        """
        if not self.is_begun:
            self._require_free()
        return locked_folder(self.path)

    def open(self, settings: TrainingSettings, data: str) -> list[str]:
        """Check that a run can begin here or continue as it began; returns sentences to show about what changed.

        A new run is recorded by `save`, once its pairs are written: data that cannot be used leaves nothing behind.

        Raises InputError for a folder that holds something else, RunError for a run that was begun with other settings or data.
        """
        if not self.is_begun:
            self._require_free()
            self._clear()
            return []
        before = self.settings()
        began_with = self._content().get("data")
        if began_with != data:
            raise RunError(f"{self.path} was begun with the data set {began_with}; train on {data} in another folder")
        changed = [name for name in TrainingSettings.model_fields if getattr(before, name) != getattr(settings, name)]
        if refused := [name for name in changed if name not in MACHINE_SETTINGS]:
            name = refused[0]
            why = ", on which the learning rate of every step depends" if name == "epochs" else ""
            raise RunError(
                f"{self.path} was begun with {name} {_text(before, name)}{why}; continue with that, or train with "
                f"{_text(settings, name)} in another folder"
            )
        return [
            f"{name} was {_text(before, name)} and is {_text(settings, name)} from now on; the rest of the run may differ in "
            "the last digits"
            for name in changed
            if name
            in (
                "attn_implementation",
                "device_batch_size",
                "gpus",
                "gradient_checkpointing",
                "parallel",
                "shared_prompt",
            )
        ]

    @property
    def is_begun(self) -> bool:
        """Whether a run was begun here."""
        return (self.path / _SETTINGS).is_file()

    def settings(self) -> TrainingSettings:
        """The settings that the run was begun with. Raises ConfigError if the file was edited into something invalid."""
        content = self._content()
        content.pop("data", None)
        return validated(content, TrainingSettings, str(self.path / _SETTINGS))

    def _content(self) -> dict[str, object]:
        file = self.path / _SETTINGS
        return mapping(read_text(file), TrainingSettings, str(file))

    def save(self, settings: TrainingSettings, data: str) -> None:
        """Write the resolved settings."""
        write_whole(self.path / _SETTINGS, f"data: {json.dumps(data)}\n{settings_yaml(settings)}")

    def require_model(self, weights_sha256: str, model: str) -> None:
        """Record the weights that the run begins with. Raises RunError where it was begun with others, its reference's."""
        file = self.path / _MODEL
        if not file.is_file():
            write_whole(file, json.dumps({"model": model, "weights_sha256": weights_sha256}, indent=2) + "\n")
        elif read_record(file).get("weights_sha256") != weights_sha256:
            raise RunError(
                f"the model {model} has changed since {self.path} was begun, and with it the reference; train it in another "
                "folder"
            )

    def finish(self, metrics: dict[str, object]) -> None:
        """Record that the run is finished, with its final metrics."""
        write_whole(self.result, json.dumps(metrics, indent=2) + "\n")

    def newest_checkpoint(self, ranks: int) -> Path | None:
        """The newest complete checkpoint; one that a kill left incomplete is skipped."""
        return next((path for path in self._checkpoints() if _is_complete(path, ranks)), None)

    def newer_checkpoints(self, checkpoint: Path | None) -> list[Path]:
        """The checkpoints after this one, or all, the newest first: what a run does not go on from."""
        return list(takewhile(lambda path: path != checkpoint, self._checkpoints()))

    def _checkpoints(self) -> list[Path]:
        """The checkpoints, complete or not, the newest first."""
        found = [path for path in self.path.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
        return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")), reverse=True)

    def _require_free(self) -> None:
        """Create the folder, unless it is there and empty but for what a run left that was killed before it began."""
        if self.path.exists() and not (self.path.is_dir() and all(map(_is_unbegun, self.path.iterdir()))):
            raise InputError(f"{self.path} is not empty and is not a training run; name another folder for the model")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the folder {self.path} cannot be created: {error.strerror}; name another one") from error

    def _clear(self) -> None:
        """Remove what a run left that was killed before it began."""
        shutil.rmtree(self.path / "pairs", ignore_errors=True)
        (self.path / "data.json").unlink(missing_ok=True)


def _is_unbegun(path: Path) -> bool:
    """Whether an entry of the folder is what a run left that was killed before it began."""
    return path.name in _UNBEGUN or any(is_partial(path, path.with_name(name)) for name in ("data.json", _SETTINGS))


def read_record(file: Path) -> dict[str, Any]:
    """A JSON object that `write_whole` wrote. Raises RunError where something else has damaged it."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(damaged(file, error)) from error
    if not isinstance(content, dict):
        raise RunError(damaged(file, "it is no JSON object"))
    return content


def damaged(file: Path, reason: object) -> str:
    """The sentence about a file of a run that cannot be read."""
    return (
        f"{file} is damaged, so the run cannot go on ({' '.join(str(reason).split())[:200]}); restore the file, or train in "
        "another folder"
    )


def _text(settings: TrainingSettings, name: str) -> str:
    value = getattr(settings, name)
    return "none" if value is None else str(getattr(value, "value", value))


def _is_complete(checkpoint: Path, ranks: int) -> bool:
    """Whether all that a run goes on from is there and not cut off: the trainer writes its state last, after weights, optimizer,
    schedule and the random state of every rank.
    """
    try:
        state = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
        if not all(isinstance(state[name], int) for name in ("global_step", "train_batch_size")):
            return False
    except (OSError, ValueError, LookupError, TypeError):
        return False
    wanted = {
        "scheduler.pt",
        *(["rng_state.pth"] if ranks == 1 else [f"rng_state_{rank}.pth" for rank in range(ranks)]),
    }
    found = list(checkpoint.iterdir())
    has_optimizer = any(
        path.name.startswith(("optimizer", "global_step")) for path in found
    )  # the second is DeepSpeed's
    files = [path for path in found if path.suffix in (".safetensors", ".pt", ".pth") and path.is_file()]
    return has_optimizer and wanted <= {path.name for path in files} and all(map(is_whole, files))
