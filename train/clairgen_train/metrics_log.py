"""Progress of a run: a line on stderr now and then with the time left, and all metrics as JSON lines in a file."""

import json
import math
import sys
import time
from pathlib import Path

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from clairgen.wording import counted

_TITLES = {
    "loss": "loss",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "logps/chosen": "log p chosen",
    "logps/rejected": "log p rejected",
    "chosen_nll": "nats/token chosen",
    "kl_anchor": "KL",
}


class ProgressLog(TrainerCallback):
    """Writes to stderr and to the file `log`; for the first rank only."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._began = self._first_step = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Start the clock, and drop what a killed run logged after its last checkpoint."""
        self._drop_lines_after(state.global_step)
        self._began, self._first_step = time.monotonic(), state.global_step
        where = f"continuing at step {state.global_step:,} of" if state.global_step else "training:"
        say(f"{where} {counted(state.max_steps, 'step')}, {counted(state.num_train_epochs, 'epoch')}")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Log all metrics, show the main ones."""
        metrics = dict(logs or {})
        with self._log.open("a", encoding="utf-8") as file:
            entry = {"step": state.global_step, "epoch": state.epoch} | metrics
            file.write(json.dumps({name: _json_value(value) for name, value in entry.items()}) + "\n")
        if "loss" in metrics:
            shown = "  ".join(f"{title} {metrics[name]:.4g}" for name, title in _TITLES.items() if name in metrics)
            say(
                f"step {state.global_step:,}/{state.max_steps:,}  epoch {state.epoch or 0:.2f}  {shown}  {self._left(state)}"
            )

    def _drop_lines_after(self, step: int) -> None:
        """Keep of the file's lines those up to `step`: none that a kill tore off, and no summary of a run that goes on."""
        if not self._log.is_file():
            return
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = [line for line in lines if _step_of(line) <= step and '"train_runtime"' not in line]
        if kept != lines:
            partial = self._log.with_name(f".{self._log.name}.partial")
            partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
            partial.replace(self._log)

    def _left(self, state: TrainerState) -> str:
        done = state.global_step - self._first_step
        if not done:
            return ""
        seconds = (time.monotonic() - self._began) / done
        return f"{seconds:.2g} s per step, {duration((state.max_steps - state.global_step) * seconds)} left"


class TokenMean:
    """A mean over the tokens of many batches: the mean of their means would weigh a token by how short its batch is."""

    def __init__(self) -> None:
        self._total = self._tokens = 0.0

    def add(self, total: float, tokens: float) -> None:
        """Add a batch by the sum over its tokens and their number."""
        self._total += total
        self._tokens += tokens

    def taken(self) -> float | None:
        """The mean since the last call; None without a token."""
        total, tokens = self._total, self._tokens
        self._total = self._tokens = 0.0
        return total / tokens if tokens else None


def say(sentence: str) -> None:
    """Show the user a sentence, on stderr, since stdout is for results."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _step_of(line: str) -> float:
    """The step of a line of the log; infinite for one that is not whole."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, LookupError):
        return math.inf


def _json_value(value: object) -> object:
    """A value for JSON, which has no NaN: infinite and NaN values become text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
