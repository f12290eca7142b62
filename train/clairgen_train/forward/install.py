"""Replacing TRL's forward on a model by one that packs a batch of pairs and shares prefixes, where a check supports it.

A model is supported by its configuration, and by a comparison with TRL's forward on a small pair.
"""

import functools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from clairgen_train.forward.attention import (
    Segments,
    UnsupportedAttentionError,
    no_mask,
    observed_windows,
    register_segment_attention,
)
from clairgen_train.forward.layout import packed
from clairgen_train.forward.log_probs import head_rules, packed_output
from clairgen_train.forward.tiled_head import HeadRules

_BATCH = frozenset(("input_ids", "attention_mask", "use_cache"))
_SUPPORTED_LAYERS = {"full_attention", "sliding_attention"}
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6}
_LOW_PRECISION_TOLERANCE = 0.1  # bf16 and fp16: one token too many or too few among eight differs by more


def install_shared_forward(model: PreTrainedModel, *, share: bool = True) -> str | None:
    """Replace the forward that TRL's `add_fused_lm_head` installed on `model`; returns None, or one sentence why it cannot.

    The model is the causal language model itself, not wrapped by PEFT or DDP (adapters may be in it). Its forward then packs a
    batch [chosen rows; rejected rows], computes the prefix that both rows of a pair share once (unless `share` is false) and
    scores only the labeled tokens; values and gradients equal TRL's up to rounding. Every other call goes to the original
    forward. A model that is refused is left unchanged.
    """
    original = model.forward
    rules = head_rules(original)
    if rules is None:
        return "The shared forward needs the fused head that TRL 1.16 puts on a model, and this model does not have it."
    reason = unsupported_feature(model)
    if reason is None:
        attention = cast("str", model.config._attn_implementation)  # noqa: SLF001 - transformers gives it no other name
        model.set_attn_implementation(register_segment_attention(attention))
        model.forward = types.MethodType(_shared_forward(model, original, rules, share=share), model)
        reason = forward_mismatch(model, original, model.forward)
        if reason is not None:
            model.forward = original
            model.set_attn_implementation(attention)
    return None if reason is None else f"The shared forward does not support {type(model).__name__}: {reason}."


def unsupported_feature(model: PreTrainedModel) -> str | None:
    """What the model's class or configuration has that the shared forward lacks, as a clause; None if nothing."""
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ()) - _SUPPORTED_LAYERS
    unsupported = {
        "it takes more than text as input": config is not model.config,
        "its attention does not go through transformers' AttentionInterface": not model._supports_attention_backend,  # noqa: SLF001 - no other name
        f"it has layers of an unsupported kind ({', '.join(sorted(layers))})": bool(layers),
        "its attention has softcapped scores": bool(getattr(config, "attn_logit_softcapping", None)),
        "its attention drops scores at random (attention_dropout)": bool(getattr(config, "attention_dropout", 0.0)),
        "its attention sees later tokens": not getattr(config, "is_causal", True),
        "it is spread over several devices": len(set(getattr(model, "hf_device_map", {}).values())) > 1,
    }
    return next((feature for feature, present in unsupported.items() if present), None)


def forward_mismatch(
    model: PreTrainedModel, original: Callable[..., object], shared: Callable[..., object]
) -> str | None:
    """How the forward `shared` differs from the original in values or gradients on a small pair, as a clause; None if not.

    Only the gradient in the token embeddings is compared, summed over the tokens, so that no weight's gradient needs memory.
    A model whose weights are not loaded here (DeepSpeed ZeRO-3, or the FSDP ranks that load nothing) is not compared.
    """
    if any(parameter.is_meta or hasattr(parameter, "ds_id") for parameter in model.parameters()):
        return None
    batch = _small_pair(model)
    try:
        with _evaluation_mode(model), observed_windows() as windows:
            expected, found = _values(model, original, batch), _values(model, shared, batch)
    except UnsupportedAttentionError as fault:
        return str(fault)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as fault:
        return f"a comparison with TRL's forward failed ({type(fault).__name__}: {fault})"
    if _has_window(model) and windows <= {None}:
        return "its sliding window is in its attention mask only, which the shared forward does not use"
    tolerance = _TOLERANCE.get(model.dtype, _LOW_PRECISION_TOLERANCE)
    for what, original_values, values in zip(("log-probabilities", "gradients"), expected, found, strict=True):
        difference = (original_values - values).abs().max().item()
        if not difference <= tolerance * (1 + original_values.abs().max().item()):
            return f"its {what} differ from those of TRL's forward by {difference:.2g}"
    return None


