"""The shared forward gives TRL's values and gradients to round-off, whatever the pairs share."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from clairgen_train.forward import install_shared_forward
from tests.training.forward.batches import CONFIGS, OUTPUTS, Pair, batch_of, furthest, model_of, outputs_and_gradients

LAYOUTS = {
    "nothing shared but the prompt": [Pair(7, 0, 9, 12), Pair(11, 0, 8, 5)],
    "half of the answers shared": [Pair(7, 8, 8, 9), Pair(5, 10, 12, 9)],
    "all but one token shared": [Pair(6, 12, 1, 1), Pair(9, 5, 1, 1)],
    "one pair": [Pair(6, 3, 7, 9)],
    "very different lengths": [Pair(2, 0, 60, 1), Pair(40, 3, 2, 30), Pair(1, 0, 1, 1)],
    "no prompt": [Pair(0, 0, 9, 7), Pair(0, 4, 5, 6)],
}


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("share", [True, False])
def test_values_and_gradients_are_those_of_trl(family: str, layout: str, share: bool) -> None:
    model, batch = model_of(CONFIGS[family]), batch_of(LAYOUTS[layout])
    expected, expected_loss, expected_gradients = outputs_and_gradients(model, batch)
    assert install_shared_forward(model, share=share) is None
    output, loss, gradients = outputs_and_gradients(model, batch)
    assert abs(loss - expected_loss) <= 1e-5
    assert furthest(gradients, expected_gradients) <= 1e-4
    for name in (*OUTPUTS, "label_mask", "loss"):
        found, wanted = getattr(output, name), getattr(expected, name)
        assert found.shape == wanted.shape and found.dtype == wanted.dtype
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=2e-5)
    assert output.aux_loss is None


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_checkpointing_gives_the_same_gradients(attention: str) -> None:
    batch = batch_of(LAYOUTS["half of the answers shared"])
    plain = model_of(CONFIGS["llama"], attention=attention)
    _, expected_loss, expected = outputs_and_gradients(plain, batch)
    for reentrant in (False, True):
        model = model_of(CONFIGS["llama"], attention=attention)
        assert install_shared_forward(model) is None
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})  # type: ignore[no-untyped-call] # so it is in transformers
        model.enable_input_require_grads()  # type: ignore[no-untyped-call] # so it is in transformers
        model.train()
        _, loss, gradients = outputs_and_gradients(model, batch)
        assert abs(loss - expected_loss) <= 1e-5
        assert furthest(gradients, expected) <= 1e-4


def test_lora_adapters_learn_what_they_learn_under_trl() -> None:
    batch = batch_of(LAYOUTS["half of the answers shared"])
    results = []
    for install in (False, True):
        model = model_of(CONFIGS["llama"])
        torch.manual_seed(1)
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"]))
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.05)
        if install:
            assert install_shared_forward(model) is None
        results.append(outputs_and_gradients(adapted, batch))
    (_, expected_loss, expected), (_, loss, gradients) = results
    assert abs(loss - expected_loss) <= 1e-6
    assert len(expected) == 12
    for name, wanted in expected.items():
        torch.testing.assert_close(gradients[name], wanted, rtol=1e-4, atol=1e-6)


def test_autocast_is_as_near_to_fp32_as_trl_is() -> None:
    batch = batch_of(LAYOUTS["half of the answers shared"])
    model = model_of(CONFIGS["llama"])
    exact, _, _ = outputs_and_gradients(model, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        theirs, _, their_gradients = outputs_and_gradients(model, batch)
        assert install_shared_forward(model) is None
        ours, _, our_gradients = outputs_and_gradients(model, batch)
    assert exact.log_probs is not None and theirs.log_probs is not None and ours.log_probs is not None
    error = (theirs.log_probs - exact.log_probs).abs().mean()
    assert (ours.log_probs - exact.log_probs).abs().mean() <= 1.5 * error
    assert ours.log_probs.dtype == theirs.log_probs.dtype
    assert furthest(our_gradients, their_gradients) <= 0.2


def test_a_batch_without_any_label_still_has_a_gradient() -> None:
    batch = batch_of([Pair(4, 2, 3, 3)])
    batch["labels"].fill_(-100)
    model = model_of(CONFIGS["llama"])
    assert install_shared_forward(model) is None
    output = model(**batch, fused_lm_head=True)
    assert output.log_probs.abs().sum() == 0
    output.log_probs.sum().backward()
    assert model.lm_head.weight.grad is not None
