"""TRL's KTOTrainer over prepared pairs, split into single labeled answers: KTO, and APO-zero-unpaired.

TRL runs the model and logs its metrics; the loss is this package's, since TRL's estimates KTO's KL inside each micro-batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from datasets import Dataset, concatenate_datasets
from torch import Tensor, nn
from torch.utils.data import Sampler
from trl import KTOConfig, KTOTrainer

from clairgen.errors import ConfigError
from clairgen_train.data.unpair import BlockSampler, labeled_answers
from clairgen_train.losses import apo_zero_unpaired, kto
from clairgen_train.micro_batches import MICRO_BATCH, with_micro_batches
from clairgen_train.pair_log_probs import KeptOutputs, ReferencePass
from clairgen_train.saved_weights import LoadsWholeCheckpoints
from clairgen_train.settings import Objective
from clairgen_train.validation import require_map_style

TRL_UNPAIRED_LOSSES = {Objective.KTO: "kto", Objective.APO_ZERO_UNPAIRED: "apo_zero_unpaired"}
"""The objectives for single answers, by TRL's names."""


class UnpairedTrainer(LoadsWholeCheckpoints, KTOTrainer):  # type: ignore[misc]  # trl is Any to mypy
    """Trains a loaded model on prepared pairs (the rows of PairTrainer) answer by answer; `args.loss_type` is set to match.

    Rows are shuffled by `args.seed` and the order of batches changes each epoch. Under `kto` the batch of an optimizer step keeps
    its answers over the epochs, because the KL answers and their reference log-probs are stored with the rows, and the KL is
    estimated from the whole batch; under `apo-zero-unpaired` every row moves. `reference_pass` adds the reference log-probs in
    place of TRL's pass. Raises `ConfigError` for an objective for pairs, and for KTO with micro-batches of one, which TRL
    refuses.
    """

    precompute_ref_logps: bool  # TRL's: whether a batch holds the reference's log-probs
    loss_is_scaled_for_ga = True  # transformers need not divide by the number of micro-batches

    def __init__(
        self,
        model: nn.Module,
        *,
        args: KTOConfig,
        train_dataset: Dataset,
        objective: Objective = Objective.KTO,
        reference_pass: ReferencePass | None = None,
        **kwargs: object,
    ) -> None:
        self._reference_pass = reference_pass
        if objective not in TRL_UNPAIRED_LOSSES:
            raise ConfigError(f"{objective.value} trains on pairs; it needs PairTrainer, not UnpairedTrainer.")
        require_map_style(train_dataset)
        if objective is Objective.KTO and args.per_device_train_batch_size < 2:
            raise ConfigError(
                "TRL's trainer for kto takes no batch of one answer; set the batch size per device to 2 or more, or use "
                "apo-zero-unpaired."
            )
        args.loss_type = TRL_UNPAIRED_LOSSES[objective]
        self._step: Sequence[dict[str, Any]] = ()
        self._kl_logps: Tensor | None = None
        super().__init__(model=model, args=args, train_dataset=train_dataset, **kwargs)

    def _prepare_dataset(
        self, dataset: Dataset, processing_class: object, args: KTOConfig, dataset_name: str
    ) -> Dataset:
        columns = dataset.column_names or ()  # None where evaluation data is streamed
        if "completion_ids" in columns:
            return dataset
        if "chosen_ids" not in columns:
            return super()._prepare_dataset(dataset, processing_class, args, dataset_name)
        is_train = dataset_name == "train"
        if is_train:
            self._pairs = dataset
        block = _rows_per_step(args) if is_train else max(args.per_device_eval_batch_size, 2)
        with args.main_process_first(desc=f"unpairing the {dataset_name} data"):
            return labeled_answers(dataset, block=block, seed=args.seed, with_kl=self.calculate_KL)

    def _precompute_ref_logps(self, dataset: Dataset, *args: object, **kwargs: object) -> Dataset:
        columns = dataset.column_names or ()
        if "ref_logps" in columns and ("ref_KL_logps" in columns or not self.calculate_KL):
            return dataset
        if self._reference_pass is None or dataset is not self.train_dataset:
            return super()._precompute_ref_logps(dataset, *args, **kwargs)
        if not self.calculate_KL:
            pairs = self._reference_pass(self, self._pairs)
            return labeled_answers(pairs, block=1, seed=self.args.seed, with_kl=False)
        names = {"completion_ids": "chosen_ids", "KL_completion_ids": "rejected_ids"}
        found = self._reference_pass(self, dataset.select_columns(["prompt_ids", *names]).rename_columns(names))
        renamed = {"ref_chosen_logps": "ref_logps", "ref_rejected_logps": "ref_KL_logps"}
        references = found.select_columns([*renamed]).rename_columns(renamed)
        return concatenate_datasets([dataset, references], axis=1)

    def reference_log_probs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """The reference's sums over response tokens of a batch, [rows], nats; under kto its second half are KL answers."""
        if not self.calculate_KL:
            answers: Tensor = self.compute_ref_log_probs(model, batch)[0]
            return answers
        halves = {name: tensor.chunk(2) for name, tensor in batch.items()}
        inputs = {name: half[0] for name, half in halves.items()} | {
            f"KL_{name}": half[1] for name, half in halves.items()
        }
        return torch.cat(self.compute_ref_log_probs(model, inputs))

    def create_model_card(self, *args: object, **kwargs: object) -> None:
        """Write no card: a run writes its own once it is finished."""

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        rows = self.train_dataset if train_dataset is None else train_dataset
        block = _rows_per_step(self.args) if self.calculate_KL else 1
        return BlockSampler(len(rows), block, self.args.seed, lambda: self.state.epoch or 0.0)

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Tensor]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], object]:
        """The micro-batches of an optimizer step, each with its part in the step; see `micro_batches`."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        batches = with_micro_batches(self, batches, len(self.train_dataset))
        self._step = batches
        return batches, items

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: object, **kwargs: object) -> Tensor:
        """TRL's step, before the first of which the KL of the whole batch is estimated."""
        if self.calculate_KL and self._step and "kl" not in self._step[0]:
            self._estimate_kl(model)
        loss: Tensor = super().training_step(model, inputs, *args, **kwargs)
        return loss

    def _estimate_kl(self, model: nn.Module) -> None:
        """Add to every micro-batch of the step `kl`, the mean log-ratio of the KL answers of the whole step, and what it is from.

        In evaluation mode, so that no random number is drawn: a resumed run restores their state only after the batch is read.
        """
        was_training = model.training
        model.eval()
        total = torch.zeros((), device=self.accelerator.device)
        with self.compute_loss_context_manager():
            for batch in self._step:
                given = self._prepare_inputs({name: value for name, value in batch.items() if name != MICRO_BATCH})
                if "ref_KL_logps" not in given:
                    batch["ref_logps"], batch["ref_KL_logps"] = self._reference(given)
                batch["KL_logps"] = super()._compute_kl_logps(model, given)
                ratios = batch["KL_logps"] - batch["ref_KL_logps"].to(batch["KL_logps"])
                total += ratios[: batch[MICRO_BATCH].counted].sum()
        model.train(was_training)
        mean = self.accelerator.reduce(total, reduction="sum") / self._step[0][MICRO_BATCH].step_rows
        for batch in self._step:
            batch["kl"] = mean.clamp(min=0)

    def _reference(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """The reference's log-probs of the answers and of the KL answers, [B] each."""
        found: tuple[Tensor, Tensor | None] = self.compute_ref_log_probs(self.ref_model or self.model, inputs)
        return found

    def _compute_kl_logps(self, model: Callable[..., Any], batch: Mapping[str, Tensor]) -> Tensor | None:
        """TRL's, which is not computed twice for one batch."""
        return super()._compute_kl_logps(model, batch) if self._kl_logps is None else self._kl_logps

    def _compute_loss(
        self, model: Callable[..., Any], inputs: Mapping[str, Any], return_outputs: bool
    ) -> Tensor | tuple[Tensor, object]:
        inputs = dict(inputs)
        part, kl, kl_logps = (inputs.pop(name, None) for name in (MICRO_BATCH, "kl", "KL_logps"))
        if "ref_logps" not in inputs:
            inputs["ref_logps"], inputs["ref_KL_logps"] = self._reference(inputs)
        if self.calculate_KL and kl_logps is None:  # evaluation: the batch is all there is
            kl_logps = super()._compute_kl_logps(model, inputs)
            kl = self.accelerator.gather_for_metrics((kl_logps - inputs["ref_KL_logps"]).mean()).mean().clamp(min=0)
        forward = KeptOutputs(model)
        with self._given(kl_logps):
            result = super()._compute_loss(forward, inputs, return_outputs)
        if kl is not None:
            self._metrics["train" if self.model.training else "eval"]["kl"][-1] = kl.item()
        losses = self._answer_losses(forward.outputs.log_probs, inputs, kl)
        loss = losses.mean() if part is None else part.step_mean(losses)
        if self.aux_loss_enabled:
            fraction = 1.0 if part is None else part.fraction
            loss = loss + self.router_aux_loss_coef * fraction * forward.outputs.aux_loss
        return (loss, result[1]) if return_outputs else loss

    def _answer_losses(self, log_probs: Tensor, inputs: Mapping[str, Tensor], kl: Tensor | None) -> Tensor:
        """Each answer's loss, [B]; prompt-learning adapters prepend virtual tokens."""
        logps = log_probs[:, 1 - inputs["input_ids"].size(1) :].sum(dim=1)
        desirable = torch.as_tensor(inputs["label"], dtype=torch.bool, device=logps.device)
        rewards = self.beta * (logps - inputs["ref_logps"])
        losses = apo_zero_unpaired(rewards, desirable) if kl is None else kto(rewards, desirable, self.beta * kl)
        return losses * torch.where(desirable, self.desirable_weight, self.undesirable_weight)

    @contextmanager
    def _given(self, kl_logps: Tensor | None) -> Iterator[None]:
        """Let TRL take the reference's log-probs and those of the KL answers as given inside the block."""
        before, self.precompute_ref_logps, self._kl_logps = self.precompute_ref_logps, True, kl_logps
        try:
            yield
        finally:
            self.precompute_ref_logps, self._kl_logps = before, None


def _rows_per_step(args: KTOConfig) -> int:
    """The answers of one optimizer step, over all micro-batches and ranks."""
    return int(args.train_batch_size * args.gradient_accumulation_steps * args.world_size)
