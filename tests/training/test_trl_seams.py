"""What this package overrides, calls or reads of TRL's undocumented interface: a version that changes it fails here, by name."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer
from transformers.trainer_callback import ExportableState
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from clairgen_train.kl_anchor import RunningAnchor
from clairgen_train.settings import Objective
from clairgen_train.unpaired_trainer import TRL_UNPAIRED_LOSSES
from tests.training.tiny import TRL_PAIR_LOSSES, pair_trainer, prepared_pairs, unpaired_trainer

OVERRIDDEN = {
    DPOTrainer: {
        "_prepare_dataset": ["self", "dataset", "processing_class", "args", "dataset_name"],
        "_precompute_ref_logps": ["self", "dataset", "name", "batch_size"],
        "_set_signature_columns_if_needed": ["self"],
        "_compute_loss": ["self", "model", "inputs", "return_outputs"],
        "compute_ref_log_probs": ["self", "model", "inputs"],
        "training_step": ["self", "args", "kwargs"],
    },
    KTOTrainer: {
        "_prepare_dataset": ["self", "dataset", "processing_class", "args", "dataset_name"],
        "_precompute_ref_logps": ["self", "dataset", "name", "batch_size"],
        "_get_train_sampler": ["self", "train_dataset"],
        "compute_ref_log_probs": ["self", "model", "inputs"],
    },
}


@pytest.mark.parametrize("trainer", OVERRIDDEN)
def test_trls_methods_have_the_names_and_parameters_that_are_overridden(trainer: type[Trainer]) -> None:
    for name, wanted in OVERRIDDEN[trainer].items():
        assert name in vars(trainer), f"{trainer.__name__}.{name} is gone: clairgen_train overrides or calls it"
        found = list(inspect.signature(getattr(trainer, name)).parameters)
        assert found == wanted, f"{trainer.__name__}.{name} takes other parameters: clairgen_train passes {wanted}"


def test_trl_has_the_losses_by_the_names_that_are_given_to_it() -> None:
    for name in TRL_PAIR_LOSSES.values():
        assert f'loss_type == "{name}"' in inspect.getsource(DPOTrainer._compute_loss), f"DPOTrainer lost {name}"
    for name in TRL_UNPAIRED_LOSSES.values():
        assert f'loss_type == "{name}"' in inspect.getsource(KTOTrainer._compute_loss), f"KTOTrainer lost {name}"


def test_trl_calls_the_model_it_is_given_once_with_a_fused_head_and_masked_labels(tmp_path: Path) -> None:
    trainer = pair_trainer(tmp_path, prepared_pairs(4), Objective.APO_ZERO)
    batch = trainer.data_collator(list(prepared_pairs(4)))
    calls: list[dict[str, Any]] = []

    def model(**given: object) -> object:
        calls.append(given)
        return trainer.model(**given)

    DPOTrainer._compute_loss(trainer, model, dict(batch), return_outputs=False)
    assert len(calls) == 1, "DPOTrainer calls the policy more often than once: PairTrainer keeps the last outputs"
    assert calls[0]["fused_lm_head"] is True, "DPOTrainer asks for no fused head: PairTrainer waits for that"
    wanted = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    assert torch.equal(calls[0]["labels"], wanted), "DPOTrainer labels other tokens than the responses"
    outputs = trainer.model(**calls[0])
    assert outputs.log_probs.shape == (8, wanted.size(1) - 1), (
        "log_probs have another shape: PairTrainer sums them by row"
    )
    assert torch.count_nonzero(outputs.log_probs[wanted[:, 1:] == -100]) == 0, "log_probs outside responses are not 0"


def test_trl_keeps_on_its_trainers_what_is_read_there(tmp_path: Path) -> None:
    paired = pair_trainer(tmp_path, prepared_pairs(4), Objective.APO_ZERO)
    for name in ("beta", "precompute_ref_logps", "ref_model", "aux_loss_enabled", "router_aux_loss_coef", "_metrics"):
        assert name in vars(paired), f"DPOTrainer keeps no `{name}` any more"
    assert paired._tokenizer.pad_token_id is not None
    unpaired = unpaired_trainer(tmp_path, prepared_pairs(4), Objective.KTO)
    assert vars(unpaired)["calculate_KL"] is True, "KTOTrainer keeps no `calculate_KL` any more"


def test_trls_options_that_are_refused_or_set_exist_with_the_defaults_that_are_let_pass() -> None:
    paired, unpaired = DPOConfig("unused", use_cpu=True, bf16=False), KTOConfig("unused", use_cpu=True, bf16=False)
    assert paired.loss_type == ["sigmoid"]
    assert (paired.label_smoothing, paired.use_weighting, paired.ld_alpha, paired.loss_weights) == (
        0,
        False,
        None,
        None,
    )
    assert paired.f_divergence_type == "reverse_kl"
    assert unpaired.loss_type == "kto"
    assert (unpaired.desirable_weight, unpaired.undesirable_weight) == (1, 1), (
        "KTO's weights are no longer 1 by default"
    )


def test_trls_batches_have_the_keys_and_the_halves_that_are_relied_on() -> None:
    row = {
        "prompt_ids": [2, 3],
        "chosen_ids": [4],
        "rejected_ids": [5, 6],
        "ref_chosen_logps": -1.0,
        "ref_rejected_logps": -2.0,
    }
    batch = DataCollatorForPreference(pad_token_id=0)([row])
    assert batch["input_ids"].tolist() == [[2, 3, 4, 0], [2, 3, 5, 6]]
    assert batch["completion_mask"].tolist() == [[0, 0, 1, 0], [0, 0, 1, 1]]
    assert batch.keys() == {
        "input_ids",
        "attention_mask",
        "completion_mask",
        "ref_chosen_logps",
        "ref_rejected_logps",
    }
    answer = {"prompt_ids": [2], "completion_ids": [3], "KL_completion_ids": [4, 5], "label": True}
    single = DataCollatorForUnpairedPreference(pad_token_id=0)([answer])
    assert single["KL_input_ids"].tolist() == [[2, 4, 5]]
    assert single.keys() == {
        "input_ids",
        "attention_mask",
        "completion_mask",
        "KL_input_ids",
        "KL_attention_mask",
        "KL_completion_mask",
        "label",
    }


def test_transformers_keeps_the_anchor_as_a_stateful_callback_by_its_class_name(tmp_path: Path) -> None:
    assert issubclass(RunningAnchor, ExportableState)
    anchor = RunningAnchor(every=1, answers=2, max_new_tokens=2)
    trainer = pair_trainer(tmp_path, prepared_pairs(4), Objective.KTO_PAIR, anchor=anchor, settings={"max_steps": 1})
    trainer.train()
    assert "RunningAnchor" in trainer.state.stateful_callbacks, "transformers keeps stateful callbacks elsewhere"
