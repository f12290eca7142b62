"""The trajectories of held-out pairs: a parquet file with one row per pair and measurement, and its summary at the end.

The columns and the metadata are read by `clairgen report --training`.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from clairgen.errors import RunError
from clairgen_train.pair_log_probs import PairLogProbs
from clairgen_train.run_folder import damaged

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

_EPOCH_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class HeldOutMeasurement:
    """One measurement of all held-out pairs; `sampled_tokens` are lengths of answers to the first of their prompts."""

    log_probs: PairLogProbs
    sampled_tokens: list[int]


class TrajectoryRecorder(TrainerCallback):
    """Measures the held-out pairs before the first step and after every epoch or every `every` steps, and adds rows to a file.

    `measure(step)` is called on every rank, and then `measured`; `write` is true on the rank that writes. At step 0 the model is
    the reference, so the measurement there is the reference of all later rows. A continued run drops rows after its checkpoint.
    """

    def __init__(
        self,
        file: Path,
        pairs: "Dataset",
        facts: Mapping[str, str],
        measure: Callable[[int], HeldOutMeasurement],
        *,
        write: bool,
        every: int | None = None,
        measured: Callable[[TrainerState, TrainerControl], None] | None = None,
    ) -> None:
        self._every, self._measured = every, measured
        self._file, self._pairs, self._facts, self._measure, self._write = file, pairs, facts, measure, write

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Measure before the first step; in a run that goes on drop the rows after its checkpoint and measure what was due."""
        if state.global_step == 0:
            self._add(0, 0.0)
            return
        is_missing = [self._write and state.global_step not in self._kept_steps(state.global_step)]
        broadcast_object_list(is_missing, from_process=0)
        if is_missing[0] and self._is_due(state):  # a kill came between checkpoint and measurement
            self._measure_now(state, control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Measure after a whole epoch; an epoch that a stop cut short is not measured."""
        if self._every is None and self._is_due(state):
            self._measure_now(state, control)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Measure after every so many steps and after the last one."""
        if self._every is not None and self._is_due(state):
            self._measure_now(state, control)

    def _is_due(self, state: TrainerState) -> bool:
        """Whether the held-out pairs are measured after this step."""
        if state.global_step >= state.max_steps:
            return True
        if self._every is not None:
            return state.global_step % self._every == 0
        epoch = state.epoch or 0.0
        return abs(epoch - round(epoch)) < _EPOCH_TOLERANCE

    def _measure_now(self, state: TrainerState, control: TrainerControl) -> None:
        self._add(state.global_step, state.epoch or 0.0)
        if self._measured is not None:
            self._measured(state, control)

    def _kept_steps(self, step: int) -> set[int]:
        """Drop the rows after `step`; the steps of those that are kept."""
        import pyarrow.compute as pc

        kept = _read(self._file).filter(pc.field("step") <= step)
        _replace(self._file, kept)
        return {int(each) for each in pc.unique(kept["step"]).to_pylist() if each is not None}

    def _add(self, step: int, epoch: float) -> None:
        measured = self._measure(step)
        if not self._write:
            return
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        schema = trajectory_schema(self._facts)
        earlier = pq.read_table(self._file) if step and self._file.is_file() else schema.empty_table()
        earlier = earlier.filter(pc.field("step") < step)
        chosen, rejected = measured.log_probs.chosen.double().numpy(), measured.log_probs.rejected.double().numpy()
        count = len(self._pairs)
        at_start = earlier.filter(pc.field("step") == 0) if step else None
        sampled = measured.sampled_tokens
        rows = {
            "step": [step] * count,
            "epoch": [epoch] * count,
            "pair_id": self._pairs["pair_id"][:],
            "chosen_logps": chosen,
            "rejected_logps": rejected,
            "ref_chosen_logps": at_start["chosen_logps"] if at_start else chosen,
            "ref_rejected_logps": at_start["rejected_logps"] if at_start else rejected,
            "chosen_tokens": [len(ids) for ids in self._pairs["chosen_ids"]],
            "rejected_tokens": [len(ids) for ids in self._pairs["rejected_ids"]],
            "sampled_tokens": [*sampled, *[None] * (count - len(sampled))],
        }
        _replace(self._file, pa.concat_tables([earlier, pa.table(rows, schema=schema)]))


def trajectory_schema(facts: Mapping[str, str]) -> "pa.Schema":
    """The file's columns: log-likelihoods are sums over response tokens, in nats; `facts` go into its metadata."""
    import pyarrow as pa

    number, length = pa.float64(), pa.int64()
    log_likelihoods = ("chosen_logps", "rejected_logps", "ref_chosen_logps", "ref_rejected_logps")
    lengths = ("chosen_tokens", "rejected_tokens", "sampled_tokens")
    columns: dict[str, pa.DataType] = {"step": length, "epoch": number, "pair_id": pa.string()}
    columns.update(dict.fromkeys(log_likelihoods, number))
    columns.update(dict.fromkeys(lengths, length))
    return pa.schema(columns, metadata={f"clairgen_{name}": value for name, value in facts.items()})


def mean_margins(trajectories: Path, beta: float, *, per_token: bool = False) -> dict[int, float]:
    """The mean reward margin at each step that was measured; a margin that is not a number counts as the lowest.

    Rewards are of whole answers, or means over tokens with `per_token`, as dpo-norm has them. Raises RunError for a file that is
    damaged.
    """
    table = _read(trajectories).to_pydict()
    margins: dict[int, list[float]] = {}
    for step, margin in zip(table["step"], _margins(table, beta, per_token=per_token), strict=True):
        margins.setdefault(step, []).append(margin)
    means = {step: math.fsum(values) / len(values) for step, values in margins.items()}
    return {step: mean if math.isfinite(mean) else -math.inf for step, mean in means.items()}


def final_metrics(
    trajectories: Path, beta: float, step: int | None = None, *, per_token: bool = False
) -> dict[str, object]:
    """Means and standard errors at `step`, the last one by default: reward margin, change of both log-likelihoods.

    `per_token` as in `mean_margins`. {} without a file.
    """
    if not trajectories.is_file():
        return {}
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(trajectories)
    at = pc.max(table["step"]) if step is None else pa.scalar(step)
    last = table.filter(pc.equal(table["step"], at)).to_pydict()
    chosen, rejected = (_changes(last, side) for side in ("chosen", "rejected"))
    margins = _margins(last, beta, per_token=per_token)
    return {
        "held_out_pairs": len(margins),
        "reward_margin": _mean(margins),
        "chosen_change": _mean(chosen),
        "rejected_change": _mean(rejected),
    }


def _changes(table: Mapping[str, Sequence[float]], side: str) -> list[float]:
    """The log-ratio of each row's answer on that side, nats."""
    return [now - before for now, before in zip(table[f"{side}_logps"], table[f"ref_{side}_logps"], strict=True)]


def _margins(table: Mapping[str, Sequence[float]], beta: float, *, per_token: bool) -> list[float]:
    """The reward margin of each row."""
    chosen, rejected = (_changes(table, side) for side in ("chosen", "rejected"))
    if per_token:
        chosen, rejected = (
            [change / max(tokens, 1) for change, tokens in zip(changes, table[f"{side}_tokens"], strict=True)]
            for side, changes in (("chosen", chosen), ("rejected", rejected))
        )
    return [beta * (up - down) for up, down in zip(chosen, rejected, strict=True)]


def _mean(values: Sequence[float]) -> dict[str, float | None]:
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return {"mean": mean, "se": None, "n": count}
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return {"mean": mean, "se": math.sqrt(variance / count), "n": count}


def _replace(file: Path, table: "pa.Table") -> None:
    """Replace the file by `table`, whole or not at all."""
    import pyarrow.parquet as pq

    partial = file.with_suffix(f".{os.getpid()}.partial")
    pq.write_table(table, partial)
    partial.rename(file)


def _read(file: Path) -> "pa.Table":
    """The whole file. Raises RunError for one that is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise RunError(damaged(file, error)) from error
