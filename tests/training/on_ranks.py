"""A short run on several ranks, whose micro-batches differ in objective from rank to rank."""

import json
from pathlib import Path

from torch import Tensor

from clairgen_train.kl_anchor import RunningAnchor
from clairgen_train.losses import PairScores
from clairgen_train.pair_trainer import PairTrainer
from clairgen_train.settings import Objective
from tests.training.tiny import pair_trainer, prepared_pairs

OBJECTIVES: list[list[int]] = []


class ObjectiveRecorder(PairTrainer):
    """Records the objectives of each micro-batch."""

    def _pair_loss(self, scores: PairScores, objective: Tensor | None, weight: Tensor | None) -> Tensor:
        assert objective is not None
        OBJECTIVES.append(objective.tolist())
        return super()._pair_loss(scores, objective, weight)


def train(rank: int, out: Path) -> None:
    """Train as one of the ranks, and write its final state to OUT/rank-N.json."""
    anchor = RunningAnchor(every=2, answers=2, max_new_tokens=6)
    names = [Objective.APO_ZERO.value, Objective.KTO_PAIR.value] * 8
    trainer = pair_trainer(
        out / "run",
        prepared_pairs(16, objective=names),
        Objective.APO_ZERO,
        kind=ObjectiveRecorder,
        anchor=anchor,
        settings={"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "max_steps": 4},
    )
    trainer.train()
    weights = sum(weight.double().sum().item() for weight in trainer.model.parameters())
    found = {"anchor": anchor.mean_nats, "weights": weights, "objectives": OBJECTIVES}
    assert trainer.args.process_index == rank
    (out / f"rank-{rank}.json").write_text(json.dumps(found))
