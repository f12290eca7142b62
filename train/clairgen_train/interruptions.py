"""Divergence: a loss or gradient that is NaN or infinite ends the run before a checkpoint of the lost weights is saved."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from clairgen.errors import RunStoppedError
from clairgen_train.run_folder import RunFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

_LOGGED = ("loss", "grad_norm")


class StopOnDivergence(TrainerCallback):
    """Raises RunStoppedError where a gradient was not finite, at the latest before the next log line or checkpoint.

    The gradients of every optimizer step are checked on the device; the result is read, which waits for the device, only where
    the trainer is about to log, save or end an epoch.
    """

    def __init__(self, accelerator: "Accelerator", folder: RunFolder) -> None:
        self._accelerator, self._folder = accelerator, folder
        self._bad_step: Tensor | None = None  # the first step with a bad gradient, infinite while there is none

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Check the gradients of this step, without waiting for the result."""
        gradients = [] if model is None else [p.grad for p in model.parameters() if p.grad is not None]
        if not gradients:  # DeepSpeed keeps them elsewhere; there the logged values are checked
            return
        norm = torch.nn.utils.get_total_norm(gradients)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        step = torch.where(norm.isfinite(), torch.inf, float(state.global_step + 1))
        self._bad_step = step if self._bad_step is None else torch.minimum(self._bad_step, step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Read the result where the trainer logs, saves or stops after this step."""
        if control.should_log or control.should_save or control.should_training_stop:
            self._raise_if_diverged(state)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Read the result before the epoch's checkpoint."""
        self._raise_if_diverged(state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Check the logged loss and gradient norm, which every rank has."""
        logged = torch.tensor([(logs or {}).get(name, 0.0) for name in _LOGGED])
        if not bool(logged.isfinite().all()):
            raise RunStoppedError(self._sentence(state.global_step, state.max_steps))

    def _raise_if_diverged(self, state: TrainerState) -> None:
        if self._bad_step is None:
            return
        step = self._accelerator.gather(self._bad_step.reshape(1)).min().item()
        if step <= state.global_step:
            raise RunStoppedError(self._sentence(int(step), state.max_steps))

    def _sentence(self, step: int, of: int) -> str:
        checkpoint = self._folder.newest_checkpoint(self._accelerator.num_processes)
        kept = "no checkpoint was saved before" if checkpoint is None else f"the last good checkpoint is {checkpoint}"
        return (
            f"training diverged and was stopped: the loss or its gradient was NaN or infinite at step {step:,} of {of:,}; "
            f"{kept}; train in another folder with a lower learning_rate, or with precision fp32"
        )
