"""Pairs as single labelled answers, arranged for KTO: its KL is estimated by giving each prompt another's answer.

KTOTrainer rotates the answers of a micro-batch by one. Pairs that are unpaired row by row would meet their own other answer
there, or stand as a block of desirable answers before a block of undesirable ones.
"""

import random
from collections.abc import Callable, Hashable, Iterator, Sequence

import torch
from datasets import Dataset, concatenate_datasets
from torch.utils.data import Sampler

from clairgen.errors import InputError


def labelled_answers(pairs: Dataset, *, block: int, seed: int, with_kl: bool) -> Dataset:
    """Two rows a prepared pair: `prompt_ids`, `completion_ids`, `label` (true for chosen), shuffled by `seed`.

    `with_kl` arranges them in blocks of `block` rows (a micro-batch) without two answers to one prompt, and adds
    `KL_completion_ids`. A pair's reference log-probs become `ref_logps` where no KL is asked for; with KL they have to be
    computed anew, together with those of the KL answers. Raises `InputError` for pairs with weights.
    """
    if "weight" in pairs.column_names and any(weight != 1 for weight in pairs.unique("weight")):
        raise InputError(
            "The pairs have weights, which training on single answers cannot use; use an objective for pairs, or take the "
            "column `weight` away."
        )
    numbers: dict[tuple[int, ...], int] = {}
    prompts = [numbers.setdefault(tuple(ids), len(numbers)) for ids in pairs["prompt_ids"]]
    rows = pairs.map(_unpaired, batched=True, remove_columns=pairs.column_names, desc="Unpairing")
    if "ref_logps" in rows.column_names and with_kl:
        rows = rows.remove_columns("ref_logps")
    of_row = [prompt for prompt in prompts for _ in range(2)]
    order = arrangement(of_row, block if with_kl else 1, seed)
    rows = rows.select(order)
    if not with_kl:
        return rows
    partners = kl_partners([of_row[row] for row in order], block)
    others = rows.select(partners).select_columns("completion_ids").rename_column("completion_ids", "KL_completion_ids")
    return concatenate_datasets([rows, others], axis=1)


def arrangement(prompts: Sequence[Hashable], block: int, seed: int) -> list[int]:
    """An order of rows by `seed` in which no block of `block` rows has a prompt twice, as far as the prompts allow that.

    A row whose prompt its block already has changes places with a row elsewhere, if that leaves neither block worse.
    """
    chance = random.Random(seed)  # noqa: S311 - shuffles data, guards nothing
    order = list(range(len(prompts)))
    chance.shuffle(order)
    for place in range(len(order)):
        if _clashes(prompts, order, place, block):
            others = list(range(len(order)))
            chance.shuffle(others)
            for other in others:
                order[place], order[other] = order[other], order[place]
                if not _clashes(prompts, order, place, block) and not _clashes(prompts, order, other, block):
                    break
                order[place], order[other] = order[other], order[place]
    return order


def kl_partners(prompts: Sequence[Hashable], block: int) -> list[int]:
    """For each row the row whose answer it takes for the KL: the one before it in its block, and the last for the first.

    A last block of one row would take its own answer, which makes the KL its own log-ratio: it takes that of the nearest row
    before with another prompt.
    """
    partners: list[int] = []
    for start in range(0, len(prompts), block):
        rows = range(start, min(start + block, len(prompts)))
        partners += [rows[-1], *rows[:-1]]
    last = len(prompts) - 1
    if last > 0 and partners[last] == last:
        partners[last] = next((row for row in range(last - 1, -1, -1) if prompts[row] != prompts[last]), last - 1)
    return partners


class BlockSampler(Sampler[int]):
    """Rows of `count` in blocks of `block` that stay whole, the blocks in another order each epoch; a short last one stays last.

    A row's KL answer and its reference log-prob are stored with the row, so a block keeps its rows over the epochs.
    """

    def __init__(self, count: int, block: int, seed: int, epoch: Callable[[], float]) -> None:
        """`epoch` tells how many epochs the run has behind it, as a fraction.

        Asked when an epoch begins, rather than told by `set_epoch`, which accelerate does not pass on to a sampler that it has
        sharded over ranks in a run resumed within an epoch.
        """
        self.count, self.block, self.seed, self.epoch = count, block, seed, epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        whole = self.count // self.block
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + int(self.epoch() + 1e-6))
        for number in torch.randperm(whole, generator=generator).tolist():
            yield from range(number * self.block, (number + 1) * self.block)
        yield from range(whole * self.block, self.count)


def _clashes(prompts: Sequence[Hashable], order: Sequence[int], place: int, block: int) -> bool:
    start = place - place % block
    return any(
        prompts[order[other]] == prompts[order[place]]
        for other in range(start, min(start + block, len(order)))
        if other != place
    )


def _unpaired(pairs: dict[str, list[object]]) -> dict[str, list[object]]:
    def both(chosen: Sequence[object], rejected: Sequence[object]) -> list[object]:
        return [each for pair in zip(chosen, rejected, strict=True) for each in pair]

    count = len(pairs["prompt_ids"])
    rows = {
        "prompt_ids": both(pairs["prompt_ids"], pairs["prompt_ids"]),
        "completion_ids": both(pairs["chosen_ids"], pairs["rejected_ids"]),
        "label": both([True] * count, [False] * count),
    }
    if "ref_chosen_logps" in pairs:
        rows["ref_logps"] = both(pairs["ref_chosen_logps"], pairs["ref_rejected_logps"])
    return rows
