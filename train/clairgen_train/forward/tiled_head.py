"""The language-model head on a CPU: log-probabilities in tiles of rows that fit the cache, without storing logits.

TRL's own head (`ChunkedLogProbFunction`) has a Triton kernel for GPUs, which we use there; its fallback for other devices passes
over a tile of 4096 rows about twenty times. The values are the same up to rounding; here the entropy has no gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

_TILE_BYTES = 8 * 2**20
_MIN_ROWS = 64

TokenStatistics = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]


@dataclass(frozen=True, slots=True)
class HeadRules:
    """How TRL turns hidden states into log-probabilities, and which other statistics it was configured to return."""

    temperature: float
    logit_scale: float
    final_logit_softcapping: float | None
    outputs: tuple[str, ...]

    def apply(self, logits: Tensor) -> None:
        """Scale, soft-cap and divide the logits by the temperature, in place."""
        if self.logit_scale != 1:
            logits.mul_(self.logit_scale)
        if self.final_logit_softcapping is not None:
            logits.div_(self.final_logit_softcapping).tanh_().mul_(self.final_logit_softcapping)
        if self.temperature != 1:
            logits.div_(self.temperature)

    def slope(self, logits: Tensor) -> Tensor | float:
        """The derivative of `apply` at the logits that it returned."""
        factor = self.logit_scale / self.temperature
        if self.final_logit_softcapping is None:
            return factor
        return (1 - (logits * (self.temperature / self.final_logit_softcapping)) ** 2) * factor


class _Context(FunctionCtx):
    """What the backward pass needs."""

    rules: HeadRules
    tile_dtype: torch.dtype
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]


class TiledLogProbs(torch.autograd.Function):
    """Log-probability of each target and the statistics that TRL logs; see `forward`."""

    @staticmethod
    def forward(
        ctx: _Context, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, rules: HeadRules
    ) -> TokenStatistics:
        """From `hidden` [M, H], `weight` [V, H], `bias` [V] and `targets` [M]: log-probabilities [M] with a gradient,
        then entropy, log of the summed squared probabilities, mean logit and whether the target is the first of the most
        likely tokens, [M] without a gradient, or None where `rules.outputs` does not name them.
        """
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else hidden.dtype
        found: dict[str, list[Tensor]] = {name: [] for name in ("log_z", *_STATISTICS)}
        rounded = weight.to(dtype).float()
        with torch.autocast("cpu", enabled=False):  # autocast would round sums too
            for rows in _tiles(hidden, weight):
                logits = _logits(hidden[rows], rounded, bias, dtype)
                rules.apply(logits)
                for name, value in _tile_statistics(logits, targets[rows], rules.outputs).items():
                    found[name].append(value)
        whole = {name: torch.cat(parts) for name, parts in found.items() if parts}
        ctx.save_for_backward(hidden, weight, targets, whole.pop("log_z"), *([] if bias is None else [bias]))
        ctx.rules, ctx.tile_dtype = rules, dtype
        entropy, log_sum_sq_probs, mean_logits, is_top1 = (whole.get(name) for name in _STATISTICS[1:])
        others = entropy, log_sum_sq_probs, mean_logits, is_top1
        ctx.mark_non_differentiable(*(value for value in others if value is not None))
        return whole["log_probs"], *others

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, gradient: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        """Recompute the logits tile by tile and turn them into their gradient in place; sums are in fp32."""
        hidden, weight, targets, log_z, *biases = ctx.saved_tensors
        bias = biases[0] if biases else None
        of_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        of_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and ctx.needs_input_grad[2] else None
        gradient, rounded = gradient.float(), weight.to(ctx.tile_dtype).float()
        for rows in _tiles(hidden, weight):
            tile = _logits(hidden[rows], rounded, bias, ctx.tile_dtype)
            ctx.rules.apply(tile)
            slope = ctx.rules.slope(tile)
            at = gradient[rows, None]
            tile.sub_(log_z[rows, None]).exp_().mul_(-at).scatter_add_(1, targets[rows, None], at)
            if isinstance(slope, Tensor) or slope != 1:
                tile.mul_(slope)
            tile = tile.to(ctx.tile_dtype).float()
            if of_hidden is not None:
                of_hidden[rows] = tile @ rounded
            if of_weight is not None:
                of_weight.addmm_(tile.t(), hidden[rows].to(ctx.tile_dtype).float())
            if of_bias is not None:
                of_bias.add_(tile.sum(0))
        return (
            of_hidden,
            None if of_weight is None else of_weight.to(weight.dtype),
            None if of_bias is None or bias is None else of_bias.to(bias.dtype),
            None,
            None,
        )


_STATISTICS = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")


def _tiles(hidden: Tensor, weight: Tensor) -> list[slice]:
    rows = max(_MIN_ROWS, _TILE_BYTES // (4 * weight.shape[0]))
    return [slice(start, start + rows) for start in range(0, max(hidden.shape[0], 1), rows)]


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Logits in fp32 from a weight in fp32, rounded to `dtype`."""
    logits = hidden.to(dtype).float() @ weight.t()
    if bias is not None:
        logits += bias
    return logits if dtype == torch.float32 else logits.to(dtype).float()


def _tile_statistics(logits: Tensor, targets: Tensor, outputs: tuple[str, ...]) -> dict[str, Tensor]:
    """The statistics of a tile that `outputs` names; overwrites `logits`."""
    of_target = logits.gather(1, targets[:, None]).squeeze(1)
    highest = logits.amax(1)
    found: dict[str, Tensor] = {}
    if "mean_logits" in outputs:
        found["mean_logits"] = logits.mean(1)
    if "is_top1" in outputs:
        found["is_top1"] = of_target >= highest
        ties = found["is_top1"].nonzero().squeeze(1)  # argmax only where needed: of equal logits the first counts
        found["is_top1"][ties] = logits[ties].argmax(1) == targets[ties]
    logits.sub_(highest[:, None])
    weights = logits.exp()
    total = weights.sum(1)
    if "entropy" in outputs:
        found["entropy"] = total.log() - torch.linalg.vecdot(weights, logits) / total
    if "log_sum_sq_probs" in outputs:
        found["log_sum_sq_probs"] = torch.linalg.vecdot(weights, weights).log() - 2 * total.log()
    found["log_z"] = highest + total.log()
    found["log_probs"] = of_target - found["log_z"]
    return found
