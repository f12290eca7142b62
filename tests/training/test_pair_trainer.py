"""PairTrainer over a real tiny model: batches of several objectives, weights, KTO-pair, references, and what it refuses."""

import math
from functools import partial
from pathlib import Path

import peft
import pytest
import torch
from datasets import Dataset, concatenate_datasets
from torch import Tensor
from transformers import MixtralConfig, MixtralForCausalLM, set_seed
from trl.trainer.dpo_trainer import DataCollatorForPreference

from clairgen.errors import ConfigError, InputError
from clairgen_train.kl_anchor import PaperEraAnchor, RunningAnchor
from clairgen_train.pair_trainer import PairTrainer
from clairgen_train.settings import Objective
from tests.training.agreement import agreements
from tests.training.tiny import END, PAD, VOCABULARY, pair_trainer, prepared_pairs, tiny_llama, trl_loss

ZERO, DOWN = Objective.APO_ZERO.value, Objective.APO_DOWN.value


def batch_of(trainer: PairTrainer, rows: Dataset) -> dict[str, Tensor]:
    trainer._set_signature_columns_if_needed()
    columns = [column for column in rows.column_names if column in trainer._signature_columns]
    batch: dict[str, Tensor] = trainer.data_collator(list(rows.select_columns(columns)))
    return batch


def loss_and_gradient(trainer: PairTrainer, rows: Dataset, *, by_trl: bool = False) -> tuple[Tensor, Tensor]:
    """The loss of one batch of all `rows`, and its gradient over all trained weights; `by_trl` by TRL's own loss."""
    trainer.model.train()
    compute = partial(trl_loss, trainer) if by_trl else trainer.compute_loss
    loss = compute(trainer.model, batch_of(trainer, rows))
    weights = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(loss, weights)
    return loss.detach(), torch.cat([gradient.flatten() for gradient in gradients])


def same(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], within: float = 1e-6) -> None:
    torch.testing.assert_close(one[0], other[0], rtol=0, atol=within)
    torch.testing.assert_close(one[1], other[1], rtol=0, atol=within)


def test_every_objective_equals_its_equation_to_a_trillionth_in_value_and_gradient(tmp_path: Path) -> None:
    found = list(agreements(tmp_path))
    assert {each.objective for each in found} == set(Objective)
    assert [each for each in found if each.value > 1e-12 or each.gradient > 1e-12] == []


def test_a_mixed_batch_is_the_mean_of_trls_losses_over_its_parts(tmp_path: Path) -> None:
    parts = (Objective.APO_ZERO, Objective.APO_DOWN, Objective.DPO, Objective.SFT, Objective.DPO_NORM)
    rows = prepared_pairs(20, objective=[each.value for each in parts] * 4)
    mixed = loss_and_gradient(pair_trainer(tmp_path, rows, Objective.APO_ZERO), rows)
    of_trl = []
    for objective in parts:
        part = rows.filter(lambda row, name=objective.value: row["objective"] == name)
        of_trl.append(loss_and_gradient(pair_trainer(tmp_path, part, objective), part, by_trl=True))
    losses, gradients = zip(*of_trl, strict=True)
    same(mixed, (torch.stack(losses).mean(), torch.stack(gradients).mean(dim=0)))


def test_a_weight_of_two_pulls_as_the_pair_given_twice(tmp_path: Path) -> None:
    rows = prepared_pairs(3)
    weighted = rows.add_column("weight", [2.0, 1.0, 0.0])
    once = loss_and_gradient(pair_trainer(tmp_path, weighted, Objective.APO_ZERO), weighted)
    twice = rows.select([0, 0, 1])
    same(once, loss_and_gradient(pair_trainer(tmp_path, twice, Objective.APO_ZERO), twice))


@pytest.mark.parametrize(
    ("objective", "alpha"), [(Objective.APO_ZERO, None), (Objective.DPO_NORM, None), (Objective.DPO, 0.3)]
)
def test_chosen_nll_adds_that_many_times_sft_s_loss_and_gradient(
    tmp_path: Path, objective: Objective, alpha: float | None
) -> None:
    rows, settings = prepared_pairs(5), {"ld_alpha": alpha}
    alone = loss_and_gradient(pair_trainer(tmp_path, rows, objective, settings=settings), rows)
    sft = loss_and_gradient(pair_trainer(tmp_path, rows, Objective.SFT), rows)
    both = loss_and_gradient(pair_trainer(tmp_path, rows, objective, chosen_nll=0.7, settings=settings), rows)
    same(both, (alone[0] + 0.7 * sft[0], alone[1] + 0.7 * sft[1]), within=2e-6)


