"""An optimizer step does not depend on how its batch is divided into micro-batches and ranks, nor a run that changes that."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import IterableDataset

from clairgen.errors import InputError
from clairgen_train.settings import Objective
from tests.training.on_ranks import BATCH, ON_RANKS, PAIRS, train_each, trained
from tests.training.ranks import on_ranks
from tests.training.tiny import pair_trainer, prepared_pairs, tiny_llama, unpaired_trainer


@pytest.mark.parametrize("objective", list(Objective))
def test_a_step_is_the_same_for_every_size_of_micro_batches(tmp_path: Path, objective: Objective) -> None:
    whole = trained(tmp_path, objective, BATCH)
    moved = (whole - trained(tmp_path, objective, BATCH, learning_rate=0.0)).abs().max()
    for size in (2, 4) if objective is Objective.KTO else (1, 2, 4):
        difference = (trained(tmp_path, objective, size) - whole).abs().max()
        assert difference < 1e-5 * moved, (size, difference / moved)


def test_two_ranks_take_the_steps_of_one_process_under_every_objective(tmp_path: Path) -> None:
    on_ranks(train_each, tmp_path)
    one, other = (torch.load(tmp_path / f"rank-{rank}.pt") for rank in (0, 1))
    for objective, chosen_nll in ON_RANKS:
        name = f"{objective.value} {chosen_nll}"
        assert torch.equal(one[name], other[name]), name
        alone = trained(tmp_path, objective, BATCH, chosen_nll=chosen_nll)
        moved = (alone - trained(tmp_path, objective, BATCH, learning_rate=0.0)).abs().max()
        difference = (one[name] - alone).abs().max()
        assert difference < 1e-5 * moved, (name, difference / moved)


def test_a_step_of_length_desensitized_dpo_is_the_same_for_every_size_of_micro_batches(tmp_path: Path) -> None:
    whole = trained(tmp_path, Objective.DPO, BATCH, ld_alpha=0.2)
    moved = (whole - trained(tmp_path, Objective.DPO, BATCH)).abs().max()  # what alpha does
    assert moved > 1e-3
    for size in (1, 2, 4):
        assert (trained(tmp_path, Objective.DPO, size, ld_alpha=0.2) - whole).abs().max() < 1e-5 * moved


@pytest.mark.parametrize("objective", [Objective.APO_ZERO, Objective.DPO_NORM, Objective.KTO_PAIR])
def test_a_step_with_a_likelihood_term_is_the_same_for_every_size_of_micro_batches(
    tmp_path: Path, objective: Objective
) -> None:
    whole = trained(tmp_path, objective, BATCH, chosen_nll=2.0)
    moved = (whole - trained(tmp_path, objective, BATCH)).abs().max()  # what the term does
    assert moved > 1e-3
    for size in (1, 2, 4):
        difference = (trained(tmp_path, objective, size, chosen_nll=2.0) - whole).abs().max()
        assert difference < 1e-5 * moved, (size, difference / moved)


@pytest.mark.parametrize("objective", [Objective.SFT, Objective.KTO])
def test_a_run_that_goes_on_with_other_micro_batches_sees_the_same_rows(tmp_path: Path, objective: Objective) -> None:
    settings: dict[str, Any] = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "learning_rate": 0.05}
    whole = trained(tmp_path, objective, 4, **settings)
    for size in (2, 8):
        other = trained(tmp_path, objective, size, resume=str(tmp_path / "checkpoint-3"), **settings)
        torch.testing.assert_close(other, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chosen_nll", [0.0, 2.0])
def test_rows_of_several_objectives_weigh_the_same_in_every_micro_batch(tmp_path: Path, chosen_nll: float) -> None:
    names = [each.value for each in (Objective.SFT, Objective.APO_ZERO, Objective.DPO_NORM, Objective.DPO)] * 2
    weight, margin = [1.0, 2.0, 0.5, 1.0, 1.0, 3.0, 1.0], [0.0, 0.0, 0.5, 1.0, 0.0, 0.0, 2.0]
    rows = prepared_pairs(PAIRS, objective=names[:PAIRS], weight=weight, margin=margin)
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
        pair_trainer(tmp_path, rows, Objective.APO_ZERO, model=model, settings=settings, chosen_nll=chosen_nll).train()
        found.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("objective", [Objective.APO_ZERO, Objective.KTO])
def test_rows_that_are_streamed_are_refused(tmp_path: Path, objective: Objective) -> None:
    make: Any = pair_trainer if objective.is_paired else unpaired_trainer
    with pytest.raises(InputError, match="IterableDataset, whose rows are not known in advance; load it as a Dataset"):
        make(tmp_path, prepared_pairs(4).to_iterable_dataset(), objective)
    with pytest.raises(InputError, match="The training data is a NoneType; load it as a Dataset"):
        make(tmp_path, None, objective)


@pytest.mark.parametrize("objective", [Objective.APO_ZERO, Objective.KTO])
def test_streamed_evaluation_data_is_refused_in_trls_words(tmp_path: Path, objective: Objective) -> None:
    make: Any = pair_trainer if objective.is_paired else unpaired_trainer
    trainer = make(tmp_path, prepared_pairs(4), objective, settings={"precompute_ref_log_probs": True})

    def rows() -> Iterator[dict[str, object]]:
        yield {"prompt": "2?", "chosen": "4", "rejected": "5", "completion": "4", "label": True}

    with pytest.raises(ValueError, match=r"precompute_ref_log_probs.*not supported with IterableDataset"):
        trainer.evaluate(eval_dataset=IterableDataset.from_generator(rows))
