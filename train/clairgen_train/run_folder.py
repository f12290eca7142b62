"""The output folder of a training run: what it was begun with, whether it can go on, and from where."""

import json
import shutil
from pathlib import Path

from clairgen.config.strict_yaml import mapping, read_text, validated
from clairgen.errors import InputError, RunError
from clairgen_train.settings import MACHINE_SETTINGS, TrainingSettings, settings_yaml

_SETTINGS = "training.yaml"
_RESULT = "result.json"
_STATE = "trainer_state.json"
_UNBEGUN = {"pairs", "data.json", ".data.json.partial", f".{_SETTINGS}.partial"}


class RunFolder:
    """OUT of `clairgen train DATA OUT`.

    At its top the trained model (safetensors) with its card; `training.yaml` the settings; `data.json` and `pairs/` what is
    trained on; `trajectories.parquet`; `log.jsonl`; `checkpoint-N/`; `result.json` once the run is finished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.trajectories = self.path / "trajectories.parquet"
        self.log = self.path / "log.jsonl"

    @property
    def is_finished(self) -> bool:
        """Whether the model at the top is the run's last one."""
        return (self.path / _RESULT).is_file()

    def open(self, settings: TrainingSettings, data: str) -> list[str]:
        """Look whether a run can begin here, or go on as it began; sentences to say about the latter.

        A new run is on disk with `save`, once its pairs are: data that cannot be used leaves nothing behind.

        Raises InputError for a folder that holds something else, RunError for a run that was begun otherwise.
        """
        if not self.is_begun:
            self._require_free()
            return []
        before = self.settings()
        began_with = self._content().get("data")
        if began_with != data:
            raise RunError(f"{self.path} was begun with the data set {began_with}; train {data} in another folder")
        changed = [name for name in TrainingSettings.model_fields if getattr(before, name) != getattr(settings, name)]
        if refused := [name for name in changed if name not in MACHINE_SETTINGS]:
            name = refused[0]
            why = ", on which the learning rate of every step depends" if name == "epochs" else ""
            raise RunError(
                f"{self.path} was begun with {name} {_shown(before, name)}{why}; go on with that, or train with "
                f"{_shown(settings, name)} in another folder"
            )
        return [
            f"{name} was {_shown(before, name)} and is {_shown(settings, name)} from here on; the rest of the run may differ "
            "in the last digits"
            for name in changed
            if name in ("device_batch_size", "gpus", "gradient_checkpointing", "parallel", "shared_prompt")
        ]

    @property
    def is_begun(self) -> bool:
        """Whether a run was begun here."""
        return (self.path / _SETTINGS).is_file()

    def settings(self) -> TrainingSettings:
        """The settings that the run was begun with. Raises ConfigError if someone changed them into something else."""
        content = self._content()
        content.pop("data", None)
        return validated(content, TrainingSettings, str(self.path / _SETTINGS))

    def _content(self) -> dict[str, object]:
        file = self.path / _SETTINGS
        return mapping(read_text(file), TrainingSettings, str(file))

    def save(self, settings: TrainingSettings, data: str) -> None:
        """Write the resolved settings, whole or not at all."""
        put(self.path / _SETTINGS, f"data: {json.dumps(data)}\n{settings_yaml(settings)}")

    def finish(self, facts: dict[str, object]) -> None:
        """Say that the run is finished, with its last numbers."""
        put(self.path / _RESULT, json.dumps(facts, indent=2) + "\n")

    def newest_checkpoint(self, ranks: int) -> Path | None:
        """The newest checkpoint that was written to its end; one that a kill tore is passed over."""
        checkpoints = [
            path for path in self.path.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()
        ]
        checkpoints.sort(key=lambda path: int(path.name.removeprefix("checkpoint-")), reverse=True)
        return next((path for path in checkpoints if _is_whole(path, ranks)), None)

    def _require_free(self) -> None:
        """Make the folder, or empty it of what a run left that was killed before it began."""
        if self.path.exists() and (not self.path.is_dir() or {path.name for path in self.path.iterdir()} - _UNBEGUN):
            raise InputError(f"{self.path} is not empty and holds no training run; name another folder for the model")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.path / "pairs", ignore_errors=True)
            (self.path / "data.json").unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"the folder {self.path} cannot be made: {error.strerror}; name another one") from error


def put(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.rename(file)


def _shown(settings: TrainingSettings, name: str) -> str:
    value = getattr(settings, name)
    return "none" if value is None else str(getattr(value, "value", value))


def _is_whole(checkpoint: Path, ranks: int) -> bool:
    """The trainer writes its state last; other ranks write their random state by themselves."""
    try:
        json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return ranks == 1 or all((checkpoint / f"rng_state_{rank}.pth").is_file() for rank in range(ranks))
