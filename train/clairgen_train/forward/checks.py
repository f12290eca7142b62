"""Whether the shared forward supports a model: by its configuration, and by a comparison with TRL's forward on a small pair."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from clairgen_train.forward.attention import UnsupportedAttentionError, observed_windows

_SUPPORTED_LAYERS = {"full_attention", "sliding_attention"}
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6}
_LOW_PRECISION_TOLERANCE = 0.1  # bf16 and fp16: one token too many or too few among eight differs by more


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