def _shared_forward(
    model: PreTrainedModel, original: Callable[..., object], rules: HeadRules, *, share: bool
) -> Callable[..., object]:
    config = model.config.get_text_config()

    @functools.wraps(type(model).forward)  # `generate` reads the signature
    def forward(
        self: PreTrainedModel,
        *args: object,
        fused_lm_head: bool = False,
        labels: Tensor | None = None,
        **kwargs: object,
    ) -> object:
        ids, mask = kwargs.get("input_ids"), kwargs.get("attention_mask")
        routed = getattr(config, "output_router_logits", False)
        ours = fused_lm_head and not args and kwargs.keys() <= _BATCH and not kwargs.get("use_cache") and not routed
        if ours and isinstance(ids, Tensor) and isinstance(mask, Tensor) and labels is not None:
            output = _packed_forward(self, ids, mask, labels, rules, share=share)
            if output is not None:
                return output
        if labels is not None:
            kwargs["labels"] = labels
        return original(*args, fused_lm_head=fused_lm_head, **kwargs)

    return forward


def _packed_forward(
    model: PreTrainedModel, ids: Tensor, mask: Tensor, labels: Tensor, rules: HeadRules, *, share: bool
) -> FusedCausalLMOutput | None:
    packing = packed(ids, mask, labels, share=share)
    if packing is None:
        return None
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call] # so it is in transformers
    outputs = model.base_model(
        input_ids=packing.tokens[None],
        position_ids=packing.positions[None],
        attention_mask=no_mask(ids.device),
        segments=Segments.of(packing),
        use_cache=False,
    )
    return packed_output(outputs.last_hidden_state[0], head, packing, rules)


def _has_window(model: PreTrainedModel) -> bool:
    """Whether the configuration gives a layer a sliding window. The small pair is shorter than most, so values cannot show it."""
    config = model.config.get_text_config()
    if not getattr(config, "sliding_window", None) or not getattr(config, "use_sliding_window", True):
        return False
    return "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"])


def _small_pair(model: PreTrainedModel) -> dict[str, Tensor]:
    size = model.config.get_text_config().vocab_size
    device = next(model.get_input_embeddings().parameters()).device
    rows = torch.tensor([[5, 6, 7, 8, 9, 10, 11], [5, 6, 7, 8, 12, 13, 0]], device=device) % size
    attended = torch.tensor([[1] * 7, [1] * 6 + [0]], device=device)
    answered = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 0]], dtype=torch.bool, device=device)
    return {"input_ids": rows, "attention_mask": attended, "labels": rows.masked_fill(~answered, -100)}


def _values(model: PreTrainedModel, forward: Callable[..., object], batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Log-probabilities [2, 6], and the gradient of their sum in the token embeddings, summed over tokens [hidden size]."""
    embedded: list[Tensor] = []

    def keep(_module: nn.Module, _given: object, output: Tensor) -> None:
        embedded.append(output if output.requires_grad else output.requires_grad_())

    handle = model.get_input_embeddings().register_forward_hook(keep)
    try:
        output = forward(**batch, use_cache=False, fused_lm_head=True)
    finally:
        handle.remove()
    log_probs = cast("Tensor", output.log_probs).float()  # type: ignore[attr-defined] # TRL ships no types
    (gradient,) = torch.autograd.grad(log_probs.sum(), embedded[0])
    return log_probs.detach(), gradient.float().sum(dim=(0, 1))


@contextmanager
def _evaluation_mode(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode with gradients and without autocast, inside the block."""
    training = model.training
    model.train(False)
    try:
        with torch.enable_grad(), torch.autocast(model.device.type, enabled=False):
            yield
    finally:
        model.train(training)
