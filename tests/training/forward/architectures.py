"""Every causal language model of transformers, tiny and random: does the shared forward agree with TRL's, or refuse the model?

    python -m tests.training.forward.architectures
    python -m tests.training.forward.architectures --only llama,phimoe --dtype bf16

A model that is not refused must agree in values and gradients on rows longer than any window, to three times the difference that
another rounding makes to TRL's own forward, and take a step in training mode (without dropout layers, as under TRL), or the
script fails.
Sizes are set wherever a configuration has them under one of the usual names; a family whose configuration needs more than that
is listed as not built, with its reason.
"""

import inspect
import math
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, cast

import torch
import typer
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging
from trl.trainer.utils import add_fused_lm_head, disable_dropout_in_model

from clairgen_train.forward import install_shared_forward
from clairgen_train.forward.trial import rounded_differently
from tests.training.forward.batches import OUTPUTS, VOCABULARY, Pair, batch_of, outputs_and_gradients

WINDOW = 6
_SIZES: dict[str, object] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "embed_dim", "embedding_size"), 64),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "ffn_hidden_dim", "d_ff"), 48),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "moe_ffn_hidden_size"), 48),
    **dict.fromkeys(("shared_intermediate_size", "intermediate_size_mlp", "decoder_ffn_dim"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "n_kv_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("head_dim", "qk_nope_head_dim", "v_head_dim", "attention_head_dim"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "rotary_dim"), 16),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k", "experts_per_token"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts"), 1),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"), 512),
    **dict.fromkeys(("sliding_window", "local_attention_window"), WINDOW),
    "vocab_size": VOCABULARY,
    "vocab_size_per_layer_input": VOCABULARY,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "use_sliding_window": True,
    "max_window_layers": 1,
    "is_decoder": True,
    "first_k_dense_replace": 1,
}
_VARIANTS: dict[str, dict[str, object]] = {
    "llama, tied": {"tie_word_embeddings": True},
    "llama, biases": {"attention_bias": True, "mlp_bias": True},
    "llama, one key head": {"num_key_value_heads": 1},
    "llama, attention dropout": {"attention_dropout": 0.1},
    "mistral, no window": {"sliding_window": None},
    "qwen2, no window": {"use_sliding_window": False},
    "qwen2_moe, no window": {"use_sliding_window": False},
    "phimoe, no window": {"sliding_window": None},
    "gpt2, no dropout": {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0},
    "gpt_bigcode, no dropout": {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0},
    "gemma2, no softcap": {"attn_logit_softcapping": None},
    "cohere, scaled logits": {"logit_scale": 0.3},
}
_LARGEST = 5_000_000  # weights of a tiny model
_BATCH = (Pair(9, 4, 8, 11), Pair(5, 0, 13, 9), Pair(3, 0, 1, 2))


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one family; `kind` is agrees, refused, not built, wrong or crashed."""

    name: str
    kind: str
    detail: str


def main(
    only: Annotated[str, typer.Option(help="Families, by commas; all of them if none.")] = "",
    dtype: Annotated[str, typer.Option(help="fp32 or bf16: the weights' type.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Print one line a family and a count; exit with 1 if one is wrong or crashed."""
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()  # type: ignore[no-untyped-call] # so it is in transformers
    names = only.split(",") if only else [*sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES), *_VARIANTS]
    counts: Counter[str] = Counter()
    for finding in findings(names, {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype], device):
        counts[finding.kind] += 1
        typer.echo(f"{finding.kind:10} {finding.name:28} {finding.detail}")
    typer.echo(f"{dtype} on {device}: " + ", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    if counts["wrong"] or counts["crashed"]:
        raise typer.Exit(1)


def findings(names: list[str], dtype: torch.dtype, device: str) -> Iterator[Finding]:
    """One finding for each name."""
    for name in names:
        try:
            model = tiny_model(name)
            cast("nn.Module", model).to(device, dtype)
            torch.testing.assert_close(*(_log_probs(model, device) for _ in range(2)), rtol=1e-3, atol=1e-3)
        except Exception as fault:  # noqa: BLE001 - any family may need anything
            yield Finding(name, "not built", f"{type(fault).__name__}: {' '.join(str(fault).split())[:90]}")
            continue
        try:
            yield _compared(name, model, device)
        except Exception as fault:  # noqa: BLE001 - that is what the script looks for
            yield Finding(name, "crashed", f"{type(fault).__name__}: {' '.join(str(fault).split())[:150]}")


def tiny_model(name: str) -> PreTrainedModel:
    """A random model of the family, or of a variant named `family, ...`, under TRL's fused head, in evaluation mode."""
    torch.manual_seed(0)
    family = name.partition(",")[0]
    config = tiny_config(family, **_VARIANTS.get(name, {}))
    with torch.device("meta"):
        size = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())  # type: ignore[no-untyped-call] # so it is in transformers
    if size > _LARGEST:
        raise ValueError(f"{size:,} weights: a size has a name that this script does not know")
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call] # so it is in transformers
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0) if parameter.dim() == 2 else parameter.add_(0.1 * torch.randn_like(parameter))
    disable_dropout_in_model(model)
    add_fused_lm_head(model, outputs=OUTPUTS)
    model.train(False)
    return model


