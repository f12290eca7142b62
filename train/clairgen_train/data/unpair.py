"""Pairs as single labeled answers, ordered for KTO, which estimates its KL by giving each prompt the answer to another one.

KTOTrainer rotates the answers of a batch by one. If pairs were unpaired row by row, a prompt would get its own other
answer, or all desirable answers would come before all undesirable ones.
"""

import heapq
import random
from collections.abc import Callable, Hashable, Iterator, Sequence

import torch
from datasets import Dataset, concatenate_datasets
from torch.utils.data import Sampler

from clairgen.errors import InputError


def labeled_answers(pairs: Dataset, *, block: int, seed: int, with_kl: bool) -> Dataset:
    """Two rows per prepared pair: `prompt_ids`, `completion_ids`, `label` (true for chosen), shuffled by `seed`.

    `with_kl` orders them in blocks of `block` rows (the batch of an optimizer step), as far as possible without two answers to
    one prompt, and adds `KL_completion_ids`. A pair's reference log-probs become `ref_logps` without KL; with KL they have to be
    computed again, together with those of the KL answers. Raises `InputError` for pairs with weights.
    """
    if "weight" in pairs.column_names and any(weight != 1 for weight in pairs.unique("weight")):
        raise InputError(
            "The pairs have weights, which training on single answers cannot use; use an objective for pairs, or remove the "
            "column `weight`."
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
    """A random order of rows by `seed` in which no block of `block` rows has a prompt twice, as far as the prompts allow that.

    The rows of each prompt, the most frequent prompt first, go into the blocks with the most free slots (a random one of equals),
    which avoids repetition whenever that is possible.
    """
    chance = random.Random(seed)  # noqa: S311 - shuffles data, guards nothing
    sizes = [min(block, len(prompts) - start) for start in range(0, len(prompts), block)]
    blocks: list[list[int]] = [[] for _ in sizes]
    emptiest = [(-size, chance.random(), number) for number, size in enumerate(sizes)]  # a heap by free slots
    heapq.heapify(emptiest)
    for rows in _rows_by_prompt(prompts, chance):
        while rows:
            chosen = [heapq.heappop(emptiest) for _ in range(min(len(rows), len(emptiest)))]
            for free, _, number in chosen:
                blocks[number].append(rows.pop())
                if free < -1:
                    heapq.heappush(emptiest, (free + 1, chance.random(), number))
    for rows in blocks:
        chance.shuffle(rows)
    return [row for rows in blocks for row in rows]


def kl_partners(prompts: Sequence[Hashable], block: int) -> list[int]:
    """For each row the row whose answer it gets for the KL: the nearest before it in its block that has another prompt.

    The last row of the block comes before the first; where all rows have one prompt, it is the row before. A last block of one
    row would get its own answer, so that the KL were its own log-ratio: it gets the answer of the nearest earlier row with
    another prompt.
    """
    partners: list[int] = []
    for start in range(0, len(prompts), block):
        size = min(block, len(prompts) - start)
        for place in range(size):
            before = (start + (place - back) % size for back in range(1, size))
            others = (row for row in before if prompts[row] != prompts[start + place])
            partners.append(next(others, start + (place - 1) % size))
    last = len(prompts) - 1
    if last > 0 and partners[last] == last:
        partners[last] = next((row for row in range(last - 1, -1, -1) if prompts[row] != prompts[last]), last - 1)
    return partners


class BlockSampler(Sampler[int]):
    """Samples `count` rows in whole blocks of `block`, the blocks in a new order each epoch; a short last one stays last.

    A row's KL answer and its reference log-prob are stored with the row, so a block keeps its rows over the epochs.
    """

    def __init__(self, count: int, block: int, seed: int, epoch: Callable[[], float]) -> None:
        """`epoch` returns how many epochs the run has completed, as a fraction.

        It is called when an epoch begins: `set_epoch` is not an alternative, since accelerate does not call it on a sampler that
        it has sharded over ranks in a run resumed within an epoch.
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


def _rows_by_prompt(prompts: Sequence[Hashable], chance: random.Random) -> list[list[int]]:
    """The rows of each prompt, shuffled, the prompt with the most rows first and equals in random order."""
    found: dict[Hashable, list[int]] = {}
    for row, prompt in enumerate(prompts):
        found.setdefault(prompt, []).append(row)
    groups = list(found.values())
    chance.shuffle(groups)
    for rows in groups:
        chance.shuffle(rows)
    return sorted(groups, key=len, reverse=True)


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
