"""What ends a training run before its last step: divergence, a signal, memory or disk space that runs out.

A loss or gradient that is NaN or infinite ends it before a checkpoint of the lost weights is saved; after a signal all
ranks save a checkpoint after the same step; what ran out is reported in one sentence.
"""

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from clairgen.errors import ConfigError, InputError, RunStoppedError
from clairgen_train import handled_signals
from clairgen_train.run_folder import RunFolder
from clairgen_train.settings import TrainingSettings

if TYPE_CHECKING:
    from accelerate import Accelerator


_MOST_SKIPPED = 20
"""Steps that fp16's scaler may skip one after the other; it halves the loss's scale each time, from 65,536."""
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_SPACE_WORDS = (
    "No space left on device",
    "Disk quota exceeded",
    "File too large",  # a limit on the size of files, which safetensors reports without an errno
    "PytorchStreamWriter failed",  # torch.save on a full disk, which names no errno
    "file write failed",
)


class StopOnDivergence(TrainerCallback):
    """Raises RunStoppedError where a gradient was not finite, at the latest before the next log line or checkpoint.

    The gradients of every optimizer step are checked on the device; the result is read, which waits for the device, only where
    the trainer is about to log, save or end an epoch. In fp16 a gradient that is not finite makes the scaler skip the step, which
    is usual until it has found its scale: there only more than `_MOST_SKIPPED` of them in a row count.
    """

    def __init__(self, accelerator: "Accelerator", folder: RunFolder) -> None:
        self._accelerator, self._folder = accelerator, folder
        self._tolerated = _MOST_SKIPPED if accelerator.mixed_precision == "fp16" else 0
        self._bad_in_a_row: Tensor | int = 0
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
        self._bad_in_a_row = torch.where(norm.isfinite(), 0, self._bad_in_a_row + 1)
        step = torch.where(self._bad_in_a_row <= self._tolerated, torch.inf, float(state.global_step + 1))
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
        names = ("loss",) if self._tolerated else ("loss", "grad_norm")
        logged = torch.tensor([(logs or {}).get(name, 0.0) for name in names])
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


@contextmanager
def resource_errors(settings: TrainingSettings, folder: Path) -> Iterator[None]:
    """Turn the libraries' errors about memory into ConfigError and those about disk space into InputError; others pass."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ConfigError(_out_of_memory(settings)) from error
    except (RuntimeError, OSError, SafetensorError) as error:  # the libraries have no own types for these
        if "can't allocate memory" in str(error):
            raise ConfigError(_out_of_memory(settings)) from error
        if getattr(error, "errno", None) in _NO_SPACE or any(words in str(error) for words in _NO_SPACE_WORDS):
            raise InputError(
                f"the disk of {folder} is full, or a limit on the size of files is reached; free some space, or set "
                "keep_checkpoints, and run the same command to continue"
            ) from error
        raise


class StopOnSignal(TrainerCallback):
    """After SIGINT, SIGTERM or SIGHUP to any rank, all ranks save a checkpoint after the same step; a second one kills."""

    def __init__(self, accelerator: "Accelerator") -> None:
        self._accelerator = accelerator
        self._received = False
        self.stopped = False

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Replace the handlers of the signals inside the block."""
        with handled_signals(self._receive):
            yield

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Agree with the other ranks on whether to stop here."""
        received = self._received
        if self._accelerator.num_processes > 1:
            flag = torch.tensor(int(received), device=self._accelerator.device)
            received = bool(self._accelerator.reduce(flag, reduction="sum") > 0)
        if received and state.global_step < state.max_steps:
            self.stopped = control.should_training_stop = control.should_save = True

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self._received:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._received = True


def _out_of_memory(settings: TrainingSettings) -> str:
    lower = [f"device_batch_size (now {settings.device_batch_size})"] if settings.device_batch_size > 1 else []
    lower += [f"response_tokens (now {settings.response_tokens})"]
    further = [] if settings.gradient_checkpointing else ["set gradient_checkpointing"]
    further += [] if settings.lora else ["train adapters (lora.yaml)"]
    return f"memory ran out; lower {' or '.join(lower)}" + "".join(f", or {advice}" for advice in further)
