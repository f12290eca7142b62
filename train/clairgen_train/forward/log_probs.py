"""Scores of the response tokens alone, by TRL's rules for the head, laid back into TRL's shape."""

import inspect
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from trl.kernels.chunked_logprob import ChunkedLogProbFunction
from trl.trainer.utils import FusedCausalLMOutput, maybe_gather_lm_head_ctx

from clairgen_train.forward.layout import Packing
from clairgen_train.forward.tiled_head import Figures, HeadRules, TiledLogProbs

_VOCABULARY_TILE = 32768  # TRL's own; a smaller vocabulary is one tile


def head_rules(fused_forward: Callable[..., object]) -> HeadRules | None:
    """The rules that TRL's `add_fused_lm_head` bound into the forward it installed; None if that is another forward."""
    try:
        bound = inspect.getclosurevars(fused_forward).nonlocals
    except TypeError:
        return None
    wanted = {"temperature", "logit_scale", "final_logit_softcapping", "outputs", "cast_lm_head_to_fp32"}
    if not wanted <= bound.keys() or bound["cast_lm_head_to_fp32"]:
        return None
    return HeadRules(
        bound["temperature"], bound["logit_scale"], bound["final_logit_softcapping"], tuple(bound["outputs"])
    )


def scores(hidden: Tensor, head: nn.Module, packing: Packing, rules: HeadRules) -> FusedCausalLMOutput:
    """What TRL's fused forward returns for the batch that was packed, every field [2B, T - 1], zero where no label is.

    `hidden` [N, H] are the last hidden states of the packed tokens; `head` the output embeddings. A token of a trunk is
    scored once and counts in both rows, so its gradient is the sum of theirs.
    """
    weight, bias = _whole(cast("nn.Parameter", head.weight)), cast("nn.Parameter | None", head.bias)
    bias = bias if bias is None else _whole(bias)
    before = hidden.index_select(0, packing.previous).to(weight.device)
    figures = _figures(before, weight, bias, packing.tokens[packing.scored].to(weight.device), rules)
    places = packing.places.to(weight.device)
    log_probs, *others = figures
    log_probs = _laid_out(log_probs, places)
    entropy, log_sum_sq_probs, mean_logits, is_top1 = (None if x is None else _laid_out(x, places) for x in others)
    mask = places < packing.scored.numel()
    return FusedCausalLMOutput(
        loss=-log_probs.sum() / mask.sum().clamp(min=1),
        log_probs=log_probs,
        entropy=entropy,
        log_sum_sq_probs=log_sum_sq_probs,
        mean_logits=mean_logits,
        is_top1=is_top1,
        label_mask=mask,
    )


def _figures(
    hidden: Tensor, weight: nn.Parameter, bias: nn.Parameter | None, targets: Tensor, rules: HeadRules
) -> Figures:
    if hidden.device.type == "cpu":
        return cast("Figures", TiledLogProbs.apply(hidden, weight, bias, targets, rules))  # type: ignore[no-untyped-call] # so it is in torch
    # not run on a GPU here; TRL does
    scaling = rules.temperature, _VOCABULARY_TILE, rules.final_logit_softcapping, rules.logit_scale
    with maybe_gather_lm_head_ctx(*(x for x in (weight, bias) if x is not None)):
        found = ChunkedLogProbFunction.apply(hidden, weight, bias, targets, *scaling, rules.outputs)
        return cast("Figures", found)


def _whole(parameter: nn.Parameter) -> nn.Parameter:
    """A parameter that FSDP2 has cut over the ranks, gathered; any other as it is."""
    return cast("nn.Parameter", parameter.full_tensor()) if isinstance(parameter, DTensor) else parameter


def _laid_out(figures: Tensor, places: Tensor) -> Tensor:
    padded = torch.cat([figures, figures.new_zeros(1)])
    return padded.index_select(0, places.reshape(-1)).view(places.shape)
