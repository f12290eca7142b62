"""Batches of prepared pairs: TRL's tensors, and ours beside them."""

import torch
from trl.trainer.dpo_trainer import DataCollatorForPreference


class PairCollator(DataCollatorForPreference):  # type: ignore[misc]  # trl is Any to mypy
    """TRL's batch (chosen rows, then rejected rows, right-padded), with `objective` [B] int64 and `weight` [B] float32."""

    def torch_call(self, examples: list[dict[str, object]]) -> dict[str, torch.Tensor]:
        """One batch of prepared rows; the two columns are left out where the rows have none."""
        batch: dict[str, torch.Tensor] = super().torch_call(examples)
        for column, dtype in (("objective", torch.int64), ("weight", torch.float32)):
            if column in examples[0]:
                batch[column] = torch.tensor([example[column] for example in examples], dtype=dtype)
        return batch
