"""A run whose loss becomes NaN ends with a sentence, and no checkpoint of the lost weights is saved."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from clairgen.errors import RunStoppedError
from clairgen_train import run as training
from tests.training.small_run import trained


class _NanAt(TrainerCallback):
    """Sets a weight to NaN before a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        if model is not None and state.global_step == self.step - 1:
            with torch.no_grad():
                next(model.parameters()).view(-1)[::2] = torch.nan


@pytest.mark.parametrize("objective", ["apo-zero", "kto"])
def test_nan_ends_the_run_and_names_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str
) -> None:
    add = training._add_callbacks

    def adding(trainer: object, *others: object) -> None:
        add(trainer, *others)  # type: ignore[arg-type]
        trainer.add_callback(_NanAt(5))  # type: ignore[attr-defined]

    monkeypatch.setattr(training, "_add_callbacks", adding)
    said = (
        r"NaN or infinite at step 5 of \d+; the last good checkpoint is .*/checkpoint-4; train in another folder with"
    )
    with pytest.raises(RunStoppedError, match=said):
        trained(tmp_path, objective=objective, checkpoints=1, log_every=100)
    assert not (tmp_path / "out" / "checkpoint-5").exists()
    assert not (tmp_path / "out" / "result.json").exists()
    kept = load_file(tmp_path / "out" / "checkpoint-4" / "model.safetensors")
    assert all(bool(weight.isfinite().all()) for weight in kept.values())


def test_a_learning_rate_that_destroys_the_weights_is_reported_by_the_end_of_the_epoch(tmp_path: Path) -> None:
    with pytest.raises(RunStoppedError, match=r"training diverged and was stopped: .*no checkpoint was saved before"):
        trained(tmp_path, learning_rate=1e30, held_out_pairs=0, log_every=100)
