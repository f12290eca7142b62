"""SIGINT and SIGTERM during training: all ranks save a checkpoint after the same step, then the run stops."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

if TYPE_CHECKING:
    from accelerate import Accelerator


class StopOnSignal(TrainerCallback):
    """After a signal to any rank, all ranks save a checkpoint after the same step and stop; a second signal kills at once."""

    def __init__(self, accelerator: "Accelerator") -> None:
        self._accelerator = accelerator
        self._received = False
        self.stopped = False

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Replace the handlers of both signals inside the block; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

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
