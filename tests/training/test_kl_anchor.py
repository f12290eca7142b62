"""KTO-pair's anchors: close to the true KL where it can be enumerated, without effect on the rest of a run, kept by a resume."""

import itertools
import json
import math
from pathlib import Path

import peft
import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from clairgen_train.kl_anchor import PaperEraAnchor, RunningAnchor
from clairgen_train.losses import PairScores, pair_losses
from clairgen_train.settings import Objective
from tests.training.on_ranks import train
from tests.training.ranks import on_ranks
from tests.training.tiny import END, PAD, VOCABULARY, pair_trainer, prepared_pairs, tiny_llama

PROMPT = [7, 8, 9]
LENGTH = 2  # maximum tokens of an answer, few enough to enumerate all answers


def every_answer() -> list[list[int]]:
    """All possible answers: the end token at once, or any other token and then any token."""
    firsts = [token for token in range(VOCABULARY) if token != END]
    return [[END], *map(list, itertools.product(firsts, range(VOCABULARY)))]


def answer_logps(model: LlamaForCausalLM, answers: list[list[int]]) -> Tensor:
    with torch.no_grad():
        padded = torch.tensor([PROMPT + answer + [PAD] * (LENGTH - len(answer)) for answer in answers])
        steps = model(padded).logits.double().log_softmax(-1)[:, len(PROMPT) - 1 : -1]
        tokens = padded[:, len(PROMPT) :]
        mask = torch.tensor([[position < len(answer) for position in range(LENGTH)] for answer in answers])
        sums: Tensor = (steps.gather(-1, tokens[..., None])[..., 0] * mask).sum(dim=1)
        return sums


def true_kl(policy: LlamaForCausalLM, reference: LlamaForCausalLM) -> tuple[float, float]:
    """KL of the answers to PROMPT (nats a response) by enumerating them, and the log-ratio's standard deviation."""
    logps = answer_logps(policy, every_answer())
    ratios = logps - answer_logps(reference, every_answer())
    assert logps.exp().sum().item() == pytest.approx(1, abs=1e-5)
    mean = (logps.exp() * ratios).sum()
    return mean.item(), (logps.exp() * (ratios - mean) ** 2).sum().sqrt().item()


def test_the_running_anchor_is_near_the_true_kl_and_the_paper_eras_is_not(tmp_path: Path) -> None:
    rows = prepared_pairs(64).remove_columns("prompt_ids").add_column("prompt_ids", [PROMPT] * 64)
    anchor = RunningAnchor(every=1, answers=128, max_new_tokens=LENGTH, keep=0.0)
    policy, reference = tiny_llama(0), tiny_llama(1)
    truth, spread = true_kl(policy, reference)
    trainer = pair_trainer(tmp_path, rows, Objective.KTO_PAIR, anchor=anchor, model=policy, ref_model=reference)
    batch = trainer.data_collator(list(rows))
    estimates = []
    for step in range(16):
        trainer.state.global_step = step
        trainer._refresh(anchor)
        estimates.append(anchor.mean_nats)
    error = spread / math.sqrt(16 * 2 * 64)
    assert abs(sum(estimates) / 16 - truth) < 3 * error < 0.2 * truth
    with torch.no_grad():
        chosen, rejected = trainer.compute_ref_log_probs(trainer.model, batch)
        ref_chosen, ref_rejected = trainer.compute_ref_log_probs(trainer.ref_model, batch)
    scores = PairScores(chosen, rejected, ref_chosen, ref_rejected, torch.ones(64), torch.ones(64))
    of_era = PaperEraAnchor().kl(scores, torch.ones(64).bool())
    assert min(abs(one.item() - truth) for one in of_era) > 10 * error


def test_the_paper_eras_anchor_takes_each_halfs_mean_for_the_other_and_never_goes_below_zero() -> None:
    scores = PairScores(
        torch.tensor([-1.0, -2.0, 90.0]),
        torch.tensor([-9.0, -8.0, 90.0]),
        torch.tensor([-3.0, -6.0, 0.0]),
        torch.tensor([-2.0, -1.0, 0.0]),
        torch.ones(3),
        torch.ones(3),
    )
    of_chosen, of_rejected = PaperEraAnchor().kl(scores, torch.tensor([True, True, False]))
    assert of_chosen.item() == 0  # the rejected fell by 7 each
    assert of_rejected.item() == 3  # the chosen rose by 2 and by 4; the third pair is no KTO-pair's


