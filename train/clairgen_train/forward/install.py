"""Replacing the forward that TRL installs on a model by one that packs a batch of pairs and computes shared prefixes once."""

import functools
import types
from collections.abc import Callable
from typing import cast

from torch import Tensor
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from clairgen_train.forward.attention import Segments, no_mask, register_segment_attention
from clairgen_train.forward.layout import packed
from clairgen_train.forward.log_probs import head_rules, packed_output
from clairgen_train.forward.tiled_head import HeadRules
from clairgen_train.forward.trial import forward_mismatch

_SUPPORTED_LAYERS = {"full_attention", "sliding_attention"}
_BATCH = frozenset(("input_ids", "attention_mask", "use_cache"))


def install_shared_forward(model: PreTrainedModel, *, share: bool = True, flex: bool = False) -> str | None:
    """Replace the forward that TRL's `add_fused_lm_head` installed on `model`; returns None, or one sentence why it cannot.

    The model is the causal language model itself, not wrapped by PEFT or DDP (adapters may be in it). Its forward then packs a
    batch [chosen rows; rejected rows], computes the prefix that both rows of a pair share once (unless `share` is false) and
    scores only the labeled tokens; values and gradients equal TRL's up to rounding. Every other call goes to the original
    forward. A model that is refused is left unchanged. `flex` computes attention by FlexAttention, which torch compiles first.
    """
    original = model.forward
    rules = head_rules(original)
    if rules is None:
        return "The shared forward needs the fused head that TRL 1.16 puts on a model, and this model does not have it."
    reason = _unsupported_feature(model)
    if reason is None:
        attention = cast("str", model.config._attn_implementation)  # noqa: SLF001 - transformers gives it no other name
        model.set_attn_implementation(register_segment_attention(attention))
        model.forward = types.MethodType(_shared_forward(model, original, rules, share=share, flex=flex), model)
        reason = forward_mismatch(model, original, model.forward)
        if reason is not None:
            model.forward = original
            model.set_attn_implementation(attention)
    return None if reason is None else f"The shared forward does not support {type(model).__name__}: {reason}."


def _unsupported_feature(model: PreTrainedModel) -> str | None:
    """What the model's class or configuration has that the shared forward lacks, as a clause; None if nothing."""
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ()) - _SUPPORTED_LAYERS
    unsupported = {
        "it takes more than text as input": config is not model.config,
        "its attention does not go through transformers' AttentionInterface": not model._supports_attention_backend,  # noqa: SLF001 - no other name
        f"it has layers of an unsupported kind ({', '.join(sorted(layers))})": bool(layers),
        "its attention has softcapped scores": bool(getattr(config, "attn_logit_softcapping", None)),
        "its attention sees later tokens": not getattr(config, "is_causal", True),
        "it is spread over several devices": len(set(getattr(model, "hf_device_map", {}).values())) > 1,
    }
    return next((feature for feature, present in unsupported.items() if present), None)


def _shared_forward(
    model: PreTrainedModel, original: Callable[..., object], rules: HeadRules, *, share: bool, flex: bool
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
            output = _packed_forward(self, ids, mask, labels, rules, share=share, flex=flex)
            if output is not None:
                return output
        if labels is not None:
            kwargs["labels"] = labels
        return original(*args, fused_lm_head=fused_lm_head, **kwargs)

    return forward


def _packed_forward(
    model: PreTrainedModel, ids: Tensor, mask: Tensor, labels: Tensor, rules: HeadRules, *, share: bool, flex: bool
) -> FusedCausalLMOutput | None:
    packing = packed(ids, mask, labels, share=share)
    if packing is None:
        return None
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call] # so it is in transformers
    outputs = model.base_model(
        input_ids=packing.tokens[None],
        position_ids=packing.positions[None],
        attention_mask=no_mask(ids.device),
        segments=Segments.of(packing, flex=flex),
        use_cache=False,
    )
    return packed_output(outputs.last_hidden_state[0], head, packing, rules)
