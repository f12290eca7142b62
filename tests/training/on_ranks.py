"""A short run on several ranks, whose micro-batches differ in objective from rank to rank."""

import json
from pathlib import Path

from torch import Tensor

from clairgen_train.kl_anchor import RunningAnchor
from clairgen_train.pair_trainer import PairTrainer
from clairgen_train.settings import Objective
from tests.training.tiny import pair_trainer, prepared_pairs

BY_TRL: list[bool] = []


class LossSourceRecorder(PairTrainer):
    """Records whether TRL computed each micro-batch's loss."""

    def _trl_computes(self, objective: Tensor | None, weight: Tensor | None) -> bool:
        BY_TRL.append(super()._trl_computes(objective, weight))
        return BY_TRL[-1]


def train(rank: int, out: Path) -> None:
    """Train as one of the ranks, and write its final state to OUT/rank-N.json."""
    anchor = RunningAnchor(every=2, answers=2, max_new_tokens=6)
    codes = [Objective.APO_ZERO.code, Objective.KTO_PAIR.code] * 8
    trainer = pair_trainer(
        out / "run",
        prepared_pairs(16, objective=codes),
        Objective.APO_ZERO,
        kind=LossSourceRecorder,
        anchor=anchor,
        settings={"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "max_steps": 4},
    )
    trainer.train()
    weights = sum(weight.double().sum().item() for weight in trainer.model.parameters())
    found = {"anchor": anchor.mean_nats, "weights": weights, "by_trl": BY_TRL}
    assert trainer.args.process_index == rank
    (out / f"rank-{rank}.json").write_text(json.dumps(found))
