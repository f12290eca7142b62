"""Short runs on several ranks, or on one: with micro-batches that differ in objective, and under each objective."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clairgen.errors import ClairgenError
from clairgen_train.kl_anchor import RunningAnchor
from clairgen_train.launch import joined
from clairgen_train.losses import PairScores
from clairgen_train.pair_trainer import PairTrainer
from clairgen_train.run import prepare, run
from clairgen_train.run_folder import RunFolder
from clairgen_train.settings import Objective
from tests.training.small_run import settings
from tests.training.tiny import pair_trainer, prepared_pairs, tiny_llama, unpaired_trainer

BATCH, PAIRS = 8, 7  # a last batch of 7 pairs, or of 6 answers, that no micro-batch of 2 or 4 divides
OBJECTIVES: list[list[int]] = []
ON_RANKS = [*((each, 0.0) for each in Objective), (Objective.APO_ZERO, 2.0)]
"""What is trained on several ranks: every objective, and one with a likelihood term of that weight."""


class ObjectiveRecorder(PairTrainer):
    """Records the objectives of each micro-batch."""

    def _pair_losses(self, scores: PairScores, objective: Tensor | None, *others: Any) -> Tensor:  # noqa: ANN401 - of any kind
        assert objective is not None
        OBJECTIVES.append(objective.tolist())
        return super()._pair_losses(scores, objective, *others)


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


def train_each(rank: int, out: Path) -> None:
    """Train under every objective as one of two ranks, and write the weights to OUT/rank-N.pt."""
    weights = {
        f"{objective.value} {nll}": trained(out / f"runs-{rank}", objective, 2, ranks=2, chosen_nll=nll)
        for objective, nll in ON_RANKS
    }
    torch.save(weights, out / f"rank-{rank}.pt")


def join_run(rank: int, out: Path, data: str, folder: str, objective: str) -> None:
    """Train the small run in OUT/`folder` as one of two ranks, as on two nodes; write what is refused to OUT/refused-N."""
    given = settings(out, objective=objective, reference_cache=str(out / f"cache-{rank}"))
    try:
        run_folder = RunFolder(out / folder.format(rank=rank))
        with joined(run_folder, given, lambda: prepare(data, run_folder.path, given)) as is_first:
            assert is_first is (rank == 0)
            run(run_folder)
    except ClairgenError as error:
        (out / f"refused-{rank}").write_text(str(error))


def trained(
    folder: Path,
    objective: Objective,
    size: int,
    *,
    ranks: int = 1,
    resume: str | None = None,
    chosen_nll: float = 0.0,
    **given: object,
) -> Tensor:
    """The weights after two steps (or `given` settings) of BATCH rows in micro-batches of `size`, as one vector."""
    seed = 1 if objective is Objective.KTO else 0  # the reference is another model, under which KTO's KL is above 0
    model = tiny_llama(seed)
    configured = {
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": BATCH // (size * ranks),
        "optim": "sgd",
        "learning_rate": 0.5,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1e9,
    } | given
    if objective.is_paired:
        anchor = None
        if objective is Objective.KTO_PAIR:
            anchor = RunningAnchor(every=1000)
            anchor.add(2.0, 0)
        trainer = pair_trainer(
            folder,
            prepared_pairs(PAIRS),
            objective,
            model=model,
            settings=configured,
            anchor=anchor,
            chosen_nll=chosen_nll,
        )
    else:
        trainer = unpaired_trainer(
            folder, prepared_pairs(PAIRS), objective, model=model, ref_model=tiny_llama(1 - seed), settings=configured
        )
    trainer.train(resume_from_checkpoint=resume)
    if objective is Objective.KTO:
        assert trainer.state.log_history[0]["kl"] > 1
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])
