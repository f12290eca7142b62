"""Ctrl-C and SIGTERM end a training run after the step in progress, with a checkpoint to go on from."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

if TYPE_CHECKING:
    from accelerate import Accelerator


class StopWhenAsked(TrainerCallback):
    """Once a signal came to any rank, all of them save a checkpoint after the same step and stop; a second signal kills."""

    def __init__(self, accelerator: "Accelerator") -> None:
        self._accelerator = accelerator
        self._asked = False
        self.stopped = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals meanwhile."""
        before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._asked = True

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Agree with the other ranks on whether to stop here."""
        asked = self._asked
        if self._accelerator.num_processes > 1:
            flag = torch.tensor(int(asked), device=self._accelerator.device)
            asked = bool(self._accelerator.reduce(flag, reduction="sum") > 0)
        if asked and state.global_step < state.max_steps:
            self.stopped = control.should_training_stop = control.should_save = True
