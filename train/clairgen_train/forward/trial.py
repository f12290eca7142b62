"""Whether a model can be served: what its configuration says, and what a trial on one small pair shows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor
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
    """What keeps the new forward `served` from giving the former's values on a small pair, as half a sentence.

    A model whose weights are not here (DeepSpeed ZeRO-3, or the ranks of FSDP that load nothing) is not tried.
    """
    if any(parameter.is_meta or hasattr(parameter, "ds_id") for parameter in model.parameters()):
        return None
    batch = _small_pair(model)
    try:
        with _at_rest(model):
            expected, found = _log_probs(former, batch), _log_probs(served, batch)
    except UnservedAttentionError as fault:
        return str(fault)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as fault:
        return f"a trial of it failed ({type(fault).__name__}: {fault})"
    tolerance = _TOLERANCE.get(model.dtype, _COARSE)
    furthest = (expected - found).abs().max().item()
    if not furthest <= tolerance * (1 + expected.abs().max().item()):
        return f"in a trial its log-probabilities came out different by {furthest:.2g} nats"
    return None


def _small_pair(model: PreTrainedModel) -> dict[str, Tensor]:
    size = model.config.get_text_config().vocab_size
    device = next(model.get_input_embeddings().parameters()).device
    rows = torch.tensor([[5, 6, 7, 8, 9, 10, 11], [5, 6, 7, 8, 12, 13, 0]], device=device) % size
    attended = torch.tensor([[1] * 7, [1] * 6 + [0]], device=device)
    answered = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 0]], dtype=torch.bool, device=device)
    return {"input_ids": rows, "attention_mask": attended, "labels": rows.masked_fill(~answered, -100)}


def _log_probs(forward: Callable[..., object], batch: dict[str, Tensor]) -> Tensor:
    output = forward(**batch, use_cache=False, fused_lm_head=True)
    return cast("Tensor", output.log_probs).float()  # type: ignore[attr-defined] # TRL ships no types


@contextmanager
def _at_rest(model: PreTrainedModel) -> Iterator[None]:
    """Without gradients, and in evaluation mode for so long."""
    training = model.training
    model.train(False)
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
