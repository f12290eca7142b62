"""Log-probabilities of the response tokens of a packed batch, by TRL's rules for the head and in TRL's shape."""

import inspect
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from trl.kernels.chunked_logprob import ChunkedLogProbFunction
from trl.trainer.utils import FusedCausalLMOutput, maybe_gather_lm_head_ctx

from clairgen_train.forward.layout import Packing
from clairgen_train.forward.tiled_head import HeadRules, TiledLogProbs, TokenStatistics

_VOCABULARY_TILE = 32768  # TRL's own; a smaller vocabulary is one tile


def head_rules(fused_forward: Callable[..., object]) -> HeadRules | None:
    """The rules that TRL's `add_fused_lm_head` bound into the forward it installed; None for any other forward."""
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


def packed_output(hidden: Tensor, head: nn.Module, packing: Packing, rules: HeadRules) -> FusedCausalLMOutput:
    """What TRL's fused forward returns for the batch before packing, every field [2B, T - 1], zero where there is no label.

    `hidden` [N, H] are the last hidden states of the packed tokens; `head` the output embeddings. A token of a shared prefix is
    scored once and counts in both rows, so its gradient is the sum of theirs.
    """
    weight, bias = _full(cast("nn.Parameter", head.weight)), cast("nn.Parameter | None", head.bias)
    bias = bias if bias is None else _full(bias)
    before = hidden.index_select(0, packing.previous).to(weight.device)
    statistics = _token_statistics(before, weight, bias, packing.tokens[packing.scored].to(weight.device), rules)
    score_index = packing.score_index.to(weight.device)
    log_probs, *others = statistics
    log_probs = _padded(log_probs, score_index)
    entropy, log_sum_sq_probs, mean_logits, is_top1 = (None if x is None else _padded(x, score_index) for x in others)
    mask = score_index < packing.scored.numel()
    return FusedCausalLMOutput(
        loss=-log_probs.sum() / mask.sum().clamp(min=1),
        log_probs=log_probs,
        entropy=entropy,
        log_sum_sq_probs=log_sum_sq_probs,
        mean_logits=mean_logits,
        is_top1=is_top1,
        label_mask=mask,
    )


def _token_statistics(
    hidden: Tensor, weight: nn.Parameter, bias: nn.Parameter | None, targets: Tensor, rules: HeadRules
) -> TokenStatistics:
    if hidden.device.type == "cpu":
        return cast("TokenStatistics", TiledLogProbs.apply(hidden, weight, bias, targets, rules))  # type: ignore[no-untyped-call] # so it is in torch
    # not run on a GPU by our tests; TRL's own runs it
    scaling = rules.temperature, _VOCABULARY_TILE, rules.final_logit_softcapping, rules.logit_scale
    with maybe_gather_lm_head_ctx(*(x for x in (weight, bias) if x is not None)):
        found = ChunkedLogProbFunction.apply(hidden, weight, bias, targets, *scaling, rules.outputs)
        return cast("TokenStatistics", found)


def _full(parameter: nn.Parameter) -> nn.Parameter:
    """A parameter that FSDP2 has sharded over the ranks, gathered; any other unchanged."""
    return cast("nn.Parameter", parameter.full_tensor()) if isinstance(parameter, DTensor) else parameter


def _padded(values: Tensor, score_index: Tensor) -> Tensor:
    """Values of the scored tokens [M] in the shape of the padded batch, zero where there is no score."""
    with_zero = torch.cat([values, values.new_zeros(1)])
    return with_zero.index_select(0, score_index.reshape(-1)).view(score_index.shape)