def test_kto_pair_with_the_paper_eras_anchor_is_twice_the_old_loss_in_value_and_in_gradient_through_the_anchor() -> (
    None
):
    generator = torch.Generator().manual_seed(2)
    policy = (-9 * torch.rand(2, 8, generator=generator, dtype=torch.float64)).requires_grad_()
    reference = -9 * torch.rand(2, 8, generator=generator, dtype=torch.float64)
    scores = PairScores(policy[0], policy[1], reference[0], reference[1], torch.ones(8), torch.ones(8))
    objective = torch.full((8,), Objective.KTO_PAIR.code)
    kl = PaperEraAnchor().kl(scores, torch.ones(8).bool())
    loss = pair_losses(scores, objective, torch.ones(8), beta=0.1, kl=kl).mean()
    won, lost = (policy - reference).unbind()
    terms = (0.1 * (won - lost.mean().clamp(min=0)), 0.1 * (won.mean().clamp(min=0) - lost))
    old = torch.cat([1 - term.sigmoid() for term in terms]).mean()
    torch.testing.assert_close(loss, 2 * old, rtol=0, atol=1e-15)
    found, wanted = torch.autograd.grad(loss, policy)[0], torch.autograd.grad(2 * old, policy)[0]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-15)


def test_the_running_mean_is_clamped_where_it_is_read_and_not_before() -> None:
    anchor = RunningAnchor(keep=0.5)
    scores = PairScores(*torch.zeros(6, 1))
    anchor.add(-4.0, 16)
    assert anchor.kl(scores, scores.chosen_logps.bool())[0].item() == 0
    anchor.add(8.0, 32)
    assert anchor.kl(scores, scores.chosen_logps.bool())[0].item() == pytest.approx((0.5 * -4 + 8) / 1.5)
    assert not anchor.is_due(32)
    assert not anchor.is_due(33)
    assert anchor.is_due(48)
    assert not anchor.is_due(0)  # where it is 0


def test_the_running_mean_weighs_the_first_estimate_fully_and_follows_a_growing_kl() -> None:
    anchor = RunningAnchor(keep=0.5)
    anchor.add(14.9, 16)
    assert anchor.mean_nats == pytest.approx(14.9)
    for step, fresh in ((32, 22.0), (48, 29.0), (64, 36.4)):
        anchor.add(fresh, step)
        assert 0.75 * fresh < anchor.mean_nats < fresh
    weights = (0.125, 0.25, 0.5, 1)
    mean = sum(weight * value for weight, value in zip(weights, (14.9, 22.0, 29.0, 36.4), strict=True)) / sum(weights)
    assert anchor.mean_nats == pytest.approx(mean)


def test_the_running_anchor_follows_fresh_estimates_of_a_run(tmp_path: Path) -> None:
    rows = prepared_pairs(32)
    anchor = RunningAnchor(every=4, answers=64, max_new_tokens=8)
    fresh: list[float] = []
    found: list[float] = []

    class Estimates(TrainerCallback):
        def on_step_begin(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
        ) -> None:
            if state.global_step and state.global_step % 4 == 0:
                other = RunningAnchor(every=4, answers=256, max_new_tokens=8, seed=9)
                trainer._refresh(other)
                fresh.append(other.mean_nats)

        def on_step_end(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
        ) -> None:
            if state.global_step > 4 and state.global_step % 4 == 1:
                found.append(anchor.mean_nats)

    settings = {"max_steps": 14, "learning_rate": 0.02}
    trainer = pair_trainer(
        tmp_path, rows, Objective.KTO_PAIR, anchor=anchor, ref_model=tiny_llama(0), settings=settings
    )
    trainer.add_callback(Estimates())
    trainer.train()
    assert len(fresh) == len(found) == 3
    assert fresh[-1] > 1  # the policy has moved
    for one, other in zip(found, fresh, strict=True):
        assert one == pytest.approx(other, rel=0.5)


