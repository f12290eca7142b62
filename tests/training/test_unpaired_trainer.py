"""UnpairedTrainer: how pairs become labelled answers, what KTO's KL is made of, and runs over a real tiny model."""

from pathlib import Path

import pytest
import torch
from clairgen_train.objectives import Objective, apo_zero_unpaired, kto
from clairgen_train.unpaired_trainer import UnpairedTrainer
from clairgen_train.unpairing import BlockSampler, arrangement, kl_partners, labelled_answers
from datasets import Dataset
from torch import Tensor
from transformers import LlamaForCausalLM

from clairgen.errors import ConfigError, InputError
from tests.training.tiny import prepared_pairs, tiny_llama, unpaired_trainer

BLOCK = 4


def blocks(rows: Dataset, block: int = BLOCK) -> list[Dataset]:
    return [rows.select(range(start, min(start + block, len(rows)))) for start in range(0, len(rows), block)]


def answers(rows: Dataset, column: str = "completion_ids") -> list[tuple[int, ...]]:
    return [tuple(ids) for ids in rows[column]]


def test_every_answer_of_every_pair_comes_once_under_its_label() -> None:
    pairs = prepared_pairs(9)
    rows = labelled_answers(pairs, block=BLOCK, seed=0, with_kl=False)
    found = {(tuple(row["prompt_ids"]), tuple(row["completion_ids"]), row["label"]) for row in rows}
    wanted = {(tuple(pair["prompt_ids"]), tuple(pair["chosen_ids"]), True) for pair in pairs}
    wanted |= {(tuple(pair["prompt_ids"]), tuple(pair["rejected_ids"]), False) for pair in pairs}
    assert found == wanted
    assert len(rows) == 18
    assert sum(rows["label"][:9]) not in (0, 9)  # mixed, not one label after the other


@pytest.mark.parametrize("seed", range(5))
def test_no_micro_batch_holds_a_prompt_twice_even_where_that_is_tight(seed: int) -> None:
    pairs = prepared_pairs(BLOCK)  # 2 blocks of 4 rows out of 4 prompts: each must have each prompt once
    for block in blocks(labelled_answers(pairs, block=BLOCK, seed=seed, with_kl=True)):
        assert len({tuple(ids) for ids in block["prompt_ids"]}) == BLOCK


def test_pairs_that_share_a_prompt_are_kept_apart_too() -> None:
    order = arrangement(["a"] * 6 + [f"b{i}" for i in range(18)], BLOCK, seed=1)
    assert sorted(order) == list(range(24))
    assert all(sum(row < 6 for row in order[start : start + BLOCK]) == 1 for start in range(0, 24, BLOCK))


def test_what_cannot_be_kept_apart_is_still_arranged() -> None:
    assert sorted(arrangement(["a"] * 5, BLOCK, seed=0)) == list(range(5))


def test_another_seed_gives_another_order_and_the_same_one_the_same() -> None:
    pairs = prepared_pairs(16)
    first, again, other = (labelled_answers(pairs, block=4, seed=seed, with_kl=True) for seed in (1, 1, 2))
    assert answers(first) == answers(again) != answers(other)


def test_kl_answers_are_those_of_the_micro_batch_rotated_by_one_as_in_trl() -> None:
    for block in blocks(labelled_answers(prepared_pairs(8), block=BLOCK, seed=0, with_kl=True)):
        given = answers(block)
        assert answers(block, "KL_completion_ids") == [given[-1], *given[:-1]]


def test_a_last_row_by_itself_takes_another_prompts_answer_and_not_its_own() -> None:
    assert kl_partners(["a", "b", "c", "d", "a"], 2) == [1, 0, 3, 2, 3]
    assert kl_partners(["a", "b", "c", "a", "a"], 2) == [1, 0, 3, 2, 2]


def test_blocks_stay_whole_and_come_in_another_order_each_epoch_with_the_short_one_last() -> None:
    epoch = 0.0
    sampler = BlockSampler(18, BLOCK, seed=0, epoch=lambda: epoch)
    orders = []
    for epoch in (0.0, 0.4, 1.0, 2.0):  # noqa: B007 - the sampler asks for it
        order = list(sampler)
        assert len(order) == len(sampler)
        starts = order[:16:BLOCK]
        assert order == [row for start in starts for row in range(start, start + BLOCK)] + [16, 17]
        orders.append(order)
    assert orders[0] == orders[1]  # asked in the middle of an epoch: a resumed run
    assert orders[0] != orders[2] != orders[3]


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
            assert rows["ref_logps"][:] == [of_answer[ids] for ids in answers(rows)]
        trainer.train()


def test_held_out_pairs_are_taken_apart_as_well(tmp_path: Path) -> None:
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
