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
    """Measures the held-out pairs before the first step and after every epoch, and adds the rows to a file.

    `measure(step)` is called on every rank; `write` is true on the rank that writes. At step 0 the model is the reference, so the
    measurement there is the reference of all later rows. A continued run drops the rows after its checkpoint.
    """

    def __init__(
        self,
        file: Path,
        pairs: "Dataset",
        facts: Mapping[str, str],
        measure: Callable[[int], HeldOutMeasurement],
        *,
        write: bool,
    ) -> None:
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
        if is_missing[0] and _is_due(state):  # a kill came between checkpoint and measurement
            self._add(state.global_step, state.epoch or 0.0)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Measure after a whole epoch; an epoch that a stop cut short is not measured."""
        if _is_due(state):
            self._add(state.global_step, state.epoch or 0.0)

    def _kept_steps(self, step: int) -> set[int]:
        """Drop the rows after `step`; the steps of those that are kept."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self._file)
        except (OSError, pa.ArrowException) as error:
            raise RunError(damaged(self._file, error)) from error
        kept = table.filter(pc.field("step") <= step)
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


def _is_due(state: TrainerState) -> bool:
    """Whether an epoch is whole here, or the run."""
    epoch = state.epoch or 0.0
    return abs(epoch - round(epoch)) < _EPOCH_TOLERANCE or state.global_step >= state.max_steps


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


def final_metrics(trajectories: Path, beta: float) -> dict[str, object]:
    """Means and standard errors at the last step: reward margin, and the change of both log-likelihoods; {} without a file."""
    if not trajectories.is_file():
        return {}
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(trajectories)
    last = table.filter(pc.equal(table["step"], pc.max(table["step"]))).to_pydict()
    chosen = [now - before for now, before in zip(last["chosen_logps"], last["ref_chosen_logps"], strict=True)]
    rejected = [now - before for now, before in zip(last["rejected_logps"], last["ref_rejected_logps"], strict=True)]
    margins = [beta * (up - down) for up, down in zip(chosen, rejected, strict=True)]
    return {
        "held_out_pairs": len(margins),
        "reward_margin": _mean(margins),
        "chosen_change": _mean(chosen),
        "rejected_change": _mean(rejected),
    }


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
