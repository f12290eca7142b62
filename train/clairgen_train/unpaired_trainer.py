"""TRL's KTOTrainer over prepared pairs, split into single labeled answers: KTO, and APO-zero-unpaired."""

from datasets import Dataset
from torch import nn
from torch.utils.data import Sampler
from trl import KTOConfig, KTOTrainer

from clairgen.errors import ConfigError
from clairgen_train.data.unpair import BlockSampler, labeled_answers
from clairgen_train.settings import Objective

TRL_UNPAIRED_LOSSES = {Objective.KTO: "kto", Objective.APO_ZERO_UNPAIRED: "apo_zero_unpaired"}
"""The objectives for single answers, by TRL's names; TRL computes both losses."""


class UnpairedTrainer(KTOTrainer):  # type: ignore[misc]  # trl is Any to mypy
    """Trains a loaded model on prepared pairs (the rows of PairTrainer) answer by answer; `args.loss_type` is set to match.

    Rows are shuffled by `args.seed` and the order of micro-batches changes each epoch. Under `kto` a micro-batch keeps its
    answers over the epochs, because the KL answers and their reference log-probs are stored with the rows; under
    `apo-zero-unpaired` every row moves. Raises `ConfigError` for an objective for pairs, and for KTO with micro-batches of one.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        args: KTOConfig,
        train_dataset: Dataset,
        objective: Objective = Objective.KTO,
        **kwargs: object,
    ) -> None:
        if objective not in TRL_UNPAIRED_LOSSES:
            raise ConfigError(f"{objective.value} trains on pairs; it needs PairTrainer, not UnpairedTrainer.")
        if objective is Objective.KTO and args.per_device_train_batch_size < 2:
            raise ConfigError(
                "kto estimates its KL inside a micro-batch and cannot with one answer in it; set the batch size per device to 2 "
                "or more, or use apo-zero-unpaired."
            )
        args.loss_type = TRL_UNPAIRED_LOSSES[objective]
        super().__init__(model=model, args=args, train_dataset=train_dataset, **kwargs)

    def _prepare_dataset(
        self, dataset: Dataset, processing_class: object, args: KTOConfig, dataset_name: str
    ) -> Dataset:
        if "completion_ids" in dataset.column_names:
            return dataset
        if "chosen_ids" not in dataset.column_names:
            return super()._prepare_dataset(dataset, processing_class, args, dataset_name)
        is_train = dataset_name == "train"
        block = args.per_device_train_batch_size if is_train else max(args.per_device_eval_batch_size, 2)
        with args.main_process_first(desc=f"unpairing the {dataset_name} data"):
            return labeled_answers(dataset, block=block, seed=args.seed, with_kl=self.calculate_KL)

    def _precompute_ref_logps(self, dataset: Dataset, *args: object, **kwargs: object) -> Dataset:
        if "ref_logps" in dataset.column_names and ("ref_KL_logps" in dataset.column_names or not self.calculate_KL):
            return dataset
        return super()._precompute_ref_logps(dataset, *args, **kwargs)

    def create_model_card(self, *args: object, **kwargs: object) -> None:
        """Write no card: a run writes its own once it is finished."""

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        rows = self.train_dataset if train_dataset is None else train_dataset
        block = self.args.per_device_train_batch_size if self.calculate_KL else 1
        return BlockSampler(len(rows), block, self.args.seed, lambda: self.state.epoch or 0.0)
