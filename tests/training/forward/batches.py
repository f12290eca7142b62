"""Tiny random models of several families and batches of pairs, as TRL's collator makes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)
from trl.trainer.utils import FusedCausalLMOutput, add_fused_lm_head

OUTPUTS = ("log_probs", "entropy", "mean_logits", "is_top1")
VOCABULARY = 97


class Shape(TypedDict):
    """The sizes that all families name alike."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    max_position_embeddings: int
    pad_token_id: int
    bos_token_id: int
    eos_token_id: int


SHAPE: Shape = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SHAPE),
    "qwen2": Qwen2Config(**SHAPE),
    "qwen3": Qwen3Config(**SHAPE, head_dim=8),
    "mistral": MistralConfig(**SHAPE, sliding_window=None),
    "gemma": GemmaConfig(**SHAPE, head_dim=8),
}


def model_of(config: PreTrainedConfig, *, attention: str = "sdpa", seed: int = 0) -> PreTrainedModel:
    """A model of that configuration with random weights that are large enough to matter, under TRL's fused head."""
    torch.manual_seed(seed)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation=attention)  # type: ignore[no-untyped-call] # so it is in transformers
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0) if parameter.dim() == 2 else parameter.add_(0.1 * torch.randn_like(parameter))
    add_fused_lm_head(model, outputs=OUTPUTS)
    return model


@dataclass(frozen=True, slots=True)
class Pair:
    """One pair by the lengths of its parts: the prompt, the common beginning of both answers, and the rest of each."""

    prompt: int
    common: int
    chosen: int
    rejected: int


def batch_of(pairs: Sequence[Pair], *, seed: int = 0) -> dict[str, Tensor]:
    """Random pairs of those lengths as [chosen rows; rejected rows], padded on the right; labels on the answers."""
    draw = torch.Generator().manual_seed(seed)
    rows: list[tuple[Tensor, int]] = []
    others: list[tuple[Tensor, int]] = []
    for pair in pairs:
        prefix = torch.randint(3, VOCABULARY, (pair.prompt + pair.common,), generator=draw)
        for count, side, first in ((pair.chosen, rows, 3), (pair.rejected, others, 4)):
            branch = torch.randint(5, VOCABULARY, (count,), generator=draw)
            branch[:1] = first  # the answers part here
            side.append((torch.cat([prefix, branch]), pair.prompt))
    longest = max(len(ids) for ids, _ in rows + others)
    shape = (2 * len(pairs), longest)
    ids, mask, labels = torch.zeros(shape).long(), torch.zeros(shape).long(), torch.full(shape, -100)
    for number, (row, prompt) in enumerate(rows + others):
        ids[number, : len(row)], mask[number, : len(row)], labels[number, prompt : len(row)] = row, 1, row[prompt:]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def outputs_and_gradients(
    model: nn.Module, batch: dict[str, Tensor], *, beta: float = 0.1
) -> tuple[FusedCausalLMOutput, Tensor, dict[str, Tensor]]:
    """The fused output, the loss of APO-zero against a zero reference (mean, equation 7), and every gradient."""
    model.zero_grad()
    output: FusedCausalLMOutput = model(**batch, use_cache=False, fused_lm_head=True)
    assert output.log_probs is not None
    chosen, rejected = (output.log_probs.sum(1) + 0.5 * output.log_probs.shape[1]).chunk(2)
    loss = (1 - torch.sigmoid(beta * chosen) + torch.sigmoid(beta * rejected)).mean()
    loss.backward()  # type: ignore[no-untyped-call] # so it is in torch
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return output, loss.detach(), gradients


def furthest(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest distance of a parameter's gradient, relative to the expected one's norm."""
    assert found.keys() == expected.keys()
    return max(float((found[n] - expected[n]).norm() / (expected[n].norm() + 1e-12)) for n in expected)
