"""Values and gradients of the shared forward against TRL's, in the shape of a real model, with rounding as the unit."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from trl.trainer.utils import add_fused_lm_head

from clairgen_train.forward import install_shared_forward
from clairgen_train.forward.trial import rounded_differently
from tests.gpu.steps import large_llama
from tests.training.forward.batches import OUTPUTS, Pair, batch_of, outputs_and_gradients

_BATCH = (Pair(140, 0, 310, 250), Pair(300, 200, 90, 133), Pair(64, 1, 500, 2))
_FACTOR = 3.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """Root mean squares over all scored tokens, and over all weights relative to the gradient's norm."""

    dtype: torch.dtype
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
        name = f"{'agrees' if self.holds else 'WRONG':8} 8B shape, 2 layers   {str(self.dtype)[6:]:9}"
        if self.refusal is not None:
            return f"{name} {self.refusal}"
        return (
            f"{name} log-probabilities {self.values:.1e} (rounding {self.values_rounded:.1e}), "
            f"gradients {self.gradients:.1e} (rounding {self.gradients_rounded:.1e})"
        )


def agreements() -> Iterator[Agreement]:
    """In fp32 and in bf16."""
    for dtype in (torch.float32, torch.bfloat16):
        yield _agreement(dtype)
        torch.cuda.empty_cache()


def _agreement(dtype: torch.dtype) -> Agreement:
    model = large_llama(layers=2, dtype=dtype)
    add_fused_lm_head(model, outputs=OUTPUTS)
    batch = {name: values.cuda() for name, values in batch_of(_BATCH).items()}
    expected, _, slopes = outputs_and_gradients(model, batch)
    with rounded_differently(model):
        rounded, _, rounded_slopes = outputs_and_gradients(model, batch)
    refusal = install_shared_forward(model)
    if refusal is not None:
        return Agreement(dtype, refusal)
    found, _, found_slopes = outputs_and_gradients(model, batch)
    assert expected.log_probs is not None and rounded.log_probs is not None and found.log_probs is not None
    return Agreement(
        dtype,
        None,
        _distance([found.log_probs], [expected.log_probs]),
        _distance([rounded.log_probs], [expected.log_probs]),
        _distance(found_slopes.values(), slopes.values()),
        _distance(rounded_slopes.values(), slopes.values()),
    )


def _distance(found: object, expected: object) -> float:
    pairs: list[tuple[Tensor, Tensor]] = list(zip(found, expected, strict=True))  # type: ignore[call-overload]
    apart = sum(float((a.float() - b.float()).pow(2).sum()) for a, b in pairs)
    return float((apart / sum(float(b.float().pow(2).sum()) for _, b in pairs)) ** 0.5)
