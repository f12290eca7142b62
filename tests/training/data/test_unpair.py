"""How pairs become labeled answers, which answers KTO's KL uses, and the order of the micro-batches."""

import time

import pytest
from datasets import Dataset

from clairgen_train.data.unpair import BlockSampler, arrangement, kl_partners, labeled_answers
from tests.training.tiny import prepared_pairs

BLOCK = 4


def blocks(rows: Dataset, block: int = BLOCK) -> list[Dataset]:
    return [rows.select(range(start, min(start + block, len(rows)))) for start in range(0, len(rows), block)]


def answers(rows: Dataset, column: str = "completion_ids") -> list[tuple[int, ...]]:
    return [tuple(ids) for ids in rows[column]]


def test_every_answer_of_every_pair_comes_once_under_its_label() -> None:
    pairs = prepared_pairs(9)
    rows = labeled_answers(pairs, block=BLOCK, seed=0, with_kl=False)
    found = {(tuple(row["prompt_ids"]), tuple(row["completion_ids"]), row["label"]) for row in rows}
    wanted = {(tuple(pair["prompt_ids"]), tuple(pair["chosen_ids"]), True) for pair in pairs}
    wanted |= {(tuple(pair["prompt_ids"]), tuple(pair["rejected_ids"]), False) for pair in pairs}
    assert found == wanted
    assert len(rows) == 18
    assert sum(rows["label"][:9]) not in (0, 9)  # mixed, not one label after the other


@pytest.mark.parametrize("seed", range(5))
def test_no_micro_batch_holds_a_prompt_twice_even_where_that_is_tight(seed: int) -> None:
    pairs = prepared_pairs(BLOCK)  # 2 blocks of 4 rows out of 4 prompts: each must have each prompt once
    for block in blocks(labeled_answers(pairs, block=BLOCK, seed=seed, with_kl=True)):
        assert len({tuple(ids) for ids in block["prompt_ids"]}) == BLOCK


def test_pairs_that_share_a_prompt_are_kept_apart_too() -> None:
    order = arrangement(["a"] * 6 + [f"b{i}" for i in range(18)], BLOCK, seed=1)
    assert sorted(order) == list(range(24))
    assert all(sum(row < 6 for row in order[start : start + BLOCK]) == 1 for start in range(0, 24, BLOCK))


def test_prompts_that_cannot_be_kept_apart_are_still_ordered() -> None:
    assert sorted(arrangement(["a"] * 5, BLOCK, seed=0)) == list(range(5))


def test_many_answers_to_one_prompt_are_spread_evenly_in_linear_time() -> None:
    started = time.process_time()
    order = arrangement([*["a"] * 4000, *(f"b{i}" for i in range(4000))], BLOCK, seed=0)
    assert time.process_time() - started < 2  # comparing every row with every other took minutes
    assert sorted(order) == list(range(8000))
    assert {sum(row < 4000 for row in order[start : start + BLOCK]) for start in range(0, 8000, BLOCK)} == {2}


@pytest.mark.parametrize("count", [9, 10, 11, 17])
def test_a_short_last_block_repeats_no_prompt_either(count: int) -> None:
    prompts = [number // 2 for number in range(count)]
    order = arrangement(prompts, BLOCK, seed=count)
    for start in range(0, count, BLOCK):
        block = [prompts[row] for row in order[start : start + BLOCK]]
        assert len(set(block)) == len(block)


def test_another_seed_gives_another_order_and_the_same_one_the_same() -> None:
    pairs = prepared_pairs(16)
    first, again, other = (labeled_answers(pairs, block=4, seed=seed, with_kl=True) for seed in (1, 1, 2))
    assert answers(first) == answers(again) != answers(other)


def test_kl_answers_are_those_of_the_micro_batch_rotated_by_one_as_in_trl() -> None:
    for block in blocks(labeled_answers(prepared_pairs(8), block=BLOCK, seed=0, with_kl=True)):
        given = answers(block)
        assert answers(block, "KL_completion_ids") == [given[-1], *given[:-1]]


def test_a_single_last_row_gets_another_prompts_answer_and_not_its_own() -> None:
    assert kl_partners(["a", "b", "c", "d", "a"], 2) == [1, 0, 3, 2, 3]
    assert kl_partners(["a", "b", "c", "a", "a"], 2) == [1, 0, 3, 2, 2]


def test_no_prompt_gets_its_own_other_answer_where_a_block_has_both() -> None:
    assert kl_partners(["a", "a", "b", "b"], 4) == [3, 3, 1, 1]
    assert kl_partners(["a", "a"], 4) == [1, 0]


def test_blocks_stay_whole_in_a_new_order_each_epoch_with_the_short_one_last() -> None:
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
