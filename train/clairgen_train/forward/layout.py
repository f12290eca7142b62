"""The plan of packing: a padded batch of pairs as one flat sequence in which what two answers share stands once."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Branches:
    """How many tokens one pair has: what both rows begin with, and what is left of either row."""

    trunk: int
    chosen: int
    rejected: int

    @property
    def tokens(self) -> int:
        """Tokens that the pair has in the flat sequence."""
        return self.trunk + self.chosen + self.rejected


@dataclass(frozen=True, slots=True)
class Packing:
    """A batch of B pairs laid out as trunk, chosen branch, rejected branch, pair after pair, without padding: N tokens.

    A trunk and its chosen branch are the whole chosen row; the rejected row is the trunk and the rejected branch.

    Attributes:
        pairs: the sizes, one a pair.
        tokens: ids, [N] int64.
        positions: each token's place in its own row, [N] int64.
        scored: the flat places of the M tokens that are scored, each once, [M] int64, rising.
        previous: the flat places of the tokens that stand before them in their row, [M] int64.
        places: which of the M scores belongs to each label after the first, M where none does, [2B, T - 1] int64.

    """

    pairs: tuple[Branches, ...]
    tokens: Tensor
    positions: Tensor
    scored: Tensor
    previous: Tensor
    places: Tensor

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return max(pair.trunk + max(pair.chosen, pair.rejected) for pair in self.pairs)


def packed(input_ids: Tensor, attention_mask: Tensor, labels: Tensor, *, share: bool) -> Packing | None:
    """The packing of a batch [chosen rows; rejected rows], or None if it is no such batch.

    All three are [2B, T]. It is one if the rows are even, padded on the right, begin with a token, and every label is -100 or the
    token that stands there. With `share` the longest common prefix of the two rows becomes their trunk, so far as a
    token is left in either branch; a trunk may reach into the answers.
    """
    if input_ids.dim() != 2 or input_ids.shape != attention_mask.shape or input_ids.shape != labels.shape:
        return None
    rows, columns = input_ids.shape
    if rows < 2 or rows % 2 or columns < 2:
        return None
    attended = attention_mask != 0
    sizes = _sizes(input_ids, attended, labels, share=share)
    if sizes is None:
        return None
    trunk, chosen, rejected = sizes
    pairs = tuple(map(Branches, trunk.tolist(), chosen.tolist(), rejected.tolist()))
    tokens_of_pairs = trunk + chosen + rejected
    starts = tokens_of_pairs.cumsum(0) - tokens_of_pairs
    columns_ = torch.arange(columns, device=input_ids.device).expand(rows // 2, -1)
    of_chosen = starts[:, None] + columns_
    of_rejected = of_chosen + torch.where(columns_ < trunk[:, None], 0, chosen[:, None])
    places = torch.cat([of_chosen, of_rejected])  # the flat place of each token of the padded batch
    flat = places[attended]
    total = sum(pair.tokens for pair in pairs)
    tokens = input_ids.new_empty(total).index_copy_(0, flat, input_ids[attended])
    positions = flat.new_empty(total).index_copy_(0, flat, columns_.repeat(2, 1)[attended])
    scored, previous, slots = _scores(places, labels, total)
    return Packing(pairs, tokens, positions, scored, previous, slots)


def _sizes(input_ids: Tensor, attended: Tensor, labels: Tensor, *, share: bool) -> tuple[Tensor, Tensor, Tensor] | None:
    labelled = labels != -100
    sound = (
        (attended[:, 1:] <= attended[:, :-1]).all()
        & attended[:, 0].all()
        & (labelled <= attended).all()
        & ((labels == input_ids) | ~labelled).all()
    )
    if not sound:
        return None
    lengths = attended.sum(1)
    of_chosen, of_rejected = lengths.chunk(2)
    if not share:
        nothing = torch.zeros_like(of_chosen)
        return nothing, of_chosen, of_rejected
    first, second = input_ids.chunk(2)
    common = (first == second).long().cumprod(1).sum(1)
    trunk = torch.minimum(common, torch.minimum(of_chosen, of_rejected) - 1)
    return trunk, of_chosen - trunk, of_rejected - trunk


def _scores(places: Tensor, labels: Tensor, total: int) -> tuple[Tensor, Tensor, Tensor]:
    """`scored`, `previous` and `places` of a Packing, from the flat place of each token of the padded batch."""
    labelled = labels[:, 1:] != -100
    at = places[:, 1:][labelled]
    marks = torch.zeros(total, dtype=torch.bool, device=places.device)
    marks[at] = True
    before = places.new_zeros(total)
    before[at] = places[:, :-1][labelled]  # what a trunk's token follows is the same in both rows
    scored = marks.nonzero().squeeze(1)
    numbers = marks.long().cumsum(0) - 1
    slots = torch.full_like(places[:, 1:], scored.numel())
    slots[labelled] = numbers[at]
    return scored, before[scored], slots
