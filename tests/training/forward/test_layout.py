"""The packing against a naive implementation over random batches."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clairgen_train.forward.layout import packed

SIZES = st.integers(0, 6)
ROWS = st.lists(st.integers(3, 5), min_size=1, max_size=9)  # three ids only, so that rows often begin alike


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """A right-padded batch with labels anywhere on its tokens, not only at the end."""
    pairs = draw(st.lists(st.tuples(ROWS, ROWS), min_size=1, max_size=3))
    rows = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    width = max(2, max(map(len, rows))) + draw(st.integers(0, 2))
    ids, mask, labels = torch.zeros(3, len(rows), width, dtype=torch.long).unbind()
    labels -= 100
    for number, row in enumerate(rows):
        ids[number, : len(row)], mask[number, : len(row)] = torch.tensor(row), 1
        for column, token in enumerate(row):
            if draw(st.booleans()):
                labels[number, column] = token
    return ids, mask, labels


@given(batches(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_packing_holds_every_row_once_and_every_label(batch: tuple[Tensor, Tensor, Tensor], share: bool) -> None:
    ids, mask, labels = batch
    packing = packed(ids, mask, labels, share=share)
    assert packing is not None
    count = len(ids) // 2
    start, tokens, scored = 0, [], set()
    for number, pair in enumerate(packing.pairs):
        rows = [ids[r, : mask[r].sum()].tolist() for r in (number, count + number)]
        assert pair.shared_prefix == (_shared(*rows) if share else 0)
        indices = [
            list(range(start, start + pair.shared_prefix + pair.chosen)),
            [
                *range(start, start + pair.shared_prefix),
                *range(start + pair.shared_prefix + pair.chosen, start + pair.tokens),
            ],
        ]
        tokens += rows[0] + rows[1][pair.shared_prefix :]
        for side, row in enumerate(rows):
            assert packing.tokens[indices[side]].tolist() == row
            assert packing.positions[indices[side]].tolist() == list(range(len(row)))
            for column in range(1, ids.shape[1]):
                index = int(packing.score_index[side * count + number, column - 1])
                if labels[side * count + number, column] == -100:
                    assert index == packing.scored.numel()
                else:
                    scored.add(indices[side][column])
                    assert packing.scored[index] == indices[side][column]
                    assert packing.previous[index] == indices[side][column - 1]
        start += pair.tokens
    assert packing.tokens.tolist() == tokens
    assert packing.scored.tolist() == sorted(scored)
    assert packing.longest == mask.sum(1).max()


def _shared(first: list[int], second: list[int]) -> int:
    """The longest common prefix that leaves a token to either."""
    length = 0
    while length < min(len(first), len(second)) - 1 and first[length] == second[length]:
        length += 1
    return length


def test_anything_but_a_batch_of_pairs_is_not_packed() -> None:
    ids = torch.tensor([[3, 4, 5], [3, 4, 0]])
    mask, labels = (ids != 0).long(), ids.masked_fill(ids == 0, -100)
    assert packed(ids, mask, labels, share=True) is not None
    assert packed(ids[:1], mask[:1], labels[:1], share=True) is None  # odd rows
    assert packed(ids, mask.flip(1), labels, share=True) is None  # padded on the left
    assert packed(ids, mask, labels + 1, share=True) is None  # labels that are not the tokens
    assert packed(ids, mask, torch.full_like(ids, 0), share=True) is None  # a label on padding
    assert packed(ids, mask * 0, labels, share=True) is None  # rows without a token
    assert packed(ids[:, :1], mask[:, :1], labels[:, :1], share=True) is None  # nothing to predict
    assert packed(ids[0], mask[0], labels[0], share=True) is None
