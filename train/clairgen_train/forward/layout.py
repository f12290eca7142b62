"""The layout of a packed batch: padded pairs as one flat sequence that holds the prefix both rows of a pair share once."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PairLayout:
    """Token counts of one pair: the prefix that both rows share, and the rest of each row."""

    shared_prefix: int
    chosen: int
    rejected: int

    @property
    def tokens(self) -> int:
        """Tokens that the pair has in the flat sequence."""
        return self.shared_prefix + self.chosen + self.rejected


@dataclass(frozen=True, slots=True)
class Packing:
    """A batch of B pairs, each laid out as shared prefix, chosen branch, rejected branch, without padding: N tokens.

    The prefix and the chosen branch are the whole chosen row; the prefix and the rejected branch are the rejected row.

    Attributes:
        pairs: the token counts of each pair.
        tokens: ids, [N] int64.
        positions: each token's position in its own row, [N] int64.
        scored: the flat indices of the M tokens that are scored, each once, [M] int64, ascending.
        previous: the flat indices of the tokens before them in their row, [M] int64.
        score_index: which of the M scores belongs to each label after the first, M where none does, [2B, T - 1] int64.

    """

    pairs: tuple[PairLayout, ...]
    tokens: Tensor
    positions: Tensor
    scored: Tensor
    previous: Tensor
    score_index: Tensor

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return max(pair.shared_prefix + max(pair.chosen, pair.rejected) for pair in self.pairs)


def packed(input_ids: Tensor, attention_mask: Tensor, labels: Tensor, *, share: bool) -> Packing | None:
    """The packing of a batch [chosen rows; rejected rows], or None if it is not such a batch.

    All three are [2B, T]. It is one if the number of rows is even, the rows are padded on the right and begin with a token, and
    every label is -100 or equals the token at its position. With `share` the longest common prefix of the two rows is shared, as
    long as each branch keeps a token; the prefix may extend into the answers.
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
    shared_prefix, chosen, rejected = sizes
    pairs = tuple(map(PairLayout, shared_prefix.tolist(), chosen.tolist(), rejected.tolist()))
    tokens_of_pairs = shared_prefix + chosen + rejected
    starts = tokens_of_pairs.cumsum(0) - tokens_of_pairs
    column = torch.arange(columns, device=input_ids.device).expand(rows // 2, -1)
    of_chosen = starts[:, None] + column
    of_rejected = of_chosen + torch.where(column < shared_prefix[:, None], 0, chosen[:, None])
    flat_index = torch.cat([of_chosen, of_rejected])  # of each token of the padded batch
    flat = flat_index[attended]
    total = sum(pair.tokens for pair in pairs)
    tokens = input_ids.new_empty(total).index_copy_(0, flat, input_ids[attended])
    positions = flat.new_empty(total).index_copy_(0, flat, column.repeat(2, 1)[attended])
    scored, previous, score_index = _scored_tokens(flat_index, labels, total)
    return Packing(pairs, tokens, positions, scored, previous, score_index)


def _sizes(input_ids: Tensor, attended: Tensor, labels: Tensor, *, share: bool) -> tuple[Tensor, Tensor, Tensor] | None:
    labeled = labels != -100
    sound = (
        (attended[:, 1:] <= attended[:, :-1]).all()
        & attended[:, 0].all()
        & (labeled <= attended).all()
        & ((labels == input_ids) | ~labeled).all()
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
    shared_prefix = torch.minimum(common, torch.minimum(of_chosen, of_rejected) - 1)
    return shared_prefix, of_chosen - shared_prefix, of_rejected - shared_prefix


def _scored_tokens(flat_index: Tensor, labels: Tensor, total: int) -> tuple[Tensor, Tensor, Tensor]:
    """`scored`, `previous` and `score_index` of a Packing, from the flat index of each token of the padded batch."""
    labeled = labels[:, 1:] != -100
    at = flat_index[:, 1:][labeled]
    marks = torch.zeros(total, dtype=torch.bool, device=flat_index.device)
    marks[at] = True
    before = flat_index.new_zeros(total)
    before[at] = flat_index[:, :-1][labeled]  # a shared token has the same predecessor in both rows
    scored = marks.nonzero().squeeze(1)
    numbers = marks.long().cumsum(0) - 1
    score_index = torch.full_like(flat_index[:, 1:], scored.numel())
    score_index[labeled] = numbers[at]
    return scored, before[scored], score_index
