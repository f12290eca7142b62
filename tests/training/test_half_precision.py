"""Precision fp16 as far as a CPU goes: accelerate's gradient scaler in a run, its state over a stop, and what is chosen.

That accelerate makes the scaler itself, and the kernels in float16, need a GPU.
"""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from clairgen.errors import DrainedError, RunStoppedError
from clairgen_train import run as training
from clairgen_train.pair_trainer import PairTrainer
from clairgen_train.run import run
from clairgen_train.run_folder import RunFolder
from clairgen_train.trl_config import default_precision
from tests.training.small_run import trained

TOO_LARGE = 2.0**22
"""A scale under which the first gradients are beyond float16; accelerate's scaler begins with 2**16."""


class _StopAt(TrainerCallback):
    def __init__(self, step: int | None) -> None:
        self.step = step

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def use_scaler(monkeypatch: pytest.MonkeyPatch, scale: float, *, stop_at: int | None = None) -> None:
    """Let runs train as in fp16, with a scaler on the CPU, which accelerate makes none for."""
    build = training._trainer

    def built(*arguments: object) -> object:
        trainer = build(*arguments)  # type: ignore[arg-type]
        assert isinstance(trainer, PairTrainer)
        monkeypatch.setitem(AcceleratorState._shared_state, "_mixed_precision", "fp16")
        trainer.accelerator.native_amp = True
        trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        trainer.add_callback(_StopAt(stop_at))
        return trainer

    monkeypatch.setattr(training, "_trainer", built)


def weights(folder: Path) -> torch.Tensor:
    return torch.cat([tensor.flatten() for _, tensor in sorted(load_file(folder / "model.safetensors").items())])


def test_steps_that_overflow_are_skipped_until_the_scale_fits_and_a_stop_keeps_the_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        use_scaler(patched, TOO_LARGE)
        whole = trained(tmp_path, "whole", epochs=1, checkpoints=1, held_out_pairs=0)
    scales = [
        torch.load(whole.path / f"checkpoint-{step}" / "scaler.pt", weights_only=True)["scale"] for step in range(1, 9)
    ]
    skipped = sum(later < earlier for earlier, later in zip([TOO_LARGE, *scales], scales, strict=False))
    assert 1 <= skipped < 7
    assert torch.equal(weights(whole.path / "checkpoint-1"), weights(tmp_path / "model"))
    assert not torch.equal(weights(whole.path), weights(tmp_path / "model"))
    logged = [json.loads(line) for line in whole.log.read_text().splitlines()]
    assert all(isinstance(entry["loss"], float) for entry in logged if "loss" in entry)
    with monkeypatch.context() as patched:
        use_scaler(patched, TOO_LARGE, stop_at=3)
        with pytest.raises(DrainedError):
            trained(tmp_path, "stopped", epochs=1, held_out_pairs=0)
    with monkeypatch.context() as patched:
        use_scaler(patched, TOO_LARGE)
        run(RunFolder(tmp_path / "stopped"))
    assert torch.equal(weights(tmp_path / "stopped"), weights(whole.path))


def test_a_scale_that_never_fits_is_divergence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        use_scaler(patched, float("inf"))
        with pytest.raises(RunStoppedError, match="NaN or infinite at step 21 of 24"):
            trained(tmp_path, epochs=3, held_out_pairs=0, checkpoints="end")


@pytest.mark.parametrize(
    ("has_gpu", "has_bfloat16", "chosen"), [(True, True, "bf16"), (True, False, "fp32"), (False, True, "fp32")]
)
def test_bf16_is_chosen_only_where_a_gpu_computes_it_itself(
    has_gpu: bool, has_bfloat16: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_supported(including_emulation: bool = True) -> bool:
        return has_bfloat16 or including_emulation

    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert default_precision() == chosen
