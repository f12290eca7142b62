"""The comparison before the shared forward is used: values, gradients, windows, a step in training mode, in any type."""

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import GPT2Config, GPTBigCodeConfig, MistralConfig, PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from clairgen_train.forward import attention, install_shared_forward
from clairgen_train.forward.trial import forward_mismatch
from tests.training.forward.batches import CONFIGS, SHAPE, Pair, batch_of, model_of


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("family", CONFIGS)
def test_attention_that_misses_one_token_is_found_and_right_attention_is_not(
    family: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert install_shared_forward(model_in(family, dtype)) is None
    monkeypatch.setattr(attention, "scaled_dot_product_attention", one_key_too_few)
    assert "differ from those of TRL's forward" in str(install_shared_forward(model_in(family, dtype)))


def model_in(family: str, dtype: torch.dtype) -> PreTrainedModel:
    return cast("PreTrainedModel", cast("nn.Module", model_of(CONFIGS[family])).to(dtype))


def one_key_too_few(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Causal attention whose middle query does not see the third token before it."""
    queries, keys = query.shape[2], key.shape[2]
    seen = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
    seen &= torch.ones_like(seen) if attn_mask is None else attn_mask == 0
    last = keys - queries + queries // 2
    if last >= 3:
        seen[queries // 2, last - 3] = False
    mask = torch.zeros(queries, keys, dtype=query.dtype).masked_fill(~seen, -torch.inf)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)


@pytest.mark.parametrize("config", [GPT2Config, GPTBigCodeConfig])
def test_a_model_that_drops_attention_scores_only_in_training_is_refused(config: type[GPT2Config]) -> None:
    sizes: Any = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 97}
    model = model_of(config(**sizes))
    state = torch.get_rng_state()
    assert "drops scores at random" in str(install_shared_forward(model))
    assert torch.equal(torch.get_rng_state(), state)
    assert install_shared_forward(model_of(config(**sizes, attn_pdrop=0.0))) is None


def test_windows_are_short_during_the_comparison_and_as_before_after_it() -> None:
    model = model_of(MistralConfig(**SHAPE, sliding_window=200))
    seen: list[int | None] = []
    original = model.forward

    def forward(**given: object) -> object:
        seen.append(model.config.sliding_window)
        return original(**given)

    assert forward_mismatch(model, forward, forward) is not None  # no layer is given the window by TRL's own forward
    assert set(seen[:2]) == {5}
    assert model.config.sliding_window == 200
    assert install_shared_forward(model) is None
    long = batch_of([Pair(250, 3, 20, 30)])
    torch.testing.assert_close(
        model(**long, fused_lm_head=True).log_probs,
        original(**long, fused_lm_head=True).log_probs,
        rtol=1e-5,
        atol=2e-5,
    )