@pytest.mark.parametrize("objective", [Objective.DPO, Objective.APO_ZERO, Objective.APO_DOWN])
def test_ld_alpha_gives_trls_own_loss_and_gradient(tmp_path: Path, objective: Objective) -> None:
    rows = prepared_pairs(8)
    ours, of_trl = (
        loss_and_gradient(pair_trainer(tmp_path, rows, objective, settings={"ld_alpha": 0.3}), rows, by_trl=by_trl)
        for by_trl in (False, True)
    )
    same(ours, of_trl)
    whole = loss_and_gradient(pair_trainer(tmp_path, rows, objective), rows)
    assert abs((whole[0] - ours[0]).item()) > 1e-3
    same(whole, loss_and_gradient(pair_trainer(tmp_path, rows, objective, settings={"ld_alpha": 1.0}), rows))


@pytest.mark.parametrize("objective", [Objective.DPO, Objective.DPO_NORM])
def test_a_margin_is_taken_off_the_difference_of_rewards(tmp_path: Path, objective: Objective) -> None:
    rows = prepared_pairs(4, ref_chosen_logps=[-20.0] * 4, ref_rejected_logps=[-30.0] * 4)
    settings = {"precompute_ref_log_probs": True}
    nats = [5 * len(ids) if objective is Objective.DPO_NORM else 5.0 for ids in rows["rejected_ids"]]
    lower = rows.remove_columns("ref_rejected_logps").add_column("ref_rejected_logps", [-30 - each for each in nats])
    # a reference that finds the rejected answers less likely by 5 nats (a token) lifts their rewards by beta times 5
    with_margin = rows.add_column("margin", [0.5] * 4)
    same(
        loss_and_gradient(pair_trainer(tmp_path, with_margin, objective, settings=settings), with_margin),
        loss_and_gradient(pair_trainer(tmp_path, lower, objective, settings=settings), lower),
    )


def test_rewards_are_logged_per_token_where_the_loss_has_them_so(tmp_path: Path) -> None:
    rows = prepared_pairs(4)
    trainer = pair_trainer(tmp_path, rows, Objective.DPO_NORM, settings={"max_steps": 1})
    batch = batch_of(trainer, rows)
    with torch.no_grad():
        policy = torch.cat(trainer.compute_ref_log_probs(trainer.model, batch))
        reference = torch.cat(trainer.compute_ref_log_probs(trainer.ref_model, batch))
    chosen, rejected = (0.1 * (policy - reference) / batch["completion_mask"].sum(dim=1)).chunk(2)
    trainer.train()
    log = trainer.state.log_history[0]
    assert log["rewards/chosen"] == pytest.approx(chosen.mean().item(), abs=1e-6)
    assert log["rewards/margins"] == pytest.approx((chosen - rejected).mean().item(), abs=1e-6)
    assert log["rewards/accuracies"] == (chosen > rejected).float().mean().item()


@pytest.mark.parametrize(
    "objective", [ZERO, DOWN, Objective.DPO.value, Objective.DPO_NORM.value, Objective.KTO_PAIR.value]
)
def test_two_equal_answers_are_trained_by_their_likelihood_alone(tmp_path: Path, objective: str) -> None:
    different = prepared_pairs(2)
    equal = prepared_pairs(3, seed=1).map(lambda row: {"rejected_ids": row["chosen_ids"]})
    rows = concatenate_datasets([different, equal])

    def found(data: Dataset, chosen: str, nll: float) -> tuple[Tensor, Tensor]:
        anchor = PaperEraAnchor() if chosen == Objective.KTO_PAIR else None
        trainer = pair_trainer(tmp_path, data, Objective(chosen), anchor=anchor, chosen_nll=nll)
        return loss_and_gradient(trainer, data)

    contrast, likelihood = found(different, objective, 0), found(rows, Objective.SFT, 0)
    wanted = tuple(2 / 5 * of + 0.7 * nats for of, nats in zip(contrast, likelihood, strict=True))
    same(found(rows, objective, 0.7), (wanted[0], wanted[1]), within=2e-6)


