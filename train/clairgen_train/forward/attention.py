"""Segment attention: each token of a packed batch sees the earlier tokens of its own row and nothing else.

transformers finds it by name (`AttentionInterface`). A call without `segments` goes to the model's original implementation.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.bias import causal_lower_right
from torch.nn.attention.flex_attention import BlockMask
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from clairgen_train.forward.flex import tree_attention, tree_mask
from clairgen_train.forward.layout import Packing, PairLayout

Attention = Callable[..., tuple[Tensor, Tensor | None]]
_KERNELS = [
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]  # not cuDNN, which plans each new length first
_PREFIX = "clairgen_segments_over_"
_windows: ContextVar[set[int | None] | None] = ContextVar("windows", default=None)


class UnsupportedAttentionError(Exception):
    """The model's attention has a feature that segment attention lacks; the message names it."""


@dataclass(slots=True)
class Segments:
    """What attention needs of a packing: the pairs' token counts, whether FlexAttention computes it all at once (otherwise
    `scaled_dot_product_attention` does, one segment at a time), and masks that are built once per batch.
    """

    pairs: tuple[PairLayout, ...]
    device: torch.device
    flex: bool = False
    _masks: dict[tuple[int, int, int | None, torch.dtype], Tensor] = field(default_factory=dict)
    _block_masks: dict[int | None, BlockMask] = field(default_factory=dict)

    @classmethod
    def of(cls, packing: Packing, *, flex: bool) -> "Segments":
        """The segments of a packing."""
        return cls(packing.pairs, packing.tokens.device, flex=flex)

    def mask(self, queries: int, keys: int, window: int | None, dtype: torch.dtype) -> Tensor:
        """An additive mask: the last `queries` of `keys` tokens see each of them causally, and at most `window` back."""
        found = self._masks.get((queries, keys, window, dtype))
        if found is None:
            seen = torch.ones(queries, keys, dtype=torch.bool, device=self.device).tril(keys - queries)
            if window is not None:
                seen = seen.triu(keys - queries - window + 1)
            found = torch.zeros(queries, keys, device=self.device, dtype=dtype).masked_fill(~seen, -torch.inf)
            self._masks[queries, keys, window, dtype] = found
        return found

    def block_mask(self, window: int | None) -> BlockMask:
        """The same for the whole packed batch, as a block mask."""
        if window not in self._block_masks:
            self._block_masks[window] = tree_mask(self.pairs, self.device, window)
        return self._block_masks[window]


@contextmanager
def observed_windows() -> Iterator[set[int | None]]:
    """The windows that layers pass to segment attention inside the block; None stands for a layer without one."""
    seen: set[int | None] = set()
    token = _windows.set(seen)
    try:
        yield seen
    finally:
        _windows.reset(token)


def no_mask(device: torch.device) -> Tensor:
    """The attention mask that a packed batch passes to transformers: empty, with the four axes that it requires."""
    return torch.empty(0, 0, 0, 0, device=device)


def register_segment_attention(original: str) -> str:
    """Register segment attention, with `original` for all other calls; the name under which transformers finds it."""
    name = _PREFIX + original.replace("flash", "fused")  # transformers would load a kernel for a name with "flash"
    if name not in ALL_ATTENTION_FUNCTIONS:

        def attention(
            module: nn.Module,
            query: Tensor,
            key: Tensor,
            value: Tensor,
            attention_mask: Tensor | None,
            **options: object,
        ) -> tuple[Tensor, Tensor | None]:
            segments = options.pop("segments", None)
            if isinstance(segments, Segments):
                return segment_attention(query, key, value, segments, options), None
            if attention_mask is not None and attention_mask.numel() == 0:
                raise UnsupportedAttentionError("its layers do not pass the packing on to their attention")
            return _original(original, module)(module, query, key, value, attention_mask, **options)

        AttentionInterface.register(name, attention)
        if original in ALL_MASK_ATTENTION_FUNCTIONS:
            AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[original])
    return name


def _original(name: str, module: nn.Module) -> Attention:
    if name == "eager":  # each model has its own, in its module
        return cast("Attention", sys.modules[type(module).__module__].eager_attention_forward)
    return cast("Attention", ALL_ATTENTION_FUNCTIONS[name])


def segment_attention(
    query: Tensor, key: Tensor, value: Tensor, segments: Segments, options: dict[str, object]
) -> Tensor:
    """Attention of a packed batch: query, key and value [1, heads, N, head size] in, [1, N, heads, head size] out."""
    for name, what in (
        ("softcap", "softcapped scores"),
        ("s_aux", "attention sinks"),
        ("position_bias", "a bias by distance"),
    ):
        if options.get(name) is not None:
            raise UnsupportedAttentionError(f"its attention has {what}")
    if options.get("dropout"):
        raise UnsupportedAttentionError("its attention drops scores at random")
    scale, window = cast("float | None", options.get("scaling")), cast("int | None", options.get("sliding_window"))
    if (seen := _windows.get()) is not None:
        seen.add(window)
    if segments.flex:
        return tree_attention(query, key, value, segments.block_mask(window), scale)
    if key.shape[1] != query.shape[1]:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    sizes = list(chain.from_iterable((pair.shared_prefix + pair.chosen, pair.rejected) for pair in segments.pairs))
    queries, keys, values = (torch.split(x, sizes, 2) for x in (query, key, value))
    parts: list[Tensor] = []
    with sdpa_kernel(_KERNELS):
        for number, pair in enumerate(segments.pairs):
            q, k, v = queries[2 * number], keys[2 * number], values[2 * number]
            parts.append(_causal(q, k, v, segments, scale, window))
            q, k_own, v_own = queries[2 * number + 1], keys[2 * number + 1], values[2 * number + 1]
            k = torch.cat([k[:, :, : pair.shared_prefix], k_own], 2) if pair.shared_prefix else k_own
            v = torch.cat([v[:, :, : pair.shared_prefix], v_own], 2) if pair.shared_prefix else v_own
            parts.append(_causal(q, k, v, segments, scale, window))
    return torch.cat([part.transpose(1, 2) for part in parts], 1)


def _causal(
    query: Tensor, key: Tensor, value: Tensor, segments: Segments, scale: float | None, window: int | None
) -> Tensor:
    queries, keys = query.shape[2], key.shape[2]
    if window is not None and window >= keys:
        window = None
    if queries == keys and window is None:
        return scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)
    if window is None and query.is_cuda and query.dtype == key.dtype == value.dtype:
        # A fused kernel without a mask in memory
        bias = causal_lower_right(queries, keys)
        return scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    mask = segments.mask(queries, keys, window, query.dtype)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
