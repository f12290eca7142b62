"""What the shared forward leaves to the original one, what it refuses, and that both stay correct."""

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GptOssConfig,
    Lfm2Config,
    LlamaConfig,
    MistralConfig,
    PhimoeConfig,
    PreTrainedConfig,
)
from transformers.models.cohere import CohereConfig
from transformers.models.granite import GraniteConfig
from trl.trainer.utils import add_fused_lm_head

from clairgen_train.forward import install_shared_forward
from tests.training.forward.batches import (
    CONFIGS,
    OUTPUTS,
    SHAPE,
    Pair,
    batch_of,
    furthest,
    model_of,
    outputs_and_gradients,
)

PAIRS = [Pair(7, 4, 8, 9), Pair(5, 0, 3, 9)]


def _left_padded(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    shifts = batch["attention_mask"].shape[1] - batch["attention_mask"].sum(1)
    return {
        name: torch.stack([row.roll(int(shift)) for row, shift in zip(values, shifts, strict=True)])
        for name, values in batch.items()
    }


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"rows": slice(0, 3)}, id="odd rows"),
        pytest.param({"left": True}, id="left padding"),
        pytest.param({"kwargs": {"num_items_in_batch": 7}}, id="another argument"),
        pytest.param({"shift": True}, id="shifted labels"),
    ],
)
def test_a_fused_call_that_is_not_a_batch_of_pairs_goes_to_the_original_forward(attention: str, options: dict) -> None:  # type: ignore[type-arg] # cases
    batch = batch_of(PAIRS)
    if options.get("left"):
        batch = _left_padded(batch)
    batch = {name: values[options.get("rows", slice(None))] for name, values in batch.items()}
    kwargs = dict(options.get("kwargs", {}))
    if options.get("shift"):
        kwargs["shift_labels"] = batch.pop("labels").roll(-1, 1)
    model = model_of(CONFIGS["llama"], attention=attention)
    expected = model(**batch, **kwargs, fused_lm_head=True)
    assert install_shared_forward(model) is None
    found = model(**batch, **kwargs, fused_lm_head=True)
    for name in ("loss", *OUTPUTS):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=0)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_logits_losses_and_generation_stay_the_models_own(attention: str) -> None:
    batch = batch_of(PAIRS)
    model = model_of(CONFIGS["llama"], attention=attention)
    model.train(False)
    prompt = {name: _left_padded(batch)[name][:, :8] for name in ("input_ids", "attention_mask")}
    generate = cast("Callable[..., Tensor]", model.generate)
    expected = model(**batch), generate(**prompt, max_new_tokens=5, do_sample=False)
    assert install_shared_forward(model) is None
    found = model(**batch), generate(**prompt, max_new_tokens=5, do_sample=False)
    torch.testing.assert_close(found[0].logits, expected[0].logits, rtol=0, atol=0)
    torch.testing.assert_close(found[0].loss, expected[0].loss, rtol=0, atol=0)
    assert found[1].tolist() == expected[1].tolist()


@pytest.mark.parametrize("window", [4, 9, 100])
def test_a_sliding_window_slides_over_each_row(window: int) -> None:
    config = MistralConfig(**SHAPE, sliding_window=window)
    batch = batch_of([Pair(7, 4, 8, 9), Pair(5, 0, 3, 9), Pair(3, 0, 1, 2)])
    model = model_of(config)
    expected, _, expected_gradients = outputs_and_gradients(model, batch)
    assert install_shared_forward(model) is None
    found, _, gradients = outputs_and_gradients(model, batch)
    torch.testing.assert_close(found.log_probs, expected.log_probs, rtol=1e-5, atol=2e-5)
    assert furthest(gradients, expected_gradients) <= 1e-4


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(CohereConfig(**SHAPE, logit_scale=0.3), id="scaled logits"),
        pytest.param(GraniteConfig(**SHAPE, logits_scaling=3.0), id="divided logits"),
        pytest.param(
            Gemma3TextConfig(
                **SHAPE,
                head_dim=8,
                final_logit_softcapping=2.0,
                sliding_window=6,
                layer_types=["sliding_attention", "full_attention"],
            ),
            id="softcapped logits",
        ),
    ],
)
def test_a_head_with_rules_of_its_own_is_used_as_trl_uses_it(config: PreTrainedConfig) -> None:
    batch, model = batch_of(PAIRS), model_of(config)
    expected, _, expected_gradients = outputs_and_gradients(model, batch)
    assert install_shared_forward(model) is None
    found, _, gradients = outputs_and_gradients(model, batch)
    for name in OUTPUTS:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=2e-5)
    assert furthest(gradients, expected_gradients) <= 1e-4