def test_chosen_nll_is_logged_as_nats_per_token_and_equal_answers_leave_the_margins_alone(tmp_path: Path) -> None:
    different = prepared_pairs(2)
    equal = prepared_pairs(5, seed=1).map(lambda row: {"rejected_ids": row["chosen_ids"]})
    rows = concatenate_datasets([different, equal])
    logs = []
    for data, size in ((rows, 7), (rows, 1), (different, 2)):
        settings = {
            "per_device_train_batch_size": size,
            "gradient_accumulation_steps": len(data) // size,
            "max_steps": 1,
        }
        trainer = pair_trainer(tmp_path, data, Objective.APO_ZERO, chosen_nll=1.0, settings=settings)
        trainer.train()
        logs.append(trainer.state.log_history[0])
    whole, split, without = logs
    scored = pair_trainer(tmp_path, rows, Objective.SFT)
    nats = loss_and_gradient(scored, rows)[0].item()
    assert whole["chosen_nll"] == pytest.approx(nats, abs=1e-5)
    assert split["chosen_nll"] == pytest.approx(nats, abs=1e-5)
    for log in (whole, split):
        assert log["rewards/margins"] == pytest.approx(without["rewards/margins"], abs=1e-5)
        assert log["rewards/accuracies"] == without["rewards/accuracies"]
    assert "chosen_nll" not in trained_log(tmp_path, rows)


def trained_log(folder: Path, rows: Dataset) -> dict[str, float]:
    trainer = pair_trainer(folder, rows, Objective.APO_ZERO, settings={"max_steps": 1})
    trainer.train()
    log: dict[str, float] = trainer.state.log_history[0]
    return log


@pytest.mark.parametrize(
    ("objective", "weight", "said"),
    [(Objective.SFT, 1.0, "sft, which trains on the likelihood"), (Objective.DPO, -1.0, "of at least 0")],
)
def test_a_likelihood_term_without_a_use_is_refused(
    tmp_path: Path, objective: Objective, weight: float, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        pair_trainer(tmp_path, prepared_pairs(4), objective, chosen_nll=weight)


def test_a_mixed_batch_logs_what_trl_logs_for_a_uniform_one(tmp_path: Path) -> None:
    rows = prepared_pairs(8)
    mixed = rows.add_column("objective", [ZERO, DOWN] * 4)
    logs = []
    for data in (rows, mixed):
        trainer = pair_trainer(tmp_path, data, Objective.APO_ZERO, settings={"max_steps": 1})
        trainer.train()
        logs.append(trainer.state.log_history[0])
    uniform, routed = logs
    assert uniform.keys() == routed.keys()
    assert {"rewards/margins", "logps/chosen", "logits/chosen", "entropy", "mean_token_accuracy"} <= routed.keys()
    changed = {name for name in uniform if uniform[name] != routed[name]}
    assert changed == {"loss", "grad_norm"}


def test_reference_log_probs_in_the_data_do_what_a_reference_model_does(tmp_path: Path) -> None:
    for objective in ([ZERO] * 6, [ZERO, DOWN] * 3):
        rows = prepared_pairs(6, objective=objective)
        live = pair_trainer(tmp_path, rows, Objective.APO_ZERO)
        with torch.no_grad():
            chosen, rejected = live.compute_ref_log_probs(
                live.ref_model, batch_of(live, rows.remove_columns("objective"))
            )
        kept = rows.add_column("ref_chosen_logps", chosen.tolist()).add_column("ref_rejected_logps", rejected.tolist())
        settings = {"precompute_ref_log_probs": True}
        stored = pair_trainer(tmp_path, kept, Objective.APO_ZERO, settings=settings, ref_model=None)
        assert stored.ref_model is None
        assert stored.train_dataset["ref_chosen_logps"][:] == chosen.tolist()
        same(loss_and_gradient(live, rows), loss_and_gradient(stored, kept), within=0)


def test_prepared_rows_reach_the_batch_untouched_by_trl(tmp_path: Path) -> None:
    rows = prepared_pairs(4, objective=[ZERO] * 4, weight=[1.0] * 4)
    trainer = pair_trainer(tmp_path, rows, Objective.APO_ZERO)
    assert trainer.train_dataset[:] == rows[:]
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["objective"].dtype == torch.int64
    assert batch["weight"].dtype == torch.float32
    assert sorted(batch["input_ids"][:, 0].tolist()) == sorted([row["prompt_ids"][0] for row in rows] * 2)


def test_kto_pair_is_trls_apo_zero_with_the_kl_added_to_the_reference_and_rewards_stay_unshifted(
    tmp_path: Path,
) -> None:
    kl, settings = 3.0, {"precompute_ref_log_probs": True, "max_steps": 1}
    anchor = RunningAnchor(every=1000)
    anchor.add(kl, 0)  # so that step 0 samples nothing
    rows = prepared_pairs(4, ref_chosen_logps=[-30.0] * 4, ref_rejected_logps=[-40.0] * 4)
    shifted = prepared_pairs(4, ref_chosen_logps=[-30.0 + kl] * 4, ref_rejected_logps=[-40.0 + kl] * 4)
    of_kto = pair_trainer(tmp_path, rows, Objective.KTO_PAIR, anchor=anchor, settings=settings)
    of_zero = pair_trainer(tmp_path, shifted, Objective.APO_ZERO, settings=settings)
    same(loss_and_gradient(of_kto, rows), loss_and_gradient(of_zero, shifted, by_trl=True))
    unshifted = pair_trainer(tmp_path, rows, Objective.APO_ZERO, settings=settings)
    of_kto.train()
    unshifted.train()
    first, second = of_kto.state.log_history[0], unshifted.state.log_history[0]
    assert first["rewards/chosen"] == pytest.approx(second["rewards/chosen"], abs=1e-6)
    assert first["kl_anchor"] == kl


def test_kto_pair_rows_in_a_run_of_another_objective_use_the_anchor(tmp_path: Path) -> None:
    rows = prepared_pairs(4, objective=[Objective.KTO_PAIR.value] * 2 + [ZERO] * 2)
    trainer = pair_trainer(tmp_path, rows, Objective.APO_ZERO, anchor=PaperEraAnchor())
    mixed = loss_and_gradient(trainer, rows)
    first, second = rows.select([0, 1]), rows.select([2, 3])
    of_kto = loss_and_gradient(pair_trainer(tmp_path, first, Objective.KTO_PAIR, anchor=PaperEraAnchor()), first)
    of_zero = loss_and_gradient(pair_trainer(tmp_path, second, Objective.APO_ZERO), second)
    same(mixed, ((of_kto[0] + of_zero[0]) / 2, (of_kto[1] + of_zero[1]) / 2))


def test_a_mixture_of_experts_keeps_its_balancing_loss(tmp_path: Path) -> None:
    rows = prepared_pairs(4, objective=[ZERO] * 4)
    losses = []
    for by_trl in (True, False):
        trainer = pair_trainer(tmp_path, rows, Objective.APO_ZERO, model=tiny_mixtral(), ref_model=tiny_mixtral())
        assert trainer.aux_loss_enabled
        losses.append(loss_and_gradient(trainer, rows, by_trl=by_trl))
        assert trainer._metrics["train"]["aux_loss"][0] > 0
    same(losses[0], losses[1])


def tiny_mixtral() -> MixtralForCausalLM:
    set_seed(5)
    shape = MixtralConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=4,
        max_position_embeddings=64,
        output_router_logits=True,
        router_aux_loss_coef=0.5,
        pad_token_id=PAD,
        eos_token_id=END,
    )
    return MixtralForCausalLM(shape)


