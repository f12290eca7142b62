"""An optimizer step does not depend on how its batch is divided into micro-batches, nor does a run that changes the division."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clairgen.errors import InputError
from clairgen_train.kl_anchor import RunningAnchor
from clairgen_train.objectives import Objective
from tests.training.tiny import pair_trainer, prepared_pairs, tiny_llama, unpaired_trainer

BATCH, PAIRS = 8, 7  # a last batch of 7 pairs, or of 6 answers, that no micro-batch of 2 or 4 divides


def trained(folder: Path, objective: Objective, size: int, *, resume: str | None = None, **given: Any) -> Tensor:  # noqa: ANN401 - settings
    """The weights after two steps (or `given` settings) with micro-batches of `size`, as one vector."""
    seed = 1 if objective is Objective.KTO else 0  # the reference is another model, under which KTO's KL is above 0
    model = tiny_llama(seed)
    settings = {
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": BATCH // size,
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
        trainer = pair_trainer(folder, prepared_pairs(PAIRS), objective, model=model, anchor=anchor, settings=settings)
    else:
        trainer = unpaired_trainer(
            folder, prepared_pairs(PAIRS), objective, model=model, ref_model=tiny_llama(1 - seed), settings=settings
        )
    trainer.train(resume_from_checkpoint=resume)
    if objective is Objective.KTO:
        assert trainer.state.log_history[0]["kl"] > 1
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


@pytest.mark.parametrize("objective", list(Objective))
def test_a_step_is_the_same_for_every_size_of_micro_batches(tmp_path: Path, objective: Objective) -> None:
    whole = trained(tmp_path, objective, BATCH)
    moved = (whole - trained(tmp_path, objective, BATCH, learning_rate=0.0)).abs().max()
    for size in (2, 4) if objective is Objective.KTO else (1, 2, 4):
        difference = (trained(tmp_path, objective, size) - whole).abs().max()
        assert difference < 1e-5 * moved, (size, difference / moved)


@pytest.mark.parametrize("objective", [Objective.SFT, Objective.KTO])
def test_a_run_that_goes_on_with_other_micro_batches_sees_the_same_rows(tmp_path: Path, objective: Objective) -> None:
    settings: dict[str, Any] = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "learning_rate": 0.05}
    whole = trained(tmp_path, objective, 4, **settings)
    for size in (2, 8):
        other = trained(tmp_path, objective, size, resume=str(tmp_path / "checkpoint-3"), **settings)
        torch.testing.assert_close(other, whole, rtol=1e-4, atol=1e-5)


def test_rows_of_several_objectives_weigh_the_same_in_every_micro_batch(tmp_path: Path) -> None:
    codes = [each.code for each in (Objective.SFT, Objective.APO_ZERO, Objective.SFT, Objective.DPO)] * 2
    rows = prepared_pairs(PAIRS, objective=codes[:PAIRS], weight=[1.0, 2.0, 0.5, 1.0, 1.0, 3.0, 1.0])
    found = []
    for size in (8, 4, 1):
        model = tiny_llama(0)
        settings = {
            "per_device_train_batch_size": size,
            "gradient_accumulation_steps": BATCH // size,
            "optim": "sgd",
            "max_grad_norm": 1e9,
            "max_steps": 1,
            "learning_rate": 0.5,
        }
        pair_trainer(tmp_path, rows, Objective.APO_ZERO, model=model, settings=settings).train()
        found.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("objective", [Objective.APO_ZERO, Objective.KTO])
def test_rows_that_are_streamed_are_refused(tmp_path: Path, objective: Objective) -> None:
    make: Any = pair_trainer if objective.is_paired else unpaired_trainer
    with pytest.raises(InputError, match="IterableDataset, whose rows are not known in advance; load it as a Dataset"):
        make(tmp_path, prepared_pairs(4).to_iterable_dataset(), objective)
