"""UnpairedTrainer over a real tiny model: losses, references, resumes, and what it refuses."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from clairgen.errors import ConfigError, InputError
from clairgen_train.losses import apo_zero_unpaired, kto
from clairgen_train.settings import Objective
from clairgen_train.unpaired_trainer import UnpairedTrainer
from tests.training.tiny import prepared_pairs, tiny_llama, unpaired_trainer


def test_the_trainers_losses_are_the_pure_ones(tmp_path: Path) -> None:
    for objective in (Objective.KTO, Objective.APO_ZERO_UNPAIRED):
        trainer = unpaired_trainer(tmp_path, prepared_pairs(4), objective)
        batch = trainer.data_collator([dict(row) for row in trainer.train_dataset])
        with torch.no_grad():
            loss = trainer.compute_loss(trainer.model, batch)
            policy, policy_kl = trainer.compute_ref_log_probs(trainer.model, batch)
            reference, reference_kl = trainer.compute_ref_log_probs(trainer.ref_model, batch)
        rewards, label = 0.1 * (policy - reference), batch["label"]
        if objective is Objective.KTO:
            anchor = 0.1 * (policy_kl - reference_kl).mean().clamp(min=0)
            wanted = kto(rewards, label, anchor).mean()
        else:
            wanted = apo_zero_unpaired(rewards, label).mean()
        assert loss.item() == pytest.approx(wanted.item(), abs=1e-6)


def test_reference_log_probs_of_pairs_serve_apo_zero_unpaired_and_kto_has_them_computed(tmp_path: Path) -> None:
    pairs = prepared_pairs(4, ref_chosen_logps=[-1.0, -2.0, -3.0, -4.0], ref_rejected_logps=[-5.0, -6.0, -7.0, -8.0])
    for objective in (Objective.KTO, Objective.APO_ZERO_UNPAIRED):
        settings = {"precompute_ref_log_probs": True}
        trainer = unpaired_trainer(tmp_path, pairs, objective, settings=settings, ref_model=None)
        rows = trainer.train_dataset
        if objective is Objective.KTO:
            with torch.no_grad():
                wanted = trainer.compute_ref_log_probs(
                    trainer.model, trainer.data_collator([dict(row) for row in rows])
                )
            torch.testing.assert_close(torch.tensor(rows["ref_logps"][:]), wanted[0], rtol=0, atol=1e-4)
            torch.testing.assert_close(torch.tensor(rows["ref_KL_logps"][:]), wanted[1], rtol=0, atol=1e-4)
        else:
            of_answer = {
                tuple(pair[f"{side}_ids"]): pair[f"ref_{side}_logps"]
                for pair in pairs
                for side in ("chosen", "rejected")
            }
            assert rows["ref_logps"][:] == [of_answer[tuple(ids)] for ids in rows["completion_ids"]]
        trainer.train()


def test_evaluation_pairs_are_unpaired_as_well(tmp_path: Path) -> None:
    trainer = unpaired_trainer(tmp_path, prepared_pairs(4), Objective.KTO, eval_dataset=prepared_pairs(3, seed=1))
    assert len(trainer.eval_dataset) == 6
    assert 0 < trainer.evaluate()["eval_loss"] < 1


def weights(model: LlamaForCausalLM) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


@pytest.mark.parametrize("objective", [Objective.KTO, Objective.APO_ZERO_UNPAIRED])
def test_a_run_resumed_within_its_second_epoch_ends_at_the_same_weights(tmp_path: Path, objective: Objective) -> None:
    settings = {"max_steps": 12, "save_strategy": "steps", "save_steps": 7}  # 5 micro-batches an epoch

    def trainer(model: LlamaForCausalLM) -> UnpairedTrainer:
        return unpaired_trainer(tmp_path, prepared_pairs(9), objective, model=model, settings=settings)

    whole, resumed = tiny_llama(0), tiny_llama(0)
    trainer(whole).train()
    trainer(resumed).train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))
    assert torch.equal(weights(whole), weights(resumed))
    assert not torch.equal(weights(whole), weights(tiny_llama(0)))


def test_objectives_for_pairs_and_weights_and_kto_on_single_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="apo-zero trains on pairs"):
        unpaired_trainer(tmp_path, prepared_pairs(4), Objective.APO_ZERO)
    with pytest.raises(InputError, match="The pairs have weights"):
        unpaired_trainer(tmp_path, prepared_pairs(2, weight=[1.0, 2.0]), Objective.KTO)
    with pytest.raises(ConfigError, match="set the batch size per device to 2 or more"):
        unpaired_trainer(tmp_path, prepared_pairs(4), Objective.KTO, settings={"per_device_train_batch_size": 1})
