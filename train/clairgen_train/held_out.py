"""Held-out pairs, measured while a run trains: their log-likelihoods, and the lengths of answers to some of their prompts."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from clairgen_train.pair_log_probs import PairLogProbs, pair_log_probs, policy_score
from clairgen_train.progress import say
from clairgen_train.sampling import sampled_answers
from clairgen_train.settings import TrainingSettings
from clairgen_train.trl_config import uses_shards

if TYPE_CHECKING:
    from clairgen_train.data.prepare import PreparedPairs
    from clairgen_train.pair_trainer import PairTrainer
    from clairgen_train.unpaired_trainer import UnpairedTrainer

    Trainer = PairTrainer | UnpairedTrainer

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


def held_out_trajectories(
    trainer: "Trainer", settings: TrainingSettings, file: Path, pairs: "PreparedPairs", pad_token_id: int
) -> Trajectories:
    """The callback that measures the held-out pairs of a run; there must be some."""
    held_out, is_first = pairs.held_out, trainer.accelerator.is_main_process
    if held_out is None:
        raise ValueError("no pairs are held out")
    prompts = held_out["prompt_ids"][: settings.sampled_answers]
    if prompts and uses_shards(settings):
        prompts = []
        if is_first:
            say("no answers are sampled for the trajectories: with the model in shards that is not supported")

    def measure(step: int) -> Measured:
        log_probs = pair_log_probs(
            policy_score(trainer.model_wrapped, trainer.accelerator),
            held_out,
            accelerator=trainer.accelerator,
            pad_token_id=pad_token_id,
            batch_size=settings.device_batch_size,
        )
        return Measured(log_probs, _answer_lengths(trainer, prompts, settings, pad_token_id, step))

    by_pair = pairs.facts["train"]["objectives"]
    facts = {
        "objective": next(iter(by_pair)) if len(by_pair) == 1 else "mixed",
        "beta": str(settings.beta),
        "data": str(pairs.facts["data"]),
        "model": settings.model,
        "version": version("clairgen"),
    }
    return Trajectories(file, held_out, facts, measure, write=is_first)


def _answer_lengths(
    trainer: "Trainer",
    prompts: list[list[int]],
    settings: TrainingSettings,
    pad_token_id: int,
    step: int,
) -> list[int]:
    if not prompts:
        return []
    model = trainer.accelerator.unwrap_model(trainer.model)
    bare = model.get_base_model() if settings.lora else model
    answers = sampled_answers(
        bare,
        prompts,
        max_new_tokens=settings.response_tokens,
        pad_token_id=pad_token_id,
        seed=settings.seed + step,
    )
    return [len(answer) for answer in answers]


def outcome(trajectories: Path, beta: float) -> dict[str, object]:
    """Mean and standard error at the last step of reward margin and both log-likelihoods' change; empty without a file."""
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
