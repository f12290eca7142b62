"""FlexAttention over a packed batch, used on GPUs: the tree of shared prefixes and branches as a block mask.

On a CPU the mask and the eager FlexAttention are tested against the CPU's attention. `make gpu` compares the compiled kernel and
its backward pass with TRL's forward on whatever CUDA card is there.
"""

from collections.abc import Callable
from functools import cache
from typing import cast

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from clairgen_train.forward.layout import PairLayout

_KERNEL_OPTIONS = {"FORCE_USE_FLEX_ATTENTION": True}
"""Not the kernel for short queries, which does not compile for symbolic lengths (torch 2.11)."""

MaskRule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def tree_rule(pairs: tuple[PairLayout, ...], device: torch.device, window: int | None) -> MaskRule:
    """Whether a query sees a key, by flat indices: itself and earlier tokens of its own branch or its pair's shared prefix.

    With a `window`, only the last `window` tokens of its own row, itself included.
    """
    pair = torch.repeat_interleave(
        torch.arange(len(pairs), device=device), torch.tensor([p.tokens for p in pairs], device=device)
    )
    sizes = torch.tensor([size for p in pairs for size in (p.shared_prefix, p.chosen, p.rejected)], device=device)
    branch = torch.repeat_interleave(torch.arange(3, device=device).repeat(len(pairs)), sizes)
    skipped = torch.tensor([p.chosen for p in pairs], device=device)[pair] * (branch == 2)
    position = torch.arange(len(pair), device=device) - skipped  # whose differences within a row are the row's own

    def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        own = (branch[key] == 0) | (branch[key] == branch[query])
        seen = (key <= query) & (pair[key] == pair[query]) & own
        return seen if window is None else seen & (position[query] - position[key] < window)

    return sees


def tree_mask(pairs: tuple[PairLayout, ...], device: torch.device, window: int | None) -> BlockMask:
    """The rule as a block mask, without the blocks that no query sees."""
    total = sum(pair.tokens for pair in pairs)
    rule = tree_rule(pairs, device, window)
    return create_block_mask(rule, None, None, total, total, device=str(device))


def tree_attention(query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, scale: float | None) -> Tensor:
    """Attention of a packed batch: query, key and value [1, heads, N, head size] in, [1, N, heads, head size] out."""
    grouped = key.shape[1] != query.shape[1]
    attention = _compiled() if query.device.type == "cuda" else cast("Callable[..., object]", flex_attention)
    found = attention(
        query,
        key,
        value,
        block_mask=mask,
        scale=scale,
        enable_gqa=grouped,
        kernel_options=_KERNEL_OPTIONS if query.is_cuda else None,
    )
    return cast("Tensor", found).transpose(1, 2).contiguous()


@cache
def _compiled() -> Callable[..., object]:
    """FlexAttention as a fused kernel, for any length: with `fullgraph` torch raises an error instead of running it unfused."""
    return torch.compile(flex_attention, dynamic=True, fullgraph=True)