def test_an_adapter_needs_no_second_model_and_starts_at_the_full_models_loss(tmp_path: Path) -> None:
    rows = prepared_pairs(4, objective=[ZERO, DOWN] * 2)
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    adapted = pair_trainer(tmp_path, rows, Objective.APO_ZERO, ref_model=None, peft_config=lora)
    assert adapted.ref_model is None
    full = pair_trainer(tmp_path, rows, Objective.APO_ZERO, ref_model=tiny_llama(0))
    assert loss_and_gradient(adapted, rows)[0].item() == pytest.approx(
        loss_and_gradient(full, rows)[0].item(), abs=1e-6
    )
    adapted.train()


def test_held_out_pairs_are_measured_under_their_own_objectives(tmp_path: Path) -> None:
    rows = prepared_pairs(4, objective=[ZERO, DOWN] * 2)
    trainer = pair_trainer(tmp_path, rows, Objective.APO_ZERO, eval_dataset=rows)
    wanted = loss_and_gradient(trainer, rows)[0].item()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(wanted, abs=1e-6)


def test_sft_is_evaluated_without_a_reference(tmp_path: Path) -> None:
    rows = prepared_pairs(4)
    trainer = pair_trainer(tmp_path, rows, Objective.SFT, eval_dataset=rows)
    with_reference = pair_trainer(tmp_path, rows, Objective.SFT)
    kept = rows.add_column("ref_chosen_logps", [-9.0] * 4).add_column("ref_rejected_logps", [-9.0] * 4)
    wanted = loss_and_gradient(with_reference, kept)[0].item()
    found = trainer.evaluate()
    assert found["eval_loss"] == pytest.approx(wanted, abs=1e-6)
    assert "eval_rewards/margins" not in found