def tiny_config(family: str, **changes: object) -> PreTrainedConfig:
    """The family's configuration with every size that it knows set small."""
    kind = type(AutoConfig.for_model(family))
    known = set(inspect.signature(kind.__init__).parameters) | set(getattr(kind, "__dataclass_fields__", ()))
    known |= set(getattr(kind, "attribute_map", ()))
    sizes = {name: size for name, size in _SIZES.items() if name in known}
    if "kv_lora_rank" in known:  # latent attention has a key head for each head
        sizes["num_key_value_heads"] = _SIZES["num_attention_heads"]
    sizes |= changes
    config: PreTrainedConfig = kind(**sizes)  # type: ignore[arg-type] # of any family
    text = config.get_text_config()
    usual = AutoConfig.for_model(family).get_text_config()
    kinds = list(dict.fromkeys(chain(*(getattr(each, "layer_types", None) or () for each in (text, usual)))))
    if kinds and not isinstance(getattr(type(text), "layer_types", None), property):
        text.layer_types = [kinds[0], kinds[-1]]
    return config


def _log_probs(model: PreTrainedModel, device: str) -> torch.Tensor:
    batch = {name: values.to(device) for name, values in batch_of(_BATCH).items()}
    with torch.no_grad():
        found: torch.Tensor = model(**batch, use_cache=False, fused_lm_head=True).log_probs
    return found


def _compared(name: str, model: PreTrainedModel, device: str) -> Finding:
    batch = {key: values.to(device) for key, values in batch_of(_BATCH).items()}
    expected, _, gradients = outputs_and_gradients(model, batch)
    with rounded_differently(model):
        rounded, _, others = outputs_and_gradients(model, batch)
    assert expected.log_probs is not None and rounded.log_probs is not None
    noise = _largest(rounded.log_probs, expected.log_probs), _furthest(others, gradients)
    reason = install_shared_forward(model)
    if reason is not None:
        return Finding(name, "refused", reason.partition(": ")[2])
    found, _, ours = outputs_and_gradients(model, batch)
    model.train()
    outputs_and_gradients(model, batch)
    assert found.log_probs is not None
    value, slope = _largest(found.log_probs, expected.log_probs), _furthest(ours, gradients)
    right = value <= max(1e-4, 3 * noise[0]) and slope <= max(1e-3, 3 * noise[1])
    return Finding(name, "agrees" if right else "wrong", f"log-probabilities to {value:.0e}, gradients to {slope:.0e}")


def _largest(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).detach().abs().max())


def _furthest(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The largest distance of a weight's gradient, relative to its norm; some gradients are 0 but for rounding (key biases)."""
    whole = math.sqrt(sum(float(gradient.float().norm()) ** 2 for gradient in expected.values()))
    return max(
        float((found[name] - gradient).float().norm()) / (float(gradient.float().norm()) + 1e-3 * whole)
        for name, gradient in expected.items()
    )


if __name__ == "__main__":
    typer.run(main)
