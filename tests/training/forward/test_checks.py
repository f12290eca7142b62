"""The comparison before the shared forward is used covers values and gradients."""

from collections.abc import Callable
from typing import cast

from trl.trainer.utils import FusedCausalLMOutput

from clairgen_train.forward.install import forward_mismatch
from tests.training.forward.batches import CONFIGS, model_of


def changed(original: Callable[..., object], *, value: float, gradient: float) -> Callable[..., object]:
    """`original` with its log-probabilities and their gradients multiplied."""

    def forward(**given: object) -> object:
        output = cast("FusedCausalLMOutput", original(**given))
        assert output.log_probs is not None
        sloped = output.log_probs * gradient
        output.log_probs = sloped - sloped.detach() + output.log_probs.detach() * value
        return output

    return forward


def test_differing_values_and_differing_gradients_are_both_found() -> None:
    model = model_of(CONFIGS["llama"])
    original = model.forward
    assert forward_mismatch(model, original, changed(original, value=1, gradient=1)) is None
    assert "log-probabilities differ from those of TRL's forward" in str(
        forward_mismatch(model, original, changed(original, value=1.01, gradient=1))
    )
    assert "gradients differ from those of TRL's forward" in str(
        forward_mismatch(model, original, changed(original, value=1, gradient=1.01))
    )


def test_a_forward_whose_backward_pass_fails_is_found() -> None:
    model = model_of(CONFIGS["llama"])

    def detached(**given: object) -> object:
        output = cast("FusedCausalLMOutput", model.forward(**given))
        assert output.log_probs is not None
        output.log_probs = output.log_probs.detach()
        return output

    assert "a comparison with TRL's forward failed" in str(forward_mismatch(model, model.forward, detached))
