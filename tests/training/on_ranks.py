"""A short run on every rank that `torch.distributed.run` starts, whose micro-batches differ in objective from rank to rank.

Each rank writes its final state to OUT/rank-N.json: `python -m torch.distributed.run ... -m tests.training.on_ranks OUT`.
"""

import json
import sys
from pathlib import Path

from torch import Tensor

from clairgen_train.kl_anchor import RunningAnchor
from clairgen_train.objectives import Objective
from clairgen_train.pair_trainer import PairTrainer
from tests.training.tiny import pair_trainer, prepared_pairs

BY_TRL: list[bool] = []


class LossSourceRecorder(PairTrainer):
    """Records whether TRL computed each micro-batch's loss."""

    def _trl_computes(self, objective: Tensor | None, weight: Tensor | None) -> bool:
        BY_TRL.append(super()._trl_computes(objective, weight))
        return BY_TRL[-1]


def main(out: Path) -> None:
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
    (out / f"rank-{trainer.args.process_index}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
