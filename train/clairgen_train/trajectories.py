"""Log-likelihoods of held-out pairs during training, pair by pair, from step 0 on (Figure 4): one parquet file."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from clairgen_train.pair_log_probs import PairLogProbs

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

_TINY = 1e-6


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


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement of all held-out pairs; `sampled_tokens` are lengths of answers to the first of their prompts."""

    log_probs: PairLogProbs
    sampled_tokens: list[int]


class Trajectories(TrainerCallback):
    """Measures the held-out pairs before the first step and after every epoch.

    `measure(step)` is called on every rank and `write` says which one writes. At step 0 the model is the reference, so what is
    measured there is the reference of all later rows. A continued run drops the rows beyond its checkpoint and goes on.
    """

    def __init__(
        self, file: Path, pairs: "Dataset", facts: Mapping[str, str], measure: Callable[[int], Measured], *, write: bool
    ) -> None:
        self._file, self._pairs, self._facts, self._measure, self._write = file, pairs, facts, measure, write

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Measure before the first step, or take up the file of a continued run."""
        if state.global_step == 0:
            self._add(0, 0.0)
        elif self._write and self._file.is_file():
            import pyarrow.compute as pc
            import pyarrow.parquet as pq

            table = pq.read_table(self._file)
            _replace(self._file, table.filter(pc.field("step") <= state.global_step))

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Measure after an epoch; one that ends early because the run was asked to stop is none."""
        epoch = state.epoch or 0.0
        if abs(epoch - round(epoch)) < _TINY or state.global_step >= state.max_steps:
            self._add(state.global_step, epoch)

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


def _replace(file: Path, table: "pa.Table") -> None:
    """Put `table` in the file's place, whole or not at all."""
    import pyarrow.parquet as pq

    partial = file.with_suffix(f".{os.getpid()}.partial")
    pq.write_table(table, partial)
    partial.rename(file)
