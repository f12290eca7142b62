"""A Llama in plain torch, its weights named as transformers names them."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from classroom_models.recipe import Shape

ROPE_BASE = 10_000.0
NORM_EPSILON = 1e-6


class Norm(nn.Module):
    """RMS norm with a learnt scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        return functional.rms_norm(x, (x.shape[-1],), self.weight, NORM_EPSILON)


class Attention(nn.Module):
    """Multi-head attention with rotary positions."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            nn.Linear(shape.width, shape.width, bias=False) for _ in range(4)
        )

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
        """`x` is [rows, tokens, width]; `bias` is added to the scores, [rows or 1, 1, tokens, tokens]."""
        rows, tokens, width = x.shape
        q, k, v = (
            projection(x).view(rows, tokens, self.heads, -1).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        # Written out: at these lengths a CPU is faster at this than at the fused call.
        scores = (_rotated(q, rotary) * q.shape[-1] ** -0.5) @ _rotated(k, rotary).transpose(-1, -2) + bias
        mixed: Tensor = self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, tokens, width))
        return mixed


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down_proj = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`x` is [rows, tokens, width]."""
        down: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return down


class Layer(nn.Module):
    """Attention, then feed-forward, each on a normed residual stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Norm(shape.width), Norm(shape.width)
        self.self_attn, self.mlp = Attention(shape), FeedForward(shape)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
        """`x` is [rows, tokens, width]."""
        x = x + self.self_attn(self.input_layernorm(x), rotary, bias)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Llama(nn.Module):
    """A Llama whose output layer is its embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=_initial_spread(name, shape))

    def forward(self, ids: Tensor, bias: Tensor, positions: Tensor) -> Tensor:
        """Logits [rows, wanted, vocabulary] at `positions` [rows, wanted] of `ids` [rows, tokens].

        `bias` [rows or 1, 1, tokens, tokens] is zero where a token may look and very negative where it may not.
        """
        x = self.embed_tokens(ids)
        rotary = _rotary(ids.shape[1], self.shape.head_width, x.dtype)
        for layer in self.layers:
            x = layer(x, rotary, bias)
        wanted = x.gather(1, positions[:, :, None].expand(-1, -1, x.shape[-1]))
        return functional.linear(self.norm(wanted), self.embed_tokens.weight)


def _initial_spread(name: str, shape: Shape) -> float:
    if "embed" in name:
        return 0.02
    leaves_residual = "o_proj" in name or "down_proj" in name
    return 0.5 / math.sqrt(shape.width * 2 * shape.layers if leaves_residual else shape.width)


def _rotary(tokens: int, head_width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    frequencies = ROPE_BASE ** (-torch.arange(0, head_width, 2).float() / head_width)
    angles = torch.outer(torch.arange(tokens).float(), frequencies)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def _rotated(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rotary
    left, right = x.chunk(2, -1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), -1)
