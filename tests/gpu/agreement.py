"""Values and gradients of the shared forward against TRL's, in the shape of a real model, with rounding as the unit."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel
from trl.trainer.utils import add_fused_lm_head

from clairgen_train.forward import install_shared_forward
from clairgen_train.forward.trial import rounded_differently
from tests.gpu.steps import large_llama
from tests.training.forward.batches import OUTPUTS, Pair, batch_of

_BATCH = (Pair(140, 0, 310, 250), Pair(300, 200, 90, 133), Pair(64, 1, 500, 2))
_FACTOR = 3.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """Root mean squares over all scored tokens, and over all weights relative to the gradient's norm."""

    dtype: torch.dtype
    flex: bool
    refusal: str | None
    values: float = 0.0
    values_rounded: float = 0.0
    gradients: float = 0.0
    gradients_rounded: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether both differ by no more than three times what another rounding makes of TRL's own forward."""
        within = self.values <= _FACTOR * self.values_rounded and self.gradients <= _FACTOR * self.gradients_rounded
        return self.refusal is None and within

    def line(self) -> str:
        """One line of the table."""
        attention = "flex" if self.flex else "segments"
        name = f"{'agrees' if self.holds else 'WRONG':8} 8B shape, 2 layers, {attention:8} {str(self.dtype)[6:]:9}"
        if self.refusal is not None:
            return f"{name} {self.refusal}"
        return (
            f"{name} log-probabilities {self.values:.1e} (rounding {self.values_rounded:.1e}), "
            f"gradients {self.gradients:.1e} (rounding {self.gradients_rounded:.1e})"
        )


def agreements() -> Iterator[Agreement]:
    """By segments and by FlexAttention, in fp32 and in bf16."""
    for flex in (False, True):
        for dtype in (torch.float32, torch.bfloat16):
            yield _agreement(dtype, flex=flex)
            torch.cuda.empty_cache()


def _agreement(dtype: torch.dtype, *, flex: bool) -> Agreement:
    model = large_llama(layers=2, dtype=dtype)
    add_fused_lm_head(model, outputs=OUTPUTS)
    batch = {name: values.cuda() for name, values in batch_of(_BATCH).items()}
    expected, slopes = _values(model, batch)
    with rounded_differently(model):
        rounded, rounded_slopes = _values(model, batch)
    refusal = install_shared_forward(model, flex=flex)
    if refusal is not None:
        return Agreement(dtype, flex, refusal)
    found, found_slopes = _values(model, batch)
    return Agreement(
        dtype,
        flex,
        None,
        _distance([found], [expected]),
        _distance([rounded], [expected]),
        _distance(found_slopes, slopes),
        _distance(rounded_slopes, slopes),
    )


def _values(model: PreTrainedModel, batch: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Log-probabilities, and every weight's gradient of their sum over chosen answers less that over rejected ones."""
    model.zero_grad()
    log_probs: Tensor = model(**batch, use_cache=False, fused_lm_head=True).log_probs
    chosen, rejected = log_probs.chunk(2)
    (chosen.sum() - rejected.sum()).backward()  # type: ignore[no-untyped-call] # so it is in torch
    return log_probs.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


def _distance(found: list[Tensor], expected: list[Tensor]) -> float:
    apart = math.sqrt(sum(float((a.float() - b.float()).norm()) ** 2 for a, b in zip(found, expected, strict=True)))
    return apart / math.sqrt(sum(float(b.float().norm()) ** 2 for b in expected))