def test_our_loss_returns_trls_outputs_where_they_are_requested(tmp_path: Path) -> None:
    rows = prepared_pairs(4, objective=[ZERO, DOWN] * 2)
    trainer = pair_trainer(tmp_path, rows, Objective.APO_ZERO)
    batch = batch_of(trainer, rows)
    with torch.no_grad(), pytest.warns(FutureWarning, match="return_outputs"):
        loss, outputs = trainer.compute_loss(trainer.model, batch, return_outputs=True)
    assert loss.item() == trainer.compute_loss(trainer.model, batch).item()
    assert outputs.logits.shape[:2] == batch["input_ids"].shape


def test_trls_own_collator_is_replaced_since_it_drops_objectives_and_weights(tmp_path: Path) -> None:
    rows = prepared_pairs(4, objective=[ZERO, DOWN] * 2, weight=[1.0, 0.5] * 2)
    trainer = pair_trainer(tmp_path, rows, Objective.APO_ZERO, data_collator=None)
    assert {"objective", "weight"} <= batch_of(trainer, rows).keys()


def test_rows_are_truncated_as_trls_own_collator_truncates_them(tmp_path: Path) -> None:
    rows = prepared_pairs(4)
    trainer = pair_trainer(tmp_path, rows, Objective.APO_ZERO, data_collator=None, settings={"max_length": 6})
    of_trl = DataCollatorForPreference(pad_token_id=PAD, max_length=6)(list(rows))
    batch = batch_of(trainer, rows)
    assert batch["input_ids"].size(1) == 6
    assert all(torch.equal(batch[name], of_trl[name]) for name in of_trl)


@pytest.mark.parametrize("name", [Objective.KTO.value, "ipo"])
def test_a_pair_with_an_objective_that_is_not_for_pairs_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"holds {name}, which is not an objective for pairs; use one of apo-zero"):
        pair_trainer(tmp_path, prepared_pairs(2, objective=[ZERO, name]), Objective.APO_ZERO)


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_a_negative_or_non_finite_weight_is_refused(tmp_path: Path, weight: float) -> None:
    with pytest.raises(InputError, match="a pair's weight must be a finite number of at least 0"):
        pair_trainer(tmp_path, prepared_pairs(2, weight=[1.0, weight]), Objective.APO_ZERO)


def test_kto_pair_without_an_anchor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kto-pair needs an anchor"):
        pair_trainer(tmp_path, prepared_pairs(2), Objective.KTO_PAIR)
    rows = prepared_pairs(2, objective=[ZERO, Objective.KTO_PAIR.value])
    with pytest.raises(ConfigError, match="kto-pair needs an anchor"):
        pair_trainer(tmp_path, rows, Objective.APO_ZERO)


def test_an_objective_for_single_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kto trains on single answers"):
        pair_trainer(tmp_path, prepared_pairs(2), Objective.KTO)


def test_options_that_would_change_trls_losses_alone_are_refused(tmp_path: Path) -> None:
    for settings in ({"loss_type": ["ipo"]}, {"label_smoothing": 0.1}, {"use_weighting": True}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            pair_trainer(tmp_path, prepared_pairs(2), Objective.APO_ZERO, settings=settings)


@pytest.mark.parametrize(
    ("objective", "alpha", "said"),
    [
        (Objective.DPO_NORM, 0.5, "dpo-norm, which corrects for length already"),
        (Objective.KTO_PAIR, 0.5, "kto-pair, whose KL is of whole answers"),
        (Objective.SFT, 0.5, "sft, which has no rewards"),
        (Objective.DPO, 1.5, "it must be a number from 0 to 1"),
    ],
)
def test_ld_alpha_is_refused_where_it_has_no_meaning(
    tmp_path: Path, objective: Objective, alpha: float, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        pair_trainer(tmp_path, prepared_pairs(2), objective, anchor=PaperEraAnchor(), settings={"ld_alpha": alpha})


@pytest.mark.parametrize("margin", [-1.0, math.nan, math.inf])
def test_a_negative_or_non_finite_margin_is_refused(tmp_path: Path, margin: float) -> None:
    with pytest.raises(InputError, match="a pair's margin must be a finite number of at least 0, in units of rewards"):
        pair_trainer(tmp_path, prepared_pairs(2, margin=[1.0, margin]), Objective.DPO)


def test_a_margin_under_an_objective_without_one_is_refused(tmp_path: Path) -> None:
    rows = prepared_pairs(2, objective=[Objective.DPO.value, ZERO], margin=[1.0, 0.5])
    with pytest.raises(InputError, match="`margin` has no use with apo-zero; use dpo or dpo-norm"):
        pair_trainer(tmp_path, rows, Objective.DPO)
    without = prepared_pairs(2, objective=[Objective.DPO.value, ZERO], margin=[1.0, 0.0])
    pair_trainer(tmp_path, without, Objective.DPO)
