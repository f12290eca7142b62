"""What a run tells while it goes on: a line now and then with the time left, and every number in a file of JSON lines."""

import json
import math
import sys
import time
from pathlib import Path

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

_SHOWN = {
    "loss": "loss",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "logps/chosen": "log p chosen",
    "logps/rejected": "log p rejected",
    "kl_anchor": "KL",
}


class Progress(TrainerCallback):
    """Writes to stderr and to `log`; on the first rank alone."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._began = self._first_step = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Start the clock."""
        self._began, self._first_step = time.monotonic(), state.global_step
        where = f"going on at step {state.global_step:,} of" if state.global_step else "training:"
        say(f"{where} {state.max_steps:,} steps, {state.num_train_epochs} epochs")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Keep all numbers, show the main ones."""
        numbers = dict(logs or {})
        with self._log.open("a", encoding="utf-8") as file:
            entry = {"step": state.global_step, "epoch": state.epoch} | numbers
            file.write(json.dumps({name: _finite(value) for name, value in entry.items()}) + "\n")
        if "loss" in numbers:
            shown = "  ".join(f"{title} {numbers[name]:.4g}" for name, title in _SHOWN.items() if name in numbers)
            say(
                f"step {state.global_step:,}/{state.max_steps:,}  epoch {state.epoch or 0:.2f}  {shown}  {self._left(state)}"
            )

    def _left(self, state: TrainerState) -> str:
        done = state.global_step - self._first_step
        if not done:
            return ""
        seconds = (time.monotonic() - self._began) / done
        return f"{seconds:.2g} s a step, {duration((state.max_steps - state.global_step) * seconds)} left"


def say(sentence: str) -> None:
    """Tell the user something, on stderr, since stdout is for results."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _finite(value: object) -> object:
    """JSON knows no NaN; a loss that is none has to be seen all the same."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
