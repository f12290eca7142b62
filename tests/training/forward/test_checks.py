"""The trial before a model is served sees values and gradients."""

from collections.abc import Callable
from typing import cast

from trl.trainer.utils import FusedCausalLMOutput

from clairgen_train.forward.checks import shown_obstacle
from tests.training.forward.batches import CONFIGS, model_of


def changed(former: Callable[..., object], *, value: float, gradient: float) -> Callable[..., object]:
    """`former` with its log-probabilities and their gradients multiplied."""

    def forward(**given: object) -> object:
        output = cast("FusedCausalLMOutput", former(**given))
        assert output.log_probs is not None
        sloped = output.log_probs * gradient
        output.log_probs = sloped - sloped.detach() + output.log_probs.detach() * value
        return output

    return forward


def test_values_and_gradients_that_differ_are_both_told() -> None:
    model = model_of(CONFIGS["llama"])
    former = model.forward
    assert shown_obstacle(model, former, changed(former, value=1, gradient=1)) is None
    assert "log-probabilities came out different" in str(
        shown_obstacle(model, former, changed(former, value=1.01, gradient=1))
    )
    assert "gradients came out different" in str(shown_obstacle(model, former, changed(former, value=1, gradient=1.01)))


def test_a_forward_that_fails_on_the_way_back_is_told() -> None:
    model = model_of(CONFIGS["llama"])

    def detached(**given: object) -> object:
        output = cast("FusedCausalLMOutput", model.forward(**given))
        assert output.log_probs is not None
        output.log_probs = output.log_probs.detach()
        return output

    assert "a trial of it failed" in str(shown_obstacle(model, model.forward, detached))