@pytest.mark.parametrize(
    ("config", "attention", "reason"),
    [
        (Gemma2Config(**SHAPE, head_dim=8), "eager", "softcapped scores"),
        (
            GptOssConfig(**SHAPE, num_local_experts=2, num_experts_per_tok=1, head_dim=8),
            "eager",
            "attention sinks",
        ),
        (LlamaConfig(**SHAPE, attention_dropout=0.1), "sdpa", "at random"),
        (BloomConfig(vocab_size=97, hidden_size=32, n_layer=1, n_head=2), "eager", "AttentionInterface"),
        (Lfm2Config(**SHAPE, layer_types=["conv", "full_attention"]), "sdpa", "conv"),
    ],
)
def test_an_unsupported_model_is_refused_in_one_sentence_and_left_unchanged(
    config: PreTrainedConfig, attention: str, reason: str
) -> None:
    model = model_of(config, attention=attention)
    original = model.forward
    sentence = install_shared_forward(model)
    assert sentence is not None and reason in sentence and sentence.endswith(".") and "\n" not in sentence
    assert model.forward == original
    assert model.config._attn_implementation == attention
    model(**batch_of(PAIRS), fused_lm_head=True)


def test_a_window_that_is_only_in_the_mask_is_refused_even_where_a_short_pair_cannot_show_it() -> None:
    experts: Any = {"num_local_experts": 4, "num_experts_per_tok": 2}
    sentence = install_shared_forward(model_of(PhimoeConfig(**SHAPE, **experts, sliding_window=64)))
    assert sentence is not None and "its sliding window is in its attention mask only" in sentence
    assert install_shared_forward(model_of(PhimoeConfig(**SHAPE, **experts, sliding_window=None))) is None
    assert install_shared_forward(model_of(MistralConfig(**SHAPE, sliding_window=64))) is None


def test_a_model_whose_layers_lose_the_packing_is_refused() -> None:
    model = model_of(CONFIGS["llama"])
    attention = cast("nn.Module", cast("nn.ModuleList", model.base_model.layers)[1].self_attn)
    whole = cast("Callable[..., object]", attention.forward)
    attention.forward = lambda segments=None, **kwargs: whole(**kwargs)
    sentence = install_shared_forward(model)
    assert sentence is not None and "do not pass the packing on" in sentence


def test_learned_positions_are_each_rows_own() -> None:
    config = GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=97, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
    model, batch = model_of(config), batch_of(PAIRS)
    expected = model(**batch, fused_lm_head=True)
    assert install_shared_forward(model) is None
    torch.testing.assert_close(model(**batch, fused_lm_head=True).log_probs, expected.log_probs, rtol=1e-5, atol=2e-5)


def test_a_model_without_trls_head_is_refused() -> None:
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"])  # type: ignore[no-untyped-call] # so it is in transformers
    sentence = install_shared_forward(model)
    assert sentence is not None and "fused head" in sentence
    add_fused_lm_head(model, cast_lm_head_to_fp32=True)
    assert install_shared_forward(model) is not None


def test_it_computes_only_the_statistics_that_trl_was_configured_for() -> None:
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"])  # type: ignore[no-untyped-call] # so it is in transformers
    add_fused_lm_head(model, outputs=("log_probs", "log_sum_sq_probs"))
    batch = batch_of(PAIRS)
    expected = model(**batch, fused_lm_head=True)
    assert install_shared_forward(model) is None
    found = model(**batch, fused_lm_head=True)
    assert found.entropy is None and found.mean_logits is None and found.is_top1 is None
    torch.testing.assert_close(found.log_sum_sq_probs, expected.log_sum_sq_probs, rtol=1e-5, atol=1e-5)


def test_a_saved_model_names_the_attention_it_was_loaded_with(tmp_path: object) -> None:
    model = model_of(CONFIGS["llama"])
    assert install_shared_forward(model) is None
    model.save_pretrained(str(tmp_path))
    again = AutoModelForCausalLM.from_pretrained(str(tmp_path))
    assert again.config._attn_implementation == "sdpa"
    batch = batch_of(PAIRS)
    torch.testing.assert_close(again(**batch).logits, model(**batch).logits, rtol=1e-5, atol=1e-5)
