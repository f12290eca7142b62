"""Log-probabilities of prepared pairs under a model: sums over response tokens, one number per answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from trl.trainer.dpo_trainer import DataCollatorForPreference

from clairgen_train.losses import length_desensitized
from clairgen_train.settings import Objective

if TYPE_CHECKING:
    from accelerate import Accelerator
    from datasets import Dataset

Score = Callable[[dict[str, Tensor]], Tensor]
"""From a batch of rows, chosen first, to their sums over response tokens [rows], nats; the batch as TRL collates it."""

ReferencePass = Callable[[Any, "Dataset"], "Dataset"]
"""From a trainer and its pairs to the pairs with `ref_chosen_logps` and `ref_rejected_logps`, in place of TRL's own pass."""


class PairCollator(DataCollatorForPreference):  # type: ignore[misc]  # trl is Any to mypy
    """TRL's batch (chosen rows, then rejected ones, right-padded), with `objective` (codes), `weight`, `margin`, all [B]."""

    def torch_call(self, examples: list[dict[str, object]]) -> dict[str, torch.Tensor]:
        """One batch of prepared rows; these columns are left out where the rows have none."""
        batch: dict[str, torch.Tensor] = super().torch_call(examples)
        if "objective" in examples[0]:
            batch["objective"] = torch.tensor([Objective(str(example["objective"])).code for example in examples])
        for name in ("weight", "margin"):
            if name in examples[0]:
                batch[name] = torch.tensor([example[name] for example in examples], dtype=torch.float32)
        return batch


@dataclass(frozen=True, slots=True)
class PairLogProbs:
    """Log-probabilities of n pairs, in their order: two tensors [n] float32 on the CPU, nats per response."""

    chosen: Tensor
    rejected: Tensor


def pair_log_probs(
    score: Score, pairs: "Dataset", *, accelerator: "Accelerator", pad_token_id: int, batch_size: int
) -> PairLogProbs:
    """The log-probabilities of `pairs` under `score`; each rank computes a slice of them, and all ranks get all."""
    count = len(pairs)
    each = -(-count // accelerator.num_processes)  # the same number on all ranks, which sharded models need
    first = accelerator.process_index * each
    own = [min(first + number, count - 1) for number in range(each)]
    collate = PairCollator(pad_token_id=pad_token_id)
    found: list[Tensor] = []
    for start in range(0, each, batch_size):
        batch = collate([pairs[number] for number in own[start : start + batch_size]])
        wanted = ("input_ids", "attention_mask", "completion_mask")
        log_probs = score({name: batch[name].to(accelerator.device) for name in wanted})
        found.append(log_probs.float().reshape(2, -1))
    gathered = accelerator.gather(torch.cat(found, dim=1).contiguous())
    both = gathered.reshape(-1, 2, each).transpose(0, 1).reshape(2, -1)[:, :count].cpu()
    return PairLogProbs(both[0].clone(), both[1].clone())


def policy_score(model: nn.Module, accelerator: "Accelerator", ld_alpha: float | None = None) -> Score:
    """The score under `model` in its present state: no gradient, evaluation mode, no random number drawn.

    With `ld_alpha` it is LD-DPO's, in which the longer answer's further tokens count less.
    """

    def score(batch: dict[str, Tensor]) -> Tensor:
        was_training = model.training
        model.eval()
        with torch.no_grad(), accelerator.autocast():
            log_probs = response_log_probs(model, batch, ld_alpha)
        model.train(was_training)
        return log_probs

    return score


def response_log_probs(model: nn.Module, batch: dict[str, Tensor], ld_alpha: float | None = None) -> Tensor:
    """Sums over response tokens for a batch of rows, [rows], nats; `batch` as TRL collates it."""
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    outputs = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        labels=labels,
        use_cache=False,
        fused_lm_head=True,
    )
    log_probs: Tensor = outputs.log_probs
    # Prompt-learning adapters prepend virtual tokens; the real ones are at the end
    log_probs = log_probs[:, 1 - labels.size(1) :]
    if ld_alpha is None:
        return log_probs.sum(dim=1)
    return length_desensitized(log_probs, batch["completion_mask"][:, 1:], ld_alpha)


class KeptOutputs:
    """Calls the model and keeps its last outputs with log-probs, whose graph is still alive."""

    outputs: Any  # a FusedCausalLMOutput of TRL's, which is Any to mypy

    def __init__(self, model: Callable[..., Any]) -> None:
        self._model = model

    def __call__(self, **kwargs: object) -> object:
        """The model's outputs."""
        outputs = self._model(**kwargs)
        if kwargs.get("fused_lm_head"):
            self.outputs = outputs
        return outputs
