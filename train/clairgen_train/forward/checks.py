"""Whether a model can be served: what its configuration says, and what a trial on one small pair shows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from clairgen_train.forward.attention import UnservedAttentionError

_SERVED_LAYERS = {"full_attention", "sliding_attention"}
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6}
_COARSE = 0.1  # bf16 and fp16: a token too many or too few in an attention of eight shows more than this


def declared_obstacle(model: PreTrainedModel) -> str | None:
    """What in the model's class or configuration the packed forward cannot do, as half a sentence."""
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ()) - _SERVED_LAYERS
    obstacles = {
        "it takes more than text": config is not model.config,
        "its attention is not found by transformers' AttentionInterface": not model._supports_attention_backend,  # noqa: SLF001 - no other name
        f"it has layers of another kind ({', '.join(sorted(layers))})": bool(layers),
        "its attention has softcapped scores": bool(getattr(config, "attn_logit_softcapping", None)),
        "its attention drops scores at random (attention_dropout)": bool(getattr(config, "attention_dropout", 0.0)),
        "its attention sees later tokens": not getattr(config, "is_causal", True),
        "it lies on several devices": len(set(getattr(model, "hf_device_map", {}).values())) > 1,
    }
    return next((obstacle for obstacle, there in obstacles.items() if there), None)


def shown_obstacle(model: PreTrainedModel, former: Callable[..., object], served: Callable[..., object]) -> str | None:
    """What keeps the new forward `served` from giving the former's values and gradients on a small pair, as half a sentence.

    The gradient is that of the embedded tokens alone, summed over them, so that no weight's is held in memory.

    A model whose weights are not here (DeepSpeed ZeRO-3, or the ranks of FSDP that load nothing) is not tried.
    """
    if any(parameter.is_meta or hasattr(parameter, "ds_id") for parameter in model.parameters()):
        return None
    batch = _small_pair(model)
    try:
        with _at_rest(model):
            expected, found = _tried(model, former, batch), _tried(model, served, batch)
    except UnservedAttentionError as fault:
        return str(fault)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as fault:
        return f"a trial of it failed ({type(fault).__name__}: {fault})"
    tolerance = _TOLERANCE.get(model.dtype, _COARSE)
    for what, former_values, values in zip(("log-probabilities", "gradients"), expected, found, strict=True):
        furthest = (former_values - values).abs().max().item()
        if not furthest <= tolerance * (1 + former_values.abs().max().item()):
            return f"in a trial its {what} came out different by {furthest:.2g}"
    return None


def _small_pair(model: PreTrainedModel) -> dict[str, Tensor]:
    size = model.config.get_text_config().vocab_size
    device = next(model.get_input_embeddings().parameters()).device
    rows = torch.tensor([[5, 6, 7, 8, 9, 10, 11], [5, 6, 7, 8, 12, 13, 0]], device=device) % size
    attended = torch.tensor([[1] * 7, [1] * 6 + [0]], device=device)
    answered = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 0]], dtype=torch.bool, device=device)
    return {"input_ids": rows, "attention_mask": attended, "labels": rows.masked_fill(~answered, -100)}


def _tried(model: PreTrainedModel, forward: Callable[..., object], batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Log-probabilities [2, 6], and the gradient of their sum in the embedded tokens, summed over these [width]."""
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
def _at_rest(model: PreTrainedModel) -> Iterator[None]:
    """In evaluation mode for so long, with gradients and without autocast, whatever is in force around it."""
    training = model.training
    model.train(False)
    try:
        with torch.enable_grad(), torch.autocast(model.device.type, enabled=False):
            yield
    finally:
        model.train(training)