def test_prompts_for_the_anchor_are_those_of_kto_pairs_rows_and_vary(tmp_path: Path) -> None:
    names = [Objective.KTO_PAIR.value, Objective.APO_ZERO.value] * 8
    rows = prepared_pairs(16, objective=names)
    trainer = pair_trainer(tmp_path, rows, Objective.APO_ZERO, anchor=RunningAnchor())
    own = [ids for ids, name in zip(rows["prompt_ids"], names, strict=True) if name == Objective.KTO_PAIR]
    first, again, other = (trainer._random_prompts(8, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert all(prompt in own for prompt in first + other)


def weights(model: LlamaForCausalLM) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_a_resumed_run_has_the_anchor_and_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    rows = prepared_pairs(16)
    settings = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "save_total_limit": None}

    def made() -> tuple[RunningAnchor, LlamaForCausalLM]:
        return RunningAnchor(every=2, answers=4, max_new_tokens=6, keep=0.9), tiny_llama(0)

    anchor, model = made()
    trainer = pair_trainer(tmp_path, rows, Objective.KTO_PAIR, anchor=anchor, model=model, settings=settings)
    trainer.train()
    for restore in (False, True):  # transformers' own restoring puts another callback in the place of ours
        again, resumed = made()
        trainer = pair_trainer(
            tmp_path,
            rows,
            Objective.KTO_PAIR,
            anchor=again,
            model=resumed,
            settings=settings | {"restore_callback_states_from_checkpoint": restore},
        )
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
        found = trainer._running_anchor()
        assert found is not None
        assert (found.mean_nats, found.refreshed_at, found.sampling) == (
            anchor.mean_nats,
            anchor.refreshed_at,
            anchor.sampling,
        )
        assert torch.equal(weights(resumed), weights(model))
    assert anchor.refreshed_at == 4
    assert anchor.mean_nats != 0


def test_sampling_for_the_anchor_leaves_the_rest_of_the_run_as_it_was(tmp_path: Path) -> None:
    rows, trained = prepared_pairs(16), []
    for anchor in (None, RunningAnchor(every=1, answers=4, max_new_tokens=4)):
        model = tiny_llama(0, attention_dropout=0.3)  # so that the run itself draws random numbers
        settings = {"max_steps": 4, "disable_dropout": False}
        pair_trainer(tmp_path, rows, Objective.APO_ZERO, anchor=anchor, model=model, settings=settings).train()
        trained.append(weights(model))
    assert torch.equal(trained[0], trained[1])
    model = tiny_llama(0)
    pair_trainer(tmp_path, rows, Objective.APO_ZERO, model=model, settings={"max_steps": 4}).train()
    assert not torch.equal(trained[0], weights(model))  # the dropout had an effect


def test_without_an_adapter_the_start_is_kept_as_reference_even_where_log_probs_are_precomputed(tmp_path: Path) -> None:
    rows = prepared_pairs(8, ref_chosen_logps=[-20.0] * 8, ref_rejected_logps=[-20.0] * 8)
    start, model = weights(tiny_llama(0)), tiny_llama(0)
    anchor = RunningAnchor(every=1, answers=4, max_new_tokens=4)
    trainer = pair_trainer(
        tmp_path,
        rows,
        Objective.KTO_PAIR,
        anchor=anchor,
        model=model,
        ref_model=None,
        settings={"precompute_ref_log_probs": True, "max_steps": 1},
    )
    trainer._refresh(anchor)
    assert anchor.mean_nats == 0  # before the first step the policy is its reference
    trainer.train()
    assert torch.equal(weights(trainer.ref_model), start)
    assert not torch.equal(weights(model), start)


def test_with_an_adapter_the_model_without_it_is_the_reference(tmp_path: Path) -> None:
    anchor = RunningAnchor(every=1, answers=4, max_new_tokens=4, keep=0.0)
    lora = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj", "o_proj"])
    settings = {"max_steps": 1, "learning_rate": 0.1}
    trainer = pair_trainer(
        tmp_path,
        prepared_pairs(4),
        Objective.KTO_PAIR,
        anchor=anchor,
        ref_model=None,
        peft_config=lora,
        settings=settings,
    )
    trainer._refresh(anchor)
    assert trainer.ref_model is None
    assert anchor.mean_nats == 0
    trainer.train()
    trainer._refresh(anchor)
    assert anchor.mean_nats != 0


def test_every_rank_has_the_same_anchor_though_their_batches_differ_in_objective(tmp_path: Path) -> None:
    on_ranks(train, tmp_path)
    one, other = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    assert one["anchor"] == other["anchor"] != 0
    assert one["weights"] == other["weights"]
    assert one["objectives"] != other["objectives"]
