"""How the batch of an optimizer step is divided into micro-batches, so that the division changes no row's weight in the loss.

TRL takes the mean of each micro-batch, and transformers the mean of those: there the rows of a short last micro-batch weigh
more, and a mean over tokens becomes a mean of means. Here every micro-batch knows its part in the whole step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import Trainer

MICRO_BATCH = "micro_batch"
"""The key of a batch under which the trainers keep its MicroBatch."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """The part of one micro-batch in an optimizer step.

    The first `counted` of its rows count; where it `repeats` rows, the others do not: accelerate fills the last batches of an
    epoch until all ranks have equally many. `step_rows` is the number of rows that count in the step, over all of its
    micro-batches and ranks.
    """

    counted: int
    step_rows: int
    ranks: int
    repeats: bool

    @property
    def fraction(self) -> float:
        """Its share of the step's mean, times the number of ranks, over which gradients are averaged."""
        return self.counted * self.ranks / self.step_rows

    def step_mean(self, losses: Tensor) -> Tensor:
        """Its term of the mean over the step: from one loss a row [B] to a scalar. The terms of all micro-batches add up."""
        return losses[: self.counted].sum() * (self.ranks / self.step_rows)


def with_micro_batches(trainer: Trainer, batches: Sequence[Mapping[str, Any]], rows: int) -> list[dict[str, Any]]:
    """The micro-batches of this rank's next optimizer step, each with its MicroBatch; `rows` is how many an epoch has.

    Accelerate deals the micro-batches of an epoch to the ranks in turn.
    """
    args, ranks = trainer.args, trainer.accelerator.num_processes
    size = trainer._train_batch_size  # noqa: SLF001 - what its data loader has, also after auto_find_batch_size
    if args.dataloader_drop_last:
        rows -= rows % (size * ranks)
    whole = size * ranks * args.gradient_accumulation_steps
    step_in_epoch = trainer.state.global_step % max(-(-rows // whole), 1)
    step_rows = min(whole, rows - step_in_epoch * whole)
    found = []
    for number, batch in enumerate(batches):
        before = (number * ranks + trainer.accelerator.process_index) * size
        counted = min(max(step_rows - before, 0), size)
        repeats = counted < size and ranks > 1
        found.append({**batch, MICRO_BATCH: MicroBatch(counted, step_rows, ranks, repeats)})
    return found


def mean_chosen_tokens(
    accelerator: Accelerator, batches: Sequence[Mapping[str, Any]], code: int
) -> tuple[Tensor, Tensor]:
    """Mean tokens of a step's chosen answers, over all micro-batches and ranks: of rows with that objective, and of all.

    `batches` are this rank's micro-batches of pairs from `with_micro_batches`, `code` the objective's number in `objective`;
    without that column all rows have it.
    """
    totals = torch.zeros(4, device=accelerator.device)
    for batch in batches:
        counted = batch[MICRO_BATCH].counted
        tokens = batch["completion_mask"][:, 1:].sum(dim=1).chunk(2)[0][:counted]
        every = torch.ones_like(tokens)
        ours = (batch["objective"][:counted] == code).to(tokens) if "objective" in batch else every
        counts = [(tokens * ours).sum(), ours.sum(), tokens.sum(), every.sum()]
        totals += torch.stack(counts).to(totals)
    totals = accelerator.reduce(totals, reduction="sum")
    return totals[0] / totals[1].clamp(min=1), totals[2] / totals[3].clamp(min=1)
