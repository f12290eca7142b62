"""FlexAttention's block mask, on a CPU, against segment attention."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clairgen_train.forward.attention import Segments, segment_attention
from clairgen_train.forward.flex import tree_rule
from clairgen_train.forward.layout import PairLayout

SIZES = st.builds(PairLayout, st.integers(0, 5), st.integers(1, 5), st.integers(1, 5))


@given(st.lists(SIZES, min_size=1, max_size=3), st.none() | st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_a_query_sees_the_earlier_tokens_of_its_own_row_and_no_others(
    pairs: list[PairLayout], window: int | None
) -> None:
    total = sum(pair.tokens for pair in pairs)
    expected = torch.zeros(total, total, dtype=torch.bool)
    start = 0
    for pair in pairs:
        chosen = list(range(start, start + pair.shared_prefix + pair.chosen))
        rejected = chosen[: pair.shared_prefix] + list(
            range(start + pair.shared_prefix + pair.chosen, start + pair.tokens)
        )
        for row in (chosen, rejected):
            for at, query in enumerate(row):
                expected[query, row[max(0, at + 1 - (window or total)) : at + 1]] = True
        start += pair.tokens
    indices = torch.arange(total)
    unused = torch.zeros((), dtype=torch.long)
    rule = tree_rule(tuple(pairs), torch.device("cpu"), window)
    assert torch.equal(rule(unused, unused, indices[:, None], indices[None]), expected)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("window", [None, 40])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_flex_and_segment_attention_agree(window: int | None, key_heads: int) -> None:
    pairs = (PairLayout(70, 90, 33), PairLayout(0, 17, 20), PairLayout(130, 1, 1))
    total = sum(pair.tokens for pair in pairs)
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, heads, total, 8) for heads in (4, key_heads, key_heads))
    options: dict[str, object] = {"scaling": 0.3, "sliding_window": window}
    device = torch.device("cpu")
    found, expected = (
        segment_attention(query, key, value, Segments(pairs, device, flex=flex), options) for flex in (True, False)
    )
    assert found.shape == (1, total, 4, 8)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
