"""TRL's DPOTrainer over pairs that are already tokens, under any of the paper's objectives for pairs.

The loss is always `pair_losses`, whatever a batch holds; TRL runs the forward pass and logs its metrics of it. Reading those
metrics waits for the device about ten times in a step (TRL 1.16), so this package does not go out of its way to avoid a wait.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, cast

import torch
from datasets import Dataset
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel
from trl import DPOConfig, DPOTrainer

from clairgen_train.kl_anchor import Anchor, RunningAnchor
from clairgen_train.losses import NO_OBJECTIVE, PairScores, length_desensitized, pair_losses
from clairgen_train.metrics_log import TokenMean
from clairgen_train.micro_batches import MICRO_BATCH, MicroBatch, mean_chosen_tokens, with_micro_batches
from clairgen_train.pair_log_probs import KeptOutputs, PairCollator, ReferencePass
from clairgen_train.sampling import sampled_pairs
from clairgen_train.saved_weights import LoadsWholeCheckpoints
from clairgen_train.settings import Objective
from clairgen_train.validation import (
    validate_chosen_nll,
    validate_ld_alpha,
    validate_loss_options,
    validate_pairs,
)

_TRL_LOSS = "apo_zero"  # TRL evaluates a loss to log its metrics; its value is not used

_OF_BOTH = re.compile("/(rejected|margins|accuracies)$")


class PairTrainer(LoadsWholeCheckpoints, DPOTrainer):  # type: ignore[misc]  # trl is Any to mypy
    """Trains a loaded model on prepared pairs, under `objective` or under each pair's own where the column `objective` has it.

    `args.loss_type` is set to one that TRL can evaluate beside it; `args.ld_alpha` counts for every row. `anchor` estimates
    KTO-pair's KL and is required where the run or a pair has `kto-pair`. A `RunningAnchor` scores its samples under the
    reference: with an adapter that is the model with the adapter off; in full fine-tuning a frozen copy of the initial model is
    kept in memory for it, even where the data's own reference log-probs are precomputed. `reference_pass` adds the data's
    reference log-probs in place of TRL's pass. The columns `weight` and `margin` (in units of rewards, for `dpo` and `dpo-norm`)
    are a pair's own. `chosen_nll` is the weight of an added term, the mean negative log-likelihood of chosen in nats per token;
    with it, a pair whose answers are the same is trained by that term alone.
    Raises `ConfigError` for a TRL option that would change only TRL's losses, `InputError` for data that cannot be used here.
    """

    precompute_ref_logps: bool  # TRL's: whether a batch holds the reference's log-probs
    loss_is_scaled_for_ga = True  # transformers need not divide by the number of micro-batches

    def __init__(
        self,
        model: nn.Module,
        *,
        args: DPOConfig,
        train_dataset: Dataset,
        objective: Objective = Objective.APO_ZERO,
        anchor: Anchor | None = None,
        ref_model: nn.Module | None = None,
        peft_config: object = None,
        data_collator: Callable[[list[dict[str, Any]]], dict[str, Tensor]] | None = None,
        reference_pass: ReferencePass | None = None,
        chosen_nll: float = 0.0,
        **kwargs: object,
    ) -> None:
        self._reference_pass = reference_pass
        validate_loss_options(args)
        validate_pairs(train_dataset, objective, has_anchor=anchor is not None)
        names = set(train_dataset.unique("objective")) if "objective" in train_dataset.column_names else set()
        for each in {objective, *map(Objective, names)}:
            validate_ld_alpha(args.ld_alpha, each)
        validate_chosen_nll(chosen_nll, objective)
        self.chosen_nll = chosen_nll
        self._chosen_likelihood = {mode: TokenMean() for mode in ("train", "eval")}
        self.objective, self.anchor = objective, anchor
        rejected = train_dataset["rejected_ids"] if "rejected_ids" in train_dataset.column_names else [[0]]
        self._has_rejected = any(len(ids) for ids in rejected)
        self._has_sft = objective is Objective.SFT or Objective.SFT.value in names
        self._has_norm = objective is Objective.DPO_NORM or Objective.DPO_NORM.value in names
        self._only_sft = objective is Objective.SFT and names <= {Objective.SFT.value}
        args.loss_type = [_TRL_LOSS]
        adapted = peft_config is not None or isinstance(model, PeftModel)
        if isinstance(anchor, RunningAnchor) and ref_model is None and not adapted:
            ref_model = copy.deepcopy(model).requires_grad_(False)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            ref_model=ref_model,
            peft_config=peft_config,
            data_collator=data_collator,
            **kwargs,
        )
        if isinstance(anchor, RunningAnchor):
            self.add_callback(anchor)
        if data_collator is None:  # TRL's own drops the pairs' objectives and weights
            self.data_collator = PairCollator(
                self._tokenizer.pad_token_id,
                max_length=args.max_length,
                truncation_mode=args.truncation_mode,
                pad_to_multiple_of=args.pad_to_multiple_of,
            )

    def _prepare_dataset(self, dataset: Dataset, *args: object, **kwargs: object) -> Dataset:
        if "prompt_ids" in (dataset.column_names or ()):  # None where evaluation data is streamed
            return dataset
        return super()._prepare_dataset(dataset, *args, **kwargs)

    def _precompute_ref_logps(self, dataset: Dataset, *args: object, **kwargs: object) -> Dataset:
        if "ref_chosen_logps" in (dataset.column_names or ()):
            return dataset
        if self._reference_pass is not None:
            return self._reference_pass(self, dataset)
        return super()._precompute_ref_logps(dataset, *args, **kwargs)

    def log(self, logs: dict[str, float], *args: object, **kwargs: object) -> None:
        """TRL's log, with `chosen_nll` where it is trained, and without a rejected answer's metrics where no row has one."""
        if (nats := self._chosen_likelihood[self._mode].taken()) is not None:
            self._metrics[self._mode]["chosen_nll"] = [nats]
        if not self._has_rejected:
            for metrics in self._metrics.values():
                for name in [name for name in metrics if _OF_BOTH.search(name)]:
                    del metrics[name]
        super().log(logs, *args, **kwargs)

    def reference_log_probs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """The reference's sums over response tokens for a batch of rows, chosen first, [rows], nats."""
        return torch.cat(self.compute_ref_log_probs(model, batch))

    def create_model_card(self, *args: object, **kwargs: object) -> None:
        """Write no card: a run writes its own once it is finished."""

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns += [
            column for column in ("objective", "weight", "margin") if column not in self._signature_columns
        ]

    def training_step(self, model: nn.Module, inputs: dict[str, Tensor], *args: object, **kwargs: object) -> Tensor:
        """TRL's step, before which the on-policy anchor is refreshed if that is due."""
        anchor = self._running_anchor()
        if anchor is not None and anchor.is_due(self.state.global_step):
            self._refresh(anchor)
        loss: Tensor = super().training_step(model, inputs, *args, **kwargs)
        return loss

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Tensor]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], object]:
        """The micro-batches of an optimizer step, each with its part in the step; see `micro_batches`."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        batches = with_micro_batches(self, batches, len(self.train_dataset))
        if (self._has_sft or self.chosen_nll) and batches:
            of_sft, of_all = mean_chosen_tokens(self.accelerator, batches, Objective.SFT.code)
            batches = [batch | {"sft_tokens": of_sft, "chosen_tokens": of_all} for batch in batches]
        return batches, items

    def _compute_loss(
        self, model: Callable[..., Any], inputs: Mapping[str, Any], return_outputs: bool
    ) -> Tensor | tuple[Tensor, object]:
        inputs = dict(inputs)
        objective, weight, margin = (inputs.pop(name, None) for name in ("objective", "weight", "margin"))
        part = inputs.pop(MICRO_BATCH, None)
        mean_tokens = {name: inputs.pop(name, None) for name in ("sft_tokens", "chosen_tokens")}
        has_reference = "ref_chosen_logps" in inputs or not self._only_sft
        if not has_reference:
            zeros = torch.zeros(len(inputs["input_ids"]) // 2, device=self.accelerator.device)
            inputs |= {"ref_chosen_logps": zeros, "ref_rejected_logps": zeros}
        elif "ref_chosen_logps" not in inputs:
            reference = self.compute_ref_log_probs(self.ref_model or self.model, inputs)
            inputs["ref_chosen_logps"], inputs["ref_rejected_logps"] = reference
        forward = KeptOutputs(model)
        with self._reference_in_batch():
            result = super()._compute_loss(forward, inputs, return_outputs)
        if not has_reference:
            self._drop_rewards()
        scores = _scores(forward.outputs.log_probs, inputs, self.ld_alpha)
        if objective is None:
            objective = torch.full_like(scores.chosen_tokens, self.objective.code)
        if self._has_norm:
            self._log_rewards(*scores.rewards(objective, self.beta))
        if self.chosen_nll:
            objective = self._without_identical(objective, scores, inputs)
            self._log_likelihood(scores, part)
        losses = self._pair_losses(scores, objective, weight, margin, mean_tokens, part)
        loss = losses.mean() if part is None else part.step_mean(losses)
        if self.aux_loss_enabled:
            fraction = 1.0 if part is None else part.fraction
            loss = loss + self.router_aux_loss_coef * fraction * forward.outputs.aux_loss
        return (loss, result[1]) if return_outputs else loss

    @property
    def _mode(self) -> str:
        """TRL's name of what is going on, under which it keeps metrics."""
        return "train" if self.model.training else "eval"

    def _drop_rewards(self) -> None:
        """Log no rewards where there is no reference."""
        metrics = self._metrics[self._mode]
        for name in [name for name in metrics if name.startswith("rewards/")]:
            del metrics[name]

    def _pair_losses(
        self,
        scores: PairScores,
        objective: Tensor,
        weight: Tensor | None,
        margin: Tensor | None,
        mean_tokens: Mapping[str, Tensor | None],
        part: MicroBatch | None,
    ) -> Tensor:
        if weight is None:
            weight = torch.ones_like(scores.ref_chosen_logps)
        kl = (torch.zeros(()).to(scores.chosen_logps),) * 2
        anchor = self._running_anchor() or self.anchor
        if anchor is not None:
            rows = objective == Objective.KTO_PAIR.code
            if part is not None:
                rows = rows & (torch.arange(len(rows), device=rows.device) < part.counted)
            kl = anchor.kl(scores, rows)
            self._metrics[self._mode]["kl_anchor"].append((kl[0] + kl[1]).item() / 2)
        return pair_losses(
            scores, objective, weight, beta=self.beta, kl=kl, margin=margin, chosen_nll=self.chosen_nll, **mean_tokens
        )

    def _log_rewards(self, chosen: Tensor, rejected: Tensor) -> None:
        """Log the rewards that the loss has, where TRL has logged those of whole answers. Two tensors [B]."""
        found = self.accelerator.gather(torch.stack([chosen, rejected], dim=1).detach())
        margins = found[:, 0] - found[:, 1]
        values = {
            "chosen": found[:, 0],
            "rejected": found[:, 1],
            "margins": margins,
            "accuracies": (margins > 0).float(),
        }
        for name, each in values.items():
            self._metrics[self._mode][f"rewards/{name}"][-1] = each.mean().item()

    def _without_identical(self, objective: Tensor, scores: PairScores, inputs: Mapping[str, Tensor]) -> Tensor:
        """The rows' objectives, none for pairs whose answers are the same; TRL's margins become those of the other rows.

        Two equal answers hold no preference, yet APO-down would push them down, and they would shift KTO-pair's anchor.
        """
        halves = [inputs[name].chunk(2) for name in ("input_ids", "completion_mask")]
        same = torch.stack([(chosen == rejected).all(dim=1) for chosen, rejected in halves]).all(dim=0)
        chosen_rewards, rejected_rewards = scores.rewards(objective, self.beta)
        margins = (chosen_rewards - rejected_rewards).detach()
        found = self.accelerator.gather(torch.stack([margins, (~same).to(margins)], dim=1))
        margins, differs = found[:, 0], found[:, 1] > 0
        metrics = self._metrics[self._mode]
        for name, values in (("rewards/margins", margins), ("rewards/accuracies", (margins > 0).to(margins))):
            if metrics[name]:
                metrics[name][-1:] = [values[differs].mean().item()] if bool(differs.any()) else []
            if not metrics[name]:
                del metrics[name]
        return objective.masked_fill(same & (objective != Objective.SFT.code), NO_OBJECTIVE)

    def _log_likelihood(self, scores: PairScores, part: MicroBatch | None) -> None:
        """Add the chosen answers of a micro-batch, on all ranks, to the logged likelihood."""
        counted = len(scores.chosen_logps) if part is None else part.counted
        sums = torch.stack(
            [
                values[:counted].sum().float()
                for values in (scores.chosen_log_likelihoods.detach(), scores.chosen_tokens)
            ]
        )
        nats, tokens = self.accelerator.reduce(sums, reduction="sum").tolist()
        self._chosen_likelihood[self._mode].add(-nats, tokens)

    @contextmanager
    def _reference_in_batch(self) -> Iterator[None]:
        """Let TRL take the reference's log-probs from the batch inside the block."""
        before, self.precompute_ref_logps = self.precompute_ref_logps, True
        try:
            yield
        finally:
            self.precompute_ref_logps = before

    def _running_anchor(self) -> RunningAnchor | None:
        """The anchor among the callbacks; transformers replaces the original when it restores callbacks itself."""
        return next((each for each in self.callback_handler.callbacks if isinstance(each, RunningAnchor)), None)

    def _refresh(self, anchor: RunningAnchor) -> None:
        """Sample answers to random training prompts and update the anchor by their mean log-ratio over all ranks."""
        step, accelerator, sampling = self.state.global_step, self.accelerator, anchor.sampling
        policy = accelerator.unwrap_model(self.model)
        seed = sampling.seed * 1_000_003 + step * accelerator.num_processes + accelerator.process_index
        rows = sampled_pairs(
            cast("PreTrainedModel", policy.get_base_model() if isinstance(policy, PeftModel) else policy),
            self._random_prompts(max(sampling.answers // 2, 1), seed),
            max_new_tokens=sampling.max_new_tokens,
            pad_token_id=self._tokenizer.pad_token_id,
            seed=seed,
        )
        batch = self._prepare_inputs(PairCollator(pad_token_id=self._tokenizer.pad_token_id)(rows))
        was_training = self.model.training
        self.model.eval()
        reference = torch.cat(self.compute_ref_log_probs(self.ref_model or self.model, batch))
        labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
        with torch.no_grad(), accelerator.autocast():
            given = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "use_cache": False}
            logps = self.model(**given, labels=labels, fused_lm_head=True).log_probs.sum(dim=1)
        self.model.train(was_training)
        anchor.add(accelerator.gather((logps - reference).mean()).mean().item(), step)

    def _random_prompts(self, count: int, seed: int) -> list[list[int]]:
        """Prompts (token ids) of random pairs that are trained under KTO-pair; some repeat if there are fewer."""
        pairs = self.train_dataset
        rows: Sequence[int] = range(len(pairs))
        if "objective" in pairs.column_names:
            wanted = Objective.KTO_PAIR.value
            rows = [row for row, objective in enumerate(pairs["objective"]) if objective == wanted] or rows
        chosen = Random(seed).choices(rows, k=count)  # noqa: S311 - a sample of prompts, not a secret
        return [pairs[row]["prompt_ids"] for row in chosen]


def _scores(log_probs: Tensor, inputs: Mapping[str, Tensor], ld_alpha: float | None) -> PairScores:
    """A batch's sums over response tokens, as TRL takes them; prompt-learning adapters prepend virtual tokens."""
    mask = inputs["completion_mask"][:, 1:]
    token_logps = log_probs[:, -mask.size(1) :]
    chosen, rejected = token_logps.sum(dim=1).chunk(2)
    whole = None
    if ld_alpha is not None:
        whole = chosen
        chosen, rejected = length_desensitized(token_logps, mask, ld_alpha).chunk(2)
    chosen_tokens, rejected_tokens = mask.sum(dim=1).chunk(2)
    reference = (inputs["ref_chosen_logps"], inputs["ref_rejected_logps"])
    return PairScores(chosen, rejected, *reference, chosen_tokens, rejected_tokens, whole)
